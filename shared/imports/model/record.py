"""The record of an import, in typed groups of columns.

A record is immutable: change it with `dataclasses.replace` and write it with `ImportStore`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime

from shared.imports.model.keys import queue_key, record_key, written_at
from shared.imports.model.states import ImportState

__all__ = [
    "NO_BACK_OFF",
    "NO_HUB",
    "NO_JOB",
    "NO_LEASE",
    "NO_PLAN",
    "Apply",
    "BackOff",
    "CancelReason",
    "Columns",
    "HubJob",
    "ImportRecord",
    "Lease",
    "Plan",
    "StagedFile",
    "is_ahead",
    "upload_id",
]

#: The partition of uploads whose folder is no route. Not a possible name of a hub.
NO_HUB = "(none)"

#: Import modes of lines that cannot be without effect.
_NEVER_UNCHANGED = frozenset({"create", "delete", "deleteIfMatchETag"})

#: A later lease or back-off was not set by the app: both last an hour at most, on clocks that may
#: differ.
FURTHEST_AHEAD = timedelta(hours=2)


class CancelReason(StrEnum):
    """Why the job of an import is being cancelled."""

    OPERATOR = "operator"
    DEADLINE = "deadline"


class Apply(StrEnum):
    """Which lines of a file the hub gets."""

    ALL = "all"
    CHANGES = "changes"


class Columns:
    """A group of columns. Their times must have a time zone."""

    def __post_init__(self) -> None:
        for column in fields(self):  # type: ignore[arg-type]
            value = getattr(self, column.name)
            if isinstance(value, datetime) and value.tzinfo is None:
                raise ValueError(f"{column.name} has no time zone")


@dataclass(frozen=True, kw_only=True)
class Lease(Columns):
    """The process that works on an import; until the lease ends, no other process may."""

    owner: str = ""
    until: AwareDatetime | None = field(default=None, metadata={"column": "leaseUntil"})


@dataclass(frozen=True, kw_only=True)
class BackOff(Columns):
    """What an open import waits for."""

    #: Calls in a row that failed because the hub or storage was busy, throttled or unreachable.
    hub_retries: int = 0
    #: Nothing is done for the import before that.
    next_try_at: AwareDatetime | None = None
    #: Since when the hub rejects the job for something that operators have to fix.
    refused_since: AwareDatetime | None = None
    #: Since when it is not known how the job ended: the hub does not know it, or wrote no log.
    unresolved_since: AwareDatetime | None = None
    #: Unexpected errors in a row.
    unexpected_errors: int = 0


@dataclass(frozen=True, kw_only=True)
class StagedFile(Columns):
    """The validated copy that the hub reads, in the import's own container."""

    #: The container of the staged file, the hub's log and the report; "" if there is none.
    container: str = ""
    etag: str = field(default="", metadata={"column": "stagedEtag"})
    #: Bytes.
    size: int | None = field(default=None, metadata={"column": "stagedBytes"})
    #: How often the file was renamed, so that a request on its way to the hub finds nothing.
    generation: int = field(default=0, metadata={"column": "stagedGeneration"})
    #: Ends the name of a renamed file: a process that wakes up late must not write it again.
    suffix: str = field(default="", metadata={"column": "stagedSuffix"})
    #: Whether lines.bin maps staged lines to lines of the upload.
    has_line_map: bool = False
    #: The beginning of its name; "" for that of the hub's default name.
    stem: str = field(default="", metadata={"column": "stagedStem"})

    @property
    def name(self) -> str:
        """At first the hub's default name."""
        parts = [self.stem or "devices", str(self.generation or ""), self.suffix]
        return f"{'-'.join(filter(None, parts))}.txt"


@dataclass(frozen=True, kw_only=True)
class Plan(Columns):
    """What the lines of an import were found to change, before they were sent."""

    #: When the registry was read; None if the import was not planned.
    as_of: AwareDatetime | None = field(default=None, metadata={"column": "planAsOf"})
    digest: str = field(default="", metadata={"column": "planDigest"})
    #: Paths within the storage account of plan.json and plan.csv, and of the lines that would fail.
    path: str = field(default="", metadata={"column": "plan"})
    rows: str = field(default="", metadata={"column": "planRows"})
    failures: str = field(default="", metadata={"column": "planFailures"})
    #: Lines that the hub gets, and lines that are not sent since they would fail.
    sent: int | None = field(default=None, metadata={"column": "planSent"})
    failed: int | None = field(default=None, metadata={"column": "planFailed"})
    #: Why there is no plan although one was to be made: all lines are sent.
    missing: str = field(default="", metadata={"column": "planMissing"})


