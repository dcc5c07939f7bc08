"""One import: what the table keeps of it, its states, and the ways between them."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "NO_HUB",
    "SCHEMA",
    "TRANSITIONS",
    "ImportRecord",
    "ImportState",
    "Stop",
    "event_key",
    "first_record_key",
    "import_id_of",
    "record_key",
    "record_key_of",
    "uploaded_at_of",
    "written_at",
]

#: Stands for the hub of an upload whose folder names none. Not a possible name of a hub.
NO_HUB = "(none)"

#: Number of the present form of all rows. A row with a higher number was written by a newer version
#: of the app and is left alone.
SCHEMA = 1


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
    _S.RUNNING: frozenset({_S.COMPLETED, _S.COMPLETED_WITH_ERRORS, _S.FAILED, _S.CANCELLED}),
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


#: The longest lease and the longest back-off, an hour each, on clocks that are apart.
FURTHEST_AHEAD = timedelta(hours=2)


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class ImportRecord(BaseModel):
    """A row of the table. Members are stored under their camelCase names."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    #: Name of the hub; the row's partition key.
    hub: str
    #: Hash of table, container, name and ETag of the upload: the same upload gives the same id.
    id: str
    #: Name of the uploaded blob in the upload container, folders included.
    file: str
    #: "" if the record was deleted and only its end was written again.
    upload_etag: str = ""
    #: Last-Modified of the upload, in whole seconds; of a retry, when it was asked for.
    uploaded_at: AwareDatetime
    #: Bytes of the uploaded blob.
    size: int = 0
    state: ImportState = ImportState.VALIDATING
    #: For an operator: why the import ended as it did or what it waits for, and what to do.
    failure_reason: str = ""

    created_at: AwareDatetime
    updated_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    #: Each state with the time at which it was entered, oldest first.
    history: Annotated[
        tuple[tuple[ImportState, AwareDatetime], ...], BeforeValidator(_from_json)
    ] = ()

    #: Lines of the file that are not blank, and those that break a rule.
    lines: int | None = None
    invalid_lines: int | None = None
    #: Devices and modules given to the hub.
    devices: int | None = None
    #: Of these, those that the hub took and those that it refused. None in a final record means
    #: that it is not known.
    imported: int | None = None
    failed: int | None = None
    #: Counts of the validation, in the report's form but without the problems.
    validation: Annotated[dict[str, Any], BeforeValidator(_from_json)] = Field(default_factory=dict)

    #: The container of the staged file, the hub's log and the report; "" if there is none.
    container: str = ""
    #: ETag and bytes of the staged file: what the hub reads has to be what was validated.
    staged_etag: str = ""
    staged_bytes: int | None = None
    #: Path of the report within the storage account; "" until it is written.
    report: str = ""
    #: Path of problems.csv within the storage account; "" if the validation found no problem.
    problems: str = ""
    #: Path of the lines that the hub refused, within the storage account; "" if there are none.
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
    start_time_utc: AwareDatetime | None = None
    end_time_utc: AwareDatetime | None = None

    #: Attempts to validate the file. One that storage did not allow is not counted.
    attempts: int = 0
    #: How often in a row an unexpected error stopped the work on it.
    errors: int = 0
    #: How many times the staged file got another name, so that a call for a job that was on its way
    #: would find nothing to import.
    staged_generation: int = 0
    #: When the hub was last asked for a job.
    last_start_at: AwareDatetime | None = None
    #: Since when starts are refused for something that people have to mend.
    refused_since: AwareDatetime | None = None
    #: Since when nothing tells how the job ended: the hub does not know it, or there is no log.
    unresolved_since: AwareDatetime | None = None
    #: How often in a row the hub or storage was busy, throttled or out of reach, and when it is
    #: asked again.
    tries: int = 0
    next_try_at: AwareDatetime | None = None
    #: Whether the job is to be cancelled.
    stop: Stop = Stop.NO
    #: Who works on it, and until when nobody else may.
    owner: str = ""
    lease_until: AwareDatetime | None = None
    #: RowKey of the queue marker; "" if there never was one.
    marker: str = ""
    #: New with each write: tells a process whether a write whose answer was lost was its own.
    stamp: str = ""

    #: The row's ETag; not a column.
    etag: str = Field("", exclude=True)

    @classmethod
    def of_upload(
        cls,
        hub: str,
        table: str,
        container: str,
        file: str,
        etag: str,
        uploaded_at: datetime,
        **members: Any,
    ) -> Self:
        """The record of an upload. Its id is the same each time.

        The table is part of the id, so that two deployments on one upload container never share
        one. 96 bits: two uploads out of a thousand million share an id once in 10^11 fleets.
        """
        # Names of tables are not case-sensitive.
        identity = "\n".join((table.lower(), container, file, etag))
        digest = hashlib.sha256(identity.encode()).hexdigest()[:24]
        return cls(
            hub=hub, id=digest, file=file, upload_etag=etag, uploaded_at=uploaded_at, **members
        )

    @property
    def row_key(self) -> str:
        """Newest first when listed; the same for the same upload."""
        return f"{record_key(self.uploaded_at)}-{self.id}"

    @property
    def has_unknown_counts(self) -> bool:
        """Whether the import has ended and nobody knows how many devices the hub took."""
        return self.state.is_final and self.imported is None

    @property
    def is_fully_imported(self) -> bool:
        """Whether it is proven that the hub took every line of the file."""
        return (
            self.state is ImportState.COMPLETED
            and self.failed == 0
            and self.invalid_lines == 0
            and self.devices is not None
            and self.imported == self.devices == self.lines
        )

    def waits(self, now: datetime) -> bool:
        """Whether the import is to be left alone until later."""
        return _is_ahead(self.next_try_at, now)

    def is_leased(self, now: datetime) -> bool:
        """Whether a process works on it."""
        return _is_ahead(self.lease_until, now)

    def marker_key(self) -> str:
        """RowKey of its place in the queue: oldest first.

        Storage tells upload times in whole seconds. Within a second the ETag decides where it holds
        the time of the write (`written_at`), else first sight.
        """
        uploaded = written_at(self.upload_etag, self.uploaded_at) if not self.retry_of else None
        moment = _since_epoch(uploaded or self.uploaded_at, timedelta(microseconds=1))
        seen = _since_epoch(self.created_at, timedelta(milliseconds=1))
        return f"queue-{moment:016d}-{seen:013d}-{self.id}"

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
            "schema": SCHEMA,
            **{name: value for name, value in columns.items() if value not in ("", "{}")},
        }


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Seconds since then that ten digits can tell, in the year 2286.
_LAST = 9_999_999_999
_LATEST = _EPOCH + timedelta(seconds=_LAST)

