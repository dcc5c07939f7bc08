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
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from shared.hub.redaction import redact

__all__ = ["ImportJobRequest", "JobProperties", "JobStatus"]


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


#: Longest text of a hub that is kept, in characters: it ends up in a table row.
MAX_TEXT = 2000

_DATETIME = TypeAdapter(datetime)


def _lenient_time(value: object) -> datetime | None:
    """ISO 8601 with any number of fraction digits; .NET's zero date means no time."""
    try:
        time = _DATETIME.validate_python(value)
    except ValidationError:
        return None
    return None if time.year <= 1 else time


def _lenient_text(value: object) -> str:
    return redact(value)[:MAX_TEXT] if isinstance(value, str) else ""


def _lenient_percent(value: object) -> int | None:
    try:
        return min(100, max(0, int(str(value))))
    except ValueError:
        return None


def _lenient_flag(value: object) -> bool:
    # The operation's first publication prints it in quotes.
    return str(value).lower() == "true"


Time = Annotated[datetime | None, BeforeValidator(_lenient_time)]
Text = Annotated[str, BeforeValidator(_lenient_text)]
Percent = Annotated[int | None, BeforeValidator(_lenient_percent)]
Flag = Annotated[bool, BeforeValidator(_lenient_flag)]


class JobProperties(BaseModel):
    """A job in a hub's answer. Unknown members are ignored, odd values become "not told"."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    job_id: Text = ""
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

    @property
    def status(self) -> JobStatus:
        try:
            return JobStatus(self.status_text.lower())
        except ValueError:
            return JobStatus.UNKNOWN
