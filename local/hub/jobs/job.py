"""A job as the hub shows it (JobProperties of the service swagger 2021-04-12)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from local.hub.errors import ErrorCode, HubError, Shape
from local.hub.json_net import JsonNetError, parse_object

DEFAULT_BLOB_NAME = "devices.txt"


class JobType(StrEnum):
    IMPORT = "import"
    EXPORT = "export"


class JobStatus(StrEnum):
    """The states of import and export jobs; scheduled jobs have others."""

    ENQUEUED = "enqueued"
    RUNNING = "running"
    #: Also when every line of the file was refused: those are in importErrors.log alone.
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self not in (JobStatus.ENQUEUED, JobStatus.RUNNING)


class StorageAuthentication(StrEnum):
    KEY_BASED = "keyBased"
    IDENTITY_BASED = "identityBased"


@dataclass(frozen=True)
class JobRequest:
    """What a client sends to create a job."""

    type: JobType
    output_uri: str
    input_uri: str = ""
    input_blob_name: str = DEFAULT_BLOB_NAME
    storage_authentication: StorageAuthentication = StorageAuthentication.KEY_BASED

    @classmethod
    def read(cls, text: str) -> JobRequest:
        try:
            body = parse_object(text)
            type_ = body.required_enum("type", JobType, "Microsoft.Azure.Devices.JobType")
            storage_authentication = body.enum(
                "storageAuthenticationType",
                StorageAuthentication,
                "Microsoft.Azure.Devices.StorageAuthenticationType",
            )
            request = cls(
                type=type_,
                output_uri=body.string("outputBlobContainerUri") or "",
                input_uri=body.string("inputBlobContainerUri") or "",
                input_blob_name=body.string("inputBlobName") or DEFAULT_BLOB_NAME,
                storage_authentication=storage_authentication or cls.storage_authentication,
            )
        except JsonNetError as error:
            raise HubError(ErrorCode.GenericBadRequest, str(error), Shape.E4) from None
        if request.type is JobType.EXPORT:
            message = "This emulator runs import jobs only."
            raise HubError(ErrorCode.InvalidOperation, message, Shape.E4)
        for name, uri in (
            ("inputBlobContainerUri", request.input_uri),
            ("outputBlobContainerUri", request.output_uri),
        ):
            if not uri:
                raise HubError(ErrorCode.ArgumentNull, f"{name} is missing.", Shape.E4)
        return request


@dataclass(frozen=True)
class Job:
    """One moment of a job's life."""

    id: str
    request: JobRequest
    start_time: datetime
    status: JobStatus = JobStatus.ENQUEUED
    #: Percent.
    progress: int = 0
    end_time: datetime | None = None
    failure_reason: str | None = None

    def to_json(self, *, echo_uris: bool) -> dict[str, Any]:
        """Captures disagree on the echo: the az CLI's tests see it, others saw empty URIs."""
        request = self.request
        shown: dict[str, Any] = {
            "jobId": self.id,
            "type": request.type.value,
            "status": self.status.value,
            "startTimeUtc": _timestamp(self.start_time),
            "endTimeUtc": self.end_time and _timestamp(self.end_time),
            "progress": self.progress,
            "failureReason": self.failure_reason,
            "excludeKeysInExport": False,
            "inputBlobContainerUri": request.input_uri if echo_uris else "",
            "outputBlobContainerUri": request.output_uri if echo_uris else "",
        }
        if echo_uris:
            shown["inputBlobName"] = request.input_blob_name
            shown["storageAuthenticationType"] = request.storage_authentication.value
        return shown


def _timestamp(time: datetime) -> str:
    """.NET prints seven digits of a second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