@dataclass(frozen=True, kw_only=True)
class HubJob(Columns):
    """The import job as the hub reports it."""

    id: str = field(default="", metadata={"column": "jobId"})
    status: str = field(default="", metadata={"column": "jobStatus"})
    failure_reason: str = field(default="", metadata={"column": "jobFailureReason"})
    #: Percent.
    progress: int | None = None
    start_time_utc: AwareDatetime | None = None
    end_time_utc: AwareDatetime | None = None


NO_LEASE = Lease()
NO_JOB = HubJob()
NO_PLAN = Plan()
NO_BACK_OFF = BackOff()


@dataclass(frozen=True, kw_only=True)
class ImportRecord(Columns):
    """A row of the table. A column has the name of its field in camelCase."""

    #: Name of the hub; the row's partition key.
    hub: str
    #: See `upload_id`.
    id: str
    #: Name of the uploaded blob in the upload container, folders included.
    file: str
    #: "" if the record was deleted and only its end was written again.
    upload_etag: str = ""
    #: Last-Modified of the upload, in whole seconds; for a retry, when it was requested.
    uploaded_at: AwareDatetime
    #: Bytes of the uploaded blob.
    size: int = 0
    #: The id of the import whose staged lines this one imports again; "" for an upload.
    retry_of: str = ""

    state: ImportState = ImportState.VALIDATING
    #: For operators: why the import ended as it did or what it waits for, and what to do.
    failure_reason: str = ""
    created_at: AwareDatetime
    updated_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    #: Each state with the time at which it was entered, oldest first.
    history: tuple[tuple[ImportState, AwareDatetime], ...] = ()

    #: Attempts to validate the file, without those that failed because storage was unavailable.
    validation_attempts: int = 0
    #: Lines of the file that are not blank, and those that break a rule.
    lines: int | None = None
    invalid_lines: int | None = None
    #: Counts of the validation, in the form of report.json without the problems.
    validation: dict[str, Any] = field(default_factory=dict)
    #: Valid devices and modules; of these, imported, failed, and not sent since they would change
    #: nothing. None: not known.
    devices: int | None = None
    imported: int | None = None
    failed: int | None = None
    unchanged: int | None = None

    #: Paths within the storage account; "" for a file that was not written.
    report: str = ""
    problems: str = ""
    #: The lines that the hub rejected.
    retry: str = ""

    #: Row key of the queue row; "" if there never was one.
    queue_key: str = ""
    #: Which of the hub's jobs, from 1, is to take it, as last counted; None unless it is queued.
    queue_position: int | None = None
    #: Which devices its lines touch, see `Footprint`; empty if it cannot be in a job with others.
    footprint: bytes = b""
    #: The id of its `JobRecord`, and how many files are in that job; "" and None if it has none.
    job_record: str = ""
    job_files: int | None = None
    #: When the hub was last asked for a job.
    last_start_at: AwareDatetime | None = None
    cancel_reason: CancelReason | None = None
    #: As it was set when the file was validated.
    apply: Apply = Apply.ALL

    staged: StagedFile = StagedFile()
    plan: Plan = NO_PLAN
    #: The file of the lines that the plan sends; empty if all staged lines are sent.
    planned: StagedFile = field(default=StagedFile(), metadata={"prefix": "planned"})
    job: HubJob = NO_JOB
    back_off: BackOff = NO_BACK_OFF
    lease: Lease = NO_LEASE

    #: New with each write: a process recognises its own write whose answer was lost.
    write_id: str = ""
    #: The row's ETag; not a column.
    etag: str = field(default="", compare=False)

    @property
    def row_key(self) -> str:
        """The same for the same upload."""
        return record_key(self.uploaded_at, self.id)

    @property
    def new_queue_key(self) -> str:
        """The row key of its queue row.

        Storage reports upload times in whole seconds. Within a second the ETag decides where it
        contains the time of the write (`written_at`), else when the upload was first seen.
        """
        written = None if self.retry_of else written_at(self.upload_etag, self.uploaded_at)
        return queue_key(written or self.uploaded_at, self.created_at, self.id)

    @property
    def started_at(self) -> datetime:
        """When the job of a running import was requested."""
        return self.last_start_at or self.updated_at

    @property
    def ended_at(self) -> datetime:
        """When a final import ended."""
        return self.finished_at or self.updated_at

    @property
    def has_unknown_counts(self) -> bool:
        """Whether the import ended and it is not known how many devices were imported."""
        return self.state.is_final and self.imported is None

    @property
    def lines_to_apply(self) -> int:
        """How many valid lines are not known to be unchanged."""
        return (self.devices or 0) - (self.unchanged or 0)

    @property
    def is_planned(self) -> bool:
        """Whether it was compared with the registry, or that was given up."""
        return self.plan.as_of is not None or bool(self.plan.missing)

    @property
    def needs_plan(self) -> bool:
        """Whether it is to be compared with the registry before its job."""
        if self.is_planned or self.apply is Apply.ALL or not self.devices:
            return False
        modes = self.validation.get("importModes")
        # Lines that only create or only delete always change something, or fail.
        return not modes or not all(mode in _NEVER_UNCHANGED for mode in modes)

    @property
    def goes_alone(self) -> bool:
        """Whether no other import may be in its job."""
        return self.needs_plan or self.is_planned

    @property
    def file_for_hub(self) -> StagedFile:
        """The lines that the hub gets."""
        return self.planned if self.planned.container else self.staged

    def with_file_for_hub(self, file: StagedFile) -> ImportRecord:
        if self.planned.container:
            return replace(self, planned=file)
        return replace(self, staged=file)

    @property
    def shares_job(self) -> bool:
        """Whether other files are, or were, in its job."""
        return self.job_record not in ("", self.id)

    @property
    def is_fully_imported(self) -> bool:
        """Whether it is proven that every line of the file was imported."""
        return (
            self.state is ImportState.COMPLETED
            and self.failed == 0
            and self.invalid_lines == 0
            and self.devices is not None
            and self.imported == self.lines_to_apply
            and self.devices == self.lines
        )

    @property
    def is_being_cancelled(self) -> bool:
        """Whether an operator cancelled the import and its job has not ended yet."""
        return not self.state.is_final and self.cancel_reason is CancelReason.OPERATOR

    @property
    def can_be_cancelled(self) -> bool:
        has_ended = self.shares_job and self.job.end_time_utc is not None
        return not (self.state.is_final or self.is_being_cancelled or has_ended)

    @property
    def can_be_retried(self) -> bool:
        """Whether a part of the import can be imported again as it is."""
        if self.has_rejected_lines_only:
            return bool(self.retry)
        if self.state is ImportState.FAILED and self.devices is None:
            # It was never staged, not because of the file: the upload is validated again.
            return bool(self.upload_etag)
        return self.state.is_retryable and bool(self.devices)

    @property
    def has_rejected_lines_only(self) -> bool:
        """Whether a retry imports only the lines that the hub rejected, not all staged lines."""
        return self.state is ImportState.COMPLETED_WITH_ERRORS

    def is_backing_off(self, now: datetime) -> bool:
        """Whether nothing is to be done for the import yet."""
        return is_ahead(self.back_off.next_try_at, now)

    def is_leased(self, now: datetime) -> bool:
        """Whether a process works on it."""
        return is_ahead(self.lease.until, now)


def upload_id(table: str, container: str, file: str, etag: str) -> str:
    """The id of the import of an upload: the same each time.

    The table is part of it, so that two deployments on one upload container never share an import.
    96 bits: among a thousand million uploads, two share an id once in 10^11 fleets.
    """
    # Names of tables are not case-sensitive.
    identity = "\n".join((table.lower(), container, file, etag))
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def is_ahead(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now < moment <= now + FURTHEST_AHEAD
