"""Import jobs as the hub describes them (service REST API, JobProperties; version 2021-04-12).

All elements of the operation's first publication, "Import or update device identities"
(2016-02-03), are here under their names of today: `exportBlobContainerUri` became
`outputBlobContainerUri`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.alias_generators import to_camel

from shared.hub.answers import text_of, time_of

__all__ = ["ImportJobRequest", "JobProperties", "JobStatus"]


#: Longest id of a job, in characters. Those of hubs have 36.
MAX_ID = 256


class JobStatus(StrEnum):
    """A job's status; only these five are known of import and export jobs."""

    ENQUEUED = "enqueued"
    RUNNING = "running"
    COMPLETED = "completed"  # also when every single line failed
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: What a later version of the hub may say; `JobProperties.status_text` keeps its word.
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class ImportJobRequest:
    """What the hub is asked to do. The URIs hold a SAS and so never show in a repr."""

    #: URI of the container that holds the device file; with a SAS unless identity-based.
    input_blob_container_uri: str = field(repr=False)
    #: URI of the container that receives importErrors.log.
    output_blob_container_uri: str = field(repr=False)
    input_blob_name: str = "devices.txt"
    #: keyBased or identityBased.
    storage_authentication_type: str = "keyBased"
    #: ARM resource id of the hub's user-assigned identity; None is its system-assigned one.
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


def _lenient_id(value: object) -> str:
    # Of an id that cannot be kept as it is, nothing can be kept. Dots would lead to another path.
    is_id = isinstance(value, str) and value == text_of(value, MAX_ID) and value.strip(".")
    return str(value) if is_id else ""


def _lenient_percent(value: object) -> int | None:
    try:
        return min(100, max(0, int(float(text_of(value)))))
    except (ValueError, OverflowError):
        return None


def _lenient_flag(value: object) -> bool:
    # The operation's first publication prints it in quotes.
    return value is True or (isinstance(value, str) and value.lower() == "true")


Time = Annotated[datetime | None, BeforeValidator(time_of)]
Text = Annotated[str, BeforeValidator(text_of)]
Id = Annotated[str, BeforeValidator(_lenient_id)]
Percent = Annotated[int | None, BeforeValidator(_lenient_percent)]
Flag = Annotated[bool, BeforeValidator(_lenient_flag)]


class JobProperties(BaseModel):
    """A job in a hub's answer. Unknown members are ignored, odd values become "not told"."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    job_id: Id = ""
    type: Text = ""
    #: The hub's own word, known or not.
    status_text: Text = Field("", alias="status")
    start_time_utc: Time = None
    end_time_utc: Time = None
    #: Percent; hubs do not always set it.
    progress: Percent = None
    #: Echoed by some versions only; signatures are replaced on reading.
    input_blob_container_uri: Text = ""
    input_blob_name: Text = ""
    output_blob_container_uri: Text = ""
    #: Export jobs only.
    exclude_keys_in_export: Flag = False
    #: Null on completed jobs, even if lines failed.
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
