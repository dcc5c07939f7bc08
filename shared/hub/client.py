"""Import jobs of one hub, and a look into its registry, over its service REST API.

There is no retry policy: the workflow repeats every call at the next tick, and only it knows when
a repeated create is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import (
    DistributedTracingPolicy,
    HttpLoggingPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.rest import HttpRequest
from urllib3.exceptions import HTTPError

from shared.connections import HubConnection
from shared.deadline import deadline, interruptible
from shared.hub.answers import parse_json
from shared.hub.auth import authentication_policy
from shared.hub.errors import (
    HubAnswerError,
    HubRequestError,
    HubThrottledError,
    HubUnauthorizedError,
    HubUnavailableError,
    JobNotFoundError,
    JobSlotBusyError,
    OutcomeUnknownError,
    error_from_response,
)
from shared.hub.jobs import ImportJobRequest, JobProperties
from shared.telemetry import Instrument, InstrumentKind
from shared.timeouts import HUB_CONNECT_TIMEOUT, HUB_DEADLINE, HUB_READ_TIMEOUT

__all__ = ["HubClient", "JobList"]

#: The largest answer that is read, in bytes, unpacked: the job list of a month takes a few million.
MAX_ANSWER = 32 * 1024 * 1024

_NOT_ABOUT_THE_JOB = "The hub's answer is not about the job"

#: What is counted of the hub's answers.
_REFUSALS: dict[type[Exception], Instrument] = {
    HubThrottledError: Instrument(
        InstrumentKind.COUNTER,
        "deviceimporter.hub.throttled",
        "{request}",
        "Requests that the hub refused by 429.",
    ),
    JobSlotBusyError: Instrument(
        InstrumentKind.COUNTER,
        "deviceimporter.hub.busy",
        "{request}",
        "Jobs that the hub refused as another one had its only slot.",
    ),
}


@dataclass(frozen=True)
class JobList:
    """The jobs of a hub."""

    jobs: list[JobProperties]
    #: When the hub said so, by its own clock; None if it did not tell.
    at: datetime | None


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
        if isinstance(transport, RequestsTransport):
            interruptible(transport)
        self._name = hub.name
        self._is_signed = hub.key is not None
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
        job = JobProperties.model_validate(self._send("POST", "/jobs/create", request.to_json()))
        if not job.job_id:
            raise OutcomeUnknownError("The hub accepted the job but its answer names none.")
        return job

    def get_job(self, job_id: str) -> JobProperties:
        """The job as it is now.

        Raises:
            JobNotFoundError: the hub does not know it, or no longer.
            HubAnswerError: the answer is not about the job.
        """
        try:
            answer = self._send("GET", f"/jobs/{quote(job_id, safe='')}")
        except HubRequestError as error:
            if error.details and error.details.status == 404:
                raise JobNotFoundError(str(error), error.details) from error
            text = f"{_NOT_ABOUT_THE_JOB} ({str(error).rstrip('.')})."
            raise HubAnswerError(text, error.details) from error
        if not isinstance(answer, dict):
            raise HubAnswerError(f"{_NOT_ABOUT_THE_JOB}: it is not a JSON object.")
        job = JobProperties.model_validate(answer)
        if job.job_id not in ("", job_id):
            raise HubAnswerError(f"{_NOT_ABOUT_THE_JOB}: it names another job.")
        return job

    def list_jobs(self) -> JobList:
        """All import and export jobs of the last 30 days, whoever started them."""
        answer, headers = self._exchange("GET", "/jobs")
        if not isinstance(answer, list):
            raise HubUnavailableError("The hub's answer about its jobs is not a JSON array.")
        jobs = [JobProperties.model_validate(job) for job in answer if isinstance(job, dict)]
        return JobList(jobs, _date(headers))

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
        return self._exchange(method, path, body)[0]

    def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        """The JSON and the headers of the answer."""
        request = HttpRequest(
            method, self._endpoint + path, params={"api-version": self._api_version}, json=body
        )
        changes_something = method != "GET"
        unanswered = OutcomeUnknownError if changes_something else HubUnavailableError
        try:
            status, headers, content = self._call(request)
            if 300 <= status < 400:
                raise unanswered(f"The hub answers with a redirect (HTTP {status}).")
            if status < 300:
                return (parse_json(content) if content else None), headers
        except ClientAuthenticationError as error:
            raise HubUnauthorizedError(f"No Entra ID token for the hub: {error.message}") from error
        except ServiceRequestError as error:
            raise HubUnavailableError(f"No connection to the hub: {error.message}") from error
        except ValueError as error:
            raise unanswered("The hub's answer is not JSON.") from error
        except AzureError as error:
            raise unanswered(f"No answer from the hub: {error.message}") from error
        failure = error_from_response(status, headers, content, is_signed=self._is_signed)
        if (refusals := _REFUSALS.get(type(failure))) is not None:
            refusals.record(1, {"deviceimporter.hub": self._name})
        if changes_something and isinstance(failure, HubUnavailableError):
            raise OutcomeUnknownError(str(failure), failure.details)
        raise failure

    def _call(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the answer.

        Raises:
            AzureError: there is none in time, or it is too large.
        """
        body = bytearray()
        with (
            deadline(HUB_DEADLINE) as call,
            self._client.send_request(
                request,
                stream=True,
                connection_timeout=HUB_CONNECT_TIMEOUT,
                read_timeout=HUB_READ_TIMEOUT,
            ) as response,
        ):
            try:
                for block in response.iter_bytes():
                    body += block
                    if len(body) > MAX_ANSWER:
                        raise ServiceResponseError(f"more than {MAX_ANSWER:,} bytes")
            except (OSError, HTTPError) as error:
                raise ServiceResponseError(f"the answer ended early: {error}") from error
            if call.is_over:
                # Headers that end early look complete to http.client.
                raise ServiceResponseError(f"it was not complete after {HUB_DEADLINE} s")
            return response.status_code, response.headers, bytes(body)


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
