"""Import and export jobs of a hub (service REST API, JobProperties; version 2021-04-12).

The first publication of the operation (2016-02-03) named `outputBlobContainerUri`
`exportBlobContainerUri`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from shared.hub.parsing import text_of, time_of

__all__ = ["ExportJobRequest", "ImportJobRequest", "JobProperties", "JobStatus"]


#: Maximum length of a job id, in characters. Hubs use 36.
MAX_ID = 256


class JobStatus(StrEnum):
    """A job's status. Import and export jobs are known to have these five."""

    ENQUEUED = "enqueued"
    RUNNING = "running"
    COMPLETED = "completed"  # also if every line failed
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: Any other; `JobProperties.status_text` has the hub's value.
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class ImportJobRequest:
    """A job to create. The URIs contain a SAS and are not part of the repr."""

    #: URI of the container of the device file, with a SAS unless identity-based.
    input_blob_container_uri: str = field(repr=False)
    #: URI of the container that receives importErrors.log.
    output_blob_container_uri: str = field(repr=False)
    input_blob_name: str = "devices.txt"
    #: keyBased or identityBased.
    storage_authentication_type: str = "keyBased"
    #: ARM resource id of the hub's user-assigned identity; None for the system-assigned one.
    user_assigned_identity: str | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": "import",
            "inputBlobContainerUri": self.input_blob_container_uri,
            "outputBlobContainerUri": self.output_blob_container_uri,
            "inputBlobName": self.input_blob_name,
            "storageAuthenticationType": self.storage_authentication_type,
        }
        if self.user_assigned_identity:
            body["identity"] = {"userAssignedIdentity": self.user_assigned_identity}
        return body


@dataclass(frozen=True, kw_only=True)
class ExportJobRequest:
    """An export job to create: all devices and modules of the hub, as lines of devices.txt."""

    #: URI of the container that receives devices.txt, with a SAS unless identity-based.
    output_blob_container_uri: str = field(repr=False)
    #: Whether the export is without symmetric keys.
    exclude_keys: bool = True
    storage_authentication_type: str = "keyBased"
    #: ARM resource id of the hub's user-assigned identity; None for the system-assigned one.
    user_assigned_identity: str | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": "export",
            "outputBlobContainerUri": self.output_blob_container_uri,
            "excludeKeysInExport": self.exclude_keys,
            "storageAuthenticationType": self.storage_authentication_type,
        }
        if self.user_assigned_identity:
            body["identity"] = {"userAssignedIdentity": self.user_assigned_identity}
        return body


def _lenient_id(value: object) -> str:
    # A changed id would be another job's, and dots would change the path of a request.
    is_id = isinstance(value, str) and value == text_of(value, MAX_ID) and value.strip(".")
    return str(value) if is_id else ""


def _lenient_percent(value: object) -> int | None:
    try:
        return min(100, max(0, int(float(text_of(value)))))
    except (ValueError, OverflowError):
        return None


Time = Annotated[datetime | None, BeforeValidator(time_of)]
Text = Annotated[str, BeforeValidator(text_of)]
Id = Annotated[str, BeforeValidator(_lenient_id)]
Percent = Annotated[int | None, BeforeValidator(_lenient_percent)]


class JobProperties(BaseModel):
    """A job in a hub's answer. Unknown properties are ignored, invalid values become empty."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    job_id: Id = ""
    type: Text = ""
    #: The hub's value, known or not.
    status_text: Text = Field("", alias="status")
    start_time_utc: Time = None
    end_time_utc: Time = None
    #: Percent; not always set by hubs.
    progress: Percent = None
    #: Only in answers of some versions; signatures are redacted.
    input_blob_container_uri: Text = ""
    input_blob_name: Text = ""
    output_blob_container_uri: Text = ""
    #: Null for completed jobs, even if lines failed.
    failure_reason: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _object(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {}

    @property
    def status(self) -> JobStatus:
        try:
            return JobStatus(self.status_text.lower())
        except ValueError:
            return JobStatus.UNKNOWN
