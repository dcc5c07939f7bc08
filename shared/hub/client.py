"""Client of one hub's service REST API: import and export jobs, and its registry.

It has no retry policy: the workflow repeats each call at the next tick, and only the workflow knows
when repeating a create is safe.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
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
from azure.core.rest import HttpRequest, HttpResponse
from urllib3.exceptions import HTTPError

from shared.connections import HUB_CONNECT_TIMEOUT, HUB_DEADLINE, HUB_READ_TIMEOUT, HubConnection
from shared.errors import error_text, first_line
from shared.hub.auth import authentication_policy
from shared.hub.exceptions import (
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
from shared.hub.jobs import ExportJobRequest, ImportJobRequest, JobProperties
from shared.hub.parsing import parse_json
from shared.hub.registry import export_line
from shared.telemetry import Instrument, InstrumentKind
from shared.transport import Call, call_deadline, enable_deadlines

__all__ = ["HubClient", "JobList"]

#: Maximum size of an answer, in bytes, uncompressed. The job list of a month has a few million.
MAX_ANSWER = 32 * 1024 * 1024

_OTHER_ANSWER = "The hub's answer is not about the job"

#: Counters of error responses.
_COUNTERS: dict[type[Exception], Instrument] = {
    HubThrottledError: Instrument(
        InstrumentKind.COUNTER,
        "deviceimporter.hub.throttled",
        "{request}",
        "Requests that the hub rejected with 429.",
    ),
    JobSlotBusyError: Instrument(
        InstrumentKind.COUNTER,
        "deviceimporter.hub.busy",
        "{request}",
        "Jobs that the hub rejected because its only job slot was busy.",
    ),
}


@dataclass(frozen=True)
class JobList:
    """The jobs of a hub at a time."""

    jobs: list[JobProperties]
    #: By the hub's clock; None if its answer has no date.
    at: datetime | None


class HubClient:
    """Create, get, list and cancel import and export jobs; read devices and modules.

    Each call raises the exceptions of `shared.hub.exceptions`; only creating and cancelling raise
    `OutcomeUnknownError`.
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
            enable_deadlines(transport)
        self._name = hub.name
        self._is_signed = hub.key is not None
        self._endpoint = hub.endpoint
        self._client: PipelineClient[Any, Any] = PipelineClient(
            hub.endpoint, policies=policies, transport=transport
        )

    def create_job(self, request: ImportJobRequest | ExportJobRequest) -> JobProperties:
        """Start a job. The hub checks its access to the containers before it answers.

        Raises:
            JobSlotBusyError, StorageRefusedError, HubUnauthorizedError, HubThrottledError,
            HubRequestError: no job was created.
            HubUnavailableError: no connection, and no job.
            OutcomeUnknownError: a job may have been created.
        """
        job = JobProperties.model_validate(self._send("POST", "/jobs/create", request.to_json()))
        if not job.job_id:
            raise OutcomeUnknownError("The hub accepted the job, but its answer has no job id.")
        return job

    def get_job(self, job_id: str) -> JobProperties:
        """Read the job.

        Raises:
            JobNotFoundError: the hub does not find the job.
            HubAnswerError: the answer is not about the job.
        """
        try:
            answer = self._send("GET", f"/jobs/{quote(job_id, safe='')}")
        except HubRequestError as error:
            if error.details and error.details.status == 404:
                raise JobNotFoundError(str(error), error.details) from error
            message = f"{_OTHER_ANSWER} ({str(error).rstrip('.')})."
            raise HubAnswerError(message, error.details) from error
        if not isinstance(answer, dict):
            raise HubAnswerError(f"{_OTHER_ANSWER}: it is not a JSON object.")
        job = JobProperties.model_validate(answer)
        if job.job_id not in ("", job_id):
            raise HubAnswerError(f"{_OTHER_ANSWER}: it has another job id.")
        return job

    def list_jobs(self) -> JobList:
        """List all import and export jobs of the last 30 days, including those of other apps."""
        answer, headers = self._exchange("GET", "/jobs")
        if not isinstance(answer, list):
            raise HubUnavailableError("The hub's list of jobs is not a JSON array.")
        jobs = [JobProperties.model_validate(job) for job in answer if isinstance(job, dict)]
        return JobList(jobs, _date(headers))

    def cancel_job(self, job_id: str) -> None:
        """Request the cancellation of a job. For a final job, hubs answer 500."""
        self._send("DELETE", f"/jobs/{quote(job_id, safe='')}")

    def has_identity(self, device_id: str, module_id: str = "") -> bool:
        """Whether the registry contains this device or module."""
        return self.status_of(device_id, module_id) is not None

    def status_of(self, device_id: str, module_id: str = "") -> str | None:
        """The status of a device, `enabled` or `disabled`; "" for a module. None if missing."""
        path = f"/devices/{quote(device_id, safe='')}"
        if module_id:
            path += f"/modules/{quote(module_id, safe='')}"
        identity = self._find(path)
        if identity is None:
            return None
        status = identity.get("status") if isinstance(identity, dict) else None
        return status if isinstance(status, str) else ""

    def count_devices(self) -> int | None:
        """How many devices the registry has, modules not counted; None if the hub does not say."""
        answer = self._send("GET", "/statistics/devices")
        count = answer.get("totalDeviceCount") if isinstance(answer, dict) else None
        return count if isinstance(count, int) and not isinstance(count, bool) else None

    def read_identity(self, device_id: str, module_id: str = "") -> dict[str, Any] | None:
        """A device or module with its twin, in the form of a line of an export; None if missing.

        It takes two requests. Access to twins needs ServiceConnect under SAS: the policy
        registryReadWrite gets `HubUnauthorizedError`. A hub also answers so for the modules of a
        device that is disabled or does not exist.
        """
        path = quote(device_id, safe="")
        if module_id:
            path += f"/modules/{quote(module_id, safe='')}"
        identity = self._find(f"/devices/{path}")
        twin = self._find(f"/twins/{path}") if identity is not None else None
        if identity is None or twin is None:
            return None
        return export_line(identity, twin)

    def list_modules(self, device_id: str) -> list[str]:
        """The ids of the modules of a device, with those that the hub creates itself."""
        answer = self._find(f"/devices/{quote(device_id, safe='')}/modules")
        modules = answer if isinstance(answer, list) else []
        ids = [module.get("moduleId") for module in modules if isinstance(module, dict)]
        return [module_id for module_id in ids if isinstance(module_id, str)]

    def close(self) -> None:
        self._client.close()

    def _find(self, path: str) -> Any:
        """The answer to a request, never empty; None if there is no such device or module."""
        try:
            return self._send("GET", path) or {}
        except HubRequestError as error:
            if error.details and error.details.status == 404:
                return None
            raise

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._exchange(method, path, body)[0]

    def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        """Return the JSON and the headers of the answer."""
        request = HttpRequest(
            method, self._endpoint + path, params={"api-version": self._api_version}, json=body
        )
        has_effect = method != "GET"
        unanswered = OutcomeUnknownError if has_effect else HubUnavailableError
        try:
            status, headers, content = self._call(request)
            if 300 <= status < 400:
                raise unanswered(f"The hub answered with a redirect (HTTP {status}).")
            if status < 300:
                return (parse_json(content) if content else None), headers
        except ClientAuthenticationError as error:
            raise HubUnauthorizedError(
                f"No Entra ID token for the hub: {first_line(error)}"
            ) from error
        except ServiceRequestError as error:
            raise HubUnavailableError(f"No connection to the hub: {error_text(error)}.") from error
        except ValueError as error:
            raise unanswered("The hub's answer is not JSON.") from error
        except AzureError as error:
            raise unanswered(f"No answer from the hub: {error_text(error)}.") from error
        failure = error_from_response(status, headers, content, is_signed=self._is_signed)
        if (counter := _COUNTERS.get(type(failure))) is not None:
            counter.record(1, {"deviceimporter.hub": self._name})
        if has_effect and isinstance(failure, HubUnavailableError):
            raise OutcomeUnknownError(str(failure), failure.details)
        raise failure

    def _call(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of the answer.

        Raises:
            AzureError: no answer in time, or the answer is too large.
        """
        body = bytearray()
        with call_deadline(HUB_DEADLINE) as call, self._opened(request, call) as response:
            try:
                for block in response.iter_bytes():
                    body += block
                    if len(body) > MAX_ANSWER:
                        raise ServiceResponseError(f"more than {MAX_ANSWER:,} bytes")
            except (OSError, HTTPError) as error:
                raise ServiceResponseError("the answer ended early") from error
            if call.is_over:
                # http.client accepts truncated headers.
                raise ServiceResponseError(f"not complete after {HUB_DEADLINE} s")
            return response.status_code, response.headers, bytes(body)

    @contextlib.contextmanager
    def _opened(self, request: HttpRequest, call: Call) -> Iterator[HttpResponse]:
        """The answer to a request, of which status and headers are read."""
        try:
            response = self._client.send_request(
                request,
                stream=True,
                connection_timeout=HUB_CONNECT_TIMEOUT,
                read_timeout=HUB_READ_TIMEOUT,
            )
        except ServiceRequestError as error:
            if call.was_sent:
                # Such as a TLS alert in place of the answer: the hub may have acted.
                raise ServiceResponseError(error.message) from error
            raise
        with response:
            yield response


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
