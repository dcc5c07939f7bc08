"""One import: what the table keeps of it, its states, and the ways between them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "NO_HUB",
    "TRANSITIONS",
    "ImportRecord",
    "ImportState",
    "Stop",
    "event_key",
    "index_key",
    "record_key",
]

#: Stands for the hub of an upload whose folder names none. Not a possible name of a hub.
NO_HUB = "(none)"


class ImportState(StrEnum):
    """Where an import is. Final states are write-once."""

    VALIDATING = "validating"
    QUEUED = "queued"  # validated and staged; waits for the hub's job slot
    STARTING = "starting"  # the hub is about to be asked, or has been and its answer is not known
    RUNNING = "running"  # the hub has the job
    REJECTED = "rejected"  # the file breaks rules, or names no hub: nothing reached a hub
    SUPERSEDED = "superseded"  # overwritten or deleted before it was read to its end
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completedWithErrors"  # the job ended, but not for every device
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


_S = ImportState
TRANSITIONS: dict[ImportState, frozenset[ImportState]] = {
    _S.VALIDATING: frozenset({_S.REJECTED, _S.SUPERSEDED, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.STARTING, _S.FAILED, _S.CANCELLED}),
    # Starting is cancelled only once it is sure that there is no job.
    _S.STARTING: frozenset({_S.QUEUED, _S.RUNNING, _S.FAILED, _S.CANCELLED}),
    # The job was taken for ours and turned out not to be: ours is looked for again.
    _S.RUNNING: frozenset(
        {_S.COMPLETED, _S.COMPLETED_WITH_ERRORS, _S.FAILED, _S.CANCELLED, _S.STARTING}
    ),
    _S.REJECTED: frozenset(),
    _S.SUPERSEDED: frozenset(),
    _S.COMPLETED: frozenset(),
    _S.COMPLETED_WITH_ERRORS: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
}


class Stop(StrEnum):
    """Why the job of an import is to be cancelled."""

    NO = ""
    OPERATOR = "operator"
    DEADLINE = "deadline"


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class ImportRecord(BaseModel):
    """A row of the table. Members are stored under their camelCase names."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    hub: str
    #: Hash of container, name and ETag of the upload: the same upload gives the same id.
    id: str
    #: Name of the uploaded blob in the upload container, folders included.
    file: str
    upload_etag: str
    uploaded_at: datetime
    #: Bytes of the uploaded blob.
    size: int = 0
    state: ImportState = ImportState.VALIDATING
    #: For an operator: why the import ended as it did or what it waits for, and what to do.
    failure_reason: str = ""

    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    #: Each state with the time at which it was entered, oldest first.
    history: Annotated[tuple[tuple[ImportState, datetime], ...], BeforeValidator(_from_json)] = ()

    #: Lines of the file that are not blank, and those that break a rule.
    lines: int | None = None
    invalid_lines: int | None = None
    #: Devices and modules given to the hub, and what became of them.
    devices: int | None = None
    imported: int | None = None
    failed: int | None = None
    #: Counts of the validation, in the report's form but without the problems.
    validation: Annotated[dict[str, Any], BeforeValidator(_from_json)] = Field(default_factory=dict)

    #: The container of the staged file, the hub's log and the report; "" if there is none.
    container: str = ""
    #: Path of report.json within the storage account; "" until it is written.
    report: str = ""
    #: Path of problems.csv within the storage account; "" if the validation found no problem.
    problems: str = ""
    #: Path of retry.ndjson within the storage account, the lines that the hub refused; "" if none.
    retry: str = ""
    #: Whether lines.bin maps staged lines to the file's.
    has_line_map: bool = False
    #: The id of the import whose staged lines this one tries again; "" for an upload.
    retry_of: str = ""

    #: The place in the hub's queue when it was last counted, 1 being the next to start; None unless
    #: it is queued and fewer than a hundred were ahead.
    place: int | None = None

    #: The hub's own words about the job.
    job_id: str = ""
    job_status: str = ""
    job_failure_reason: str = ""
    progress: int | None = None
    start_time_utc: datetime | None = None
    end_time_utc: datetime | None = None
    #: The job was found without proof that it is ours; its log in our container will be it.
    job_is_presumed: bool = False

    #: Times that somebody set out to validate the file.
    attempts: int = 0
    #: How many times the staged file got another name, so that a call for a job that was on its way
    #: would find nothing to import.
    fences: int = 0
    #: When the hub was last asked for a job.
    last_start_at: datetime | None = None
    #: Since when starts are refused for something that people have to mend.
    refused_since: datetime | None = None
    #: Since when the hub does not know the job.
    lost_since: datetime | None = None
    #: How often in a row the hub was busy, throttled or out of reach, and when it is asked again.
    tries: int = 0
    next_try_at: datetime | None = None
    #: Whether the job is to be cancelled.
    stop: Stop = Stop.NO
    #: Who works on it, and until when nobody else may.
    owner: str = ""
    lease_until: datetime | None = None
    #: RowKey of the queue marker; "" if there never was one.
    marker: str = ""
    #: New with each write: tells a process whether a write whose answer was lost was its own.
    stamp: str = ""

    #: The row's ETag; not a column.
    etag: str = Field("", exclude=True)

    @classmethod
    def of_upload(
        cls, hub: str, container: str, file: str, etag: str, uploaded_at: datetime, **members: Any
    ) -> Self:
        # 96 bits: two uploads out of a thousand million share an id once in 10^11 fleets.
        digest = hashlib.sha256("\n".join((container, file, etag)).encode()).hexdigest()[:24]
        return cls(
            hub=hub, id=digest, file=file, upload_etag=etag, uploaded_at=uploaded_at, **members
        )

    @property
    def row_key(self) -> str:
        """Newest first when listed; the same for the same upload."""
        return f"{record_key(self.uploaded_at)}-{self.id}"

    def waits(self, now: datetime) -> bool:
        """Whether the hub is to be left alone until later."""
        return self.next_try_at is not None and self.next_try_at > now

    def marker_key(self) -> str:
        """Oldest first. Storage tells upload times in whole seconds, so first sight breaks ties."""
        uploaded, seen = _milliseconds(self.uploaded_at), _milliseconds(self.created_at)
        return f"queue-{uploaded:013d}-{seen:013d}-{self.id}"

    def to_entity(self) -> dict[str, Any]:
        """The columns; empty ones are left out."""
        columns = self.model_dump(by_alias=True, exclude_none=True)
        columns |= {"state": self.state.value, "stop": self.stop.value}
        columns["history"] = json.dumps(
            [(state.value, time.isoformat()) for state, time in self.history]
        )
        columns["validation"] = json.dumps(self.validation)
        return {
            "PartitionKey": self.hub,
            "RowKey": self.row_key,
            **{name: value for name, value in columns.items() if value not in ("", "{}")},
        }


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Milliseconds since then that thirteen digits can tell, in the year 2286.
_LAST = 9_999_999_999_999


def index_key(import_id: str) -> str:
    """RowKey of the row that leads from an import's id to its record."""
    return f"id-{import_id}"


def event_key(due: datetime, import_id: str) -> str:
    """RowKey of the row that stands for an event: what is due first comes first."""
    return f"send-{_milliseconds(due):013d}-{import_id}"


def record_key(uploaded_at: datetime) -> str:
    """What the RowKeys of all uploads of that moment begin with."""
    return f"import-{_LAST - min(max(_milliseconds(uploaded_at), 0), _LAST):013d}"


def _milliseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(milliseconds=1)
