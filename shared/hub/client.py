"""Import jobs of one hub, and a look into its registry, over its service REST API.

There is no retry policy: the workflow repeats every call at the next tick, and only it knows when
a repeated create is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError
from azure.core.pipeline.policies import (
    DistributedTracingPolicy,
    HttpLoggingPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest, HttpResponse

from shared.connections import HubConnection
from shared.hub.auth import authentication_policy
from shared.hub.errors import (
    HubRequestError,
    HubThrottledError,
    HubUnauthorizedError,
    HubUnavailableError,
    JobSlotBusyError,
    OutcomeUnknownError,
    error_from_response,
)
from shared.hub.jobs import ImportJobRequest, JobProperties
from shared.hub.redaction import redact
from shared.telemetry.facade import Instrument, Kind

__all__ = ["HubClient"]

#: Seconds to connect and to wait for an answer; creating a job checks the storage meanwhile.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60

#: What is counted of the hub's answers.
_REFUSALS: dict[type[Exception], Instrument] = {
    HubThrottledError: Instrument(
        Kind.COUNTER,
        "deviceimporter.hub.throttled",
        "{request}",
        "Requests that the hub refused by 429.",
    ),
    JobSlotBusyError: Instrument(
        Kind.COUNTER,
        "deviceimporter.hub.busy",
        "{request}",
        "Jobs that the hub refused as another one had its only slot.",
    ),
}


class HubClient:
    """Create, get, list and cancel import jobs; look devices up.

    Every call raises the errors of `shared.hub.errors`. `OutcomeUnknownError` comes of creating
    and cancelling alone; reading has no outcome to lose.
    """

    def __init__(
        self,
        hub: HubConnection,
        credential: Callable[[], TokenCredential],
        api_version: str,
        transport: HttpTransport[Any, Any],
    ) -> None:
        self._api_version = api_version
        policies = [
            RequestIdPolicy(),
            UserAgentPolicy("iot-hub-device-importer"),
            authentication_policy(hub, credential),
            DistributedTracingPolicy(),
            HttpLoggingPolicy(),
        ]
        self._name = hub.name
        self._endpoint = hub.endpoint
        self._client: PipelineClient[Any, Any] = PipelineClient(
            hub.endpoint, policies=policies, transport=transport
        )

    def create_import_job(self, request: ImportJobRequest) -> JobProperties:
        """Start an import; the hub checks that it can use the containers before it answers.

        Raises:
            JobSlotBusyError, StorageRefusedError, HubUnauthorizedError, HubThrottledError,
            HubRequestError: no job was made.
            HubUnavailableError: no connection was made, so no job either.
            OutcomeUnknownError: there may be a job now.
        """
        answer = self._send("POST", "/jobs/create", request.to_json())
        if not isinstance(answer, dict) or not answer.get("jobId"):
            raise OutcomeUnknownError("The hub accepted the job but its answer names none.")
        return JobProperties.model_validate(answer)

    def get_job(self, job_id: str) -> JobProperties:
        """The job as it is now.

        Raises:
            JobNotFoundError: the hub does not know it, or no longer.
        """
        answer = self._send("GET", f"/jobs/{quote(job_id, safe='')}")
        if not isinstance(answer, dict):
            raise HubUnavailableError("The hub's answer about the job is no JSON object.")
        return JobProperties.model_validate(answer)

    def list_jobs(self) -> list[JobProperties]:
        """All import and export jobs of the last 30 days, whoever started them."""
        answer = self._send("GET", "/jobs")
        if not isinstance(answer, list):
            raise HubUnavailableError("The hub's answer about its jobs is no JSON array.")
        return [JobProperties.model_validate(job) for job in answer if isinstance(job, dict)]

    def cancel_job(self, job_id: str) -> None:
        """Ask the hub to cancel a job. Only for one that is not final: hubs answer 500 then."""
        self._send("DELETE", f"/jobs/{quote(job_id, safe='')}")

    def has_identity(self, device_id: str, module_id: str = "") -> bool:
        """Whether the registry holds this device or module."""
        path = f"/devices/{quote(device_id, safe='')}"
        if module_id:
            path += f"/modules/{quote(module_id, safe='')}"
        try:
            self._send("GET", path)
        except HubRequestError as error:
            if error.details and error.details.status == 404:
                return False
            raise
        return True

    def close(self) -> None:
        self._client.close()

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = HttpRequest(
            method, self._endpoint + path, params={"api-version": self._api_version}, json=body
        )
        changes_something = method != "GET"
        unanswered = OutcomeUnknownError if changes_something else HubUnavailableError
        try:
            response: HttpResponse = self._client.send_request(
                request, connection_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT
            )
            if response.status_code < 400:
                return response.json() if response.content else None
        except ClientAuthenticationError as error:
            raise HubUnauthorizedError(
                f"No Entra ID token for the hub: {redact(error.message)}"
            ) from error
        except ServiceRequestError as error:
            raise HubUnavailableError(
                f"No connection to the hub: {redact(error.message)}"
            ) from error
        except ValueError as error:
            raise unanswered("The hub's answer is not JSON.") from error
        except AzureError as error:
            raise unanswered(f"No answer from the hub: {redact(error.message)}") from error
        failure = error_from_response(response.status_code, response.headers, response.text())
        if (refusals := _REFUSALS.get(type(failure))) is not None:
            refusals.record(1, {"deviceimporter.hub": self._name})
        if changes_something and isinstance(failure, HubUnavailableError):
            raise OutcomeUnknownError(str(failure), failure.details)
        raise failure