_RECORD_KEY = re.compile(r"import-(\d{10})-[0-9a-f]{24}", re.ASCII)
_MARKER_KEY = re.compile(r"queue-(\d{16})-\d{13}-([0-9a-f]{24})", re.ASCII)

#: .NET's tick zero, and the length of its ticks in microseconds.
_TICK_ZERO = datetime(1, 1, 1, tzinfo=UTC)
_TICKS_PER_MICROSECOND = 10


def written_at(etag: str, last_modified: datetime) -> datetime | None:
    """When a blob was written, to the microsecond, if its ETag holds that.

    An ETag of Azure Storage is the .NET tick count of that moment in hexadecimal. This is not
    documented, so it is trusted only where it decodes to the second of Last-Modified; elsewhere
    (Azurite has other ETags) the answer is None.
    """
    try:
        ticks = int(etag.strip('"').removeprefix("0x"), 16)
        moment = _TICK_ZERO + timedelta(microseconds=ticks // _TICKS_PER_MICROSECOND)
    except (ValueError, OverflowError):
        return None
    return moment if moment.replace(microsecond=0) == last_modified else None


def _is_ahead(time: datetime | None, now: datetime) -> bool:
    """Whether that time is still to come. One that is far ahead was not set by the app."""
    return time is not None and now < time <= now + FURTHEST_AHEAD


def event_key(due: datetime, import_id: str) -> str:
    """RowKey of the row that stands for an event: what is due first comes first."""
    return f"send-{_since_epoch(due, timedelta(milliseconds=1)):013d}-{import_id}"


def record_key(uploaded_at: datetime) -> str:
    """What the RowKeys of all uploads of that second begin with."""
    seconds = _since_epoch(uploaded_at, timedelta(seconds=1))
    return f"import-{_LAST - min(max(seconds, 0), _LAST):010d}"


def first_record_key(moment: datetime) -> str:
    """As `record_key`, of the first whole second from that moment on."""
    return record_key(moment if moment > _LATEST else moment + timedelta(microseconds=999_999))


def uploaded_at_of(row_key: str) -> datetime:
    """When the upload of a record was made, by the record's RowKey.

    Raises:
        ValueError: the RowKey is not that of a record.
    """
    match = _RECORD_KEY.fullmatch(row_key)
    if match is None:
        raise ValueError(f"{row_key!r} is not the RowKey of a record")
    return _EPOCH + timedelta(seconds=_LAST - int(match[1]))


def record_key_of(marker_key: str) -> str:
    """RowKey of the record that a place in the queue stands for.

    Raises:
        ValueError: the RowKey is not that of a place in the queue.
    """
    match = _MARKER_KEY.fullmatch(marker_key)
    if match is None:
        raise ValueError(f"{marker_key!r} is not the RowKey of a place in the queue")
    return f"{record_key(_EPOCH + timedelta(microseconds=int(match[1])))}-{match[2]}"


def import_id_of(row_key: str) -> str:
    """The import's id in the RowKey of its record or of a place in the queue."""
    return row_key.rpartition("-")[2]


def _since_epoch(time: datetime, unit: timedelta) -> int:
    return (time - _EPOCH) // unit
