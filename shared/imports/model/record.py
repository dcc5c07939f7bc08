"""The record of an import, in typed groups of columns.

A record is immutable: change it with `dataclasses.replace` and write it with `ImportStore`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime

from shared.imports.model.columns import Columns
from shared.imports.model.keys import (
    EPOCH,
    moved_queue_key,
    queue_key,
    queued_at_of,
    record_key,
    written_at,
)
from shared.imports.model.parts import (
    NO_BACK_OFF,
    NO_FILE,
    NO_JOB,
    NO_LEASE,
    NO_PLAN,
    BackOff,
    HubJob,
    Lease,
    Plan,
    StagedFile,
)
from shared.imports.model.safeguards import NO_HOLD, NO_SAFEGUARDS, Act, Hold, Safeguards
from shared.imports.model.states import ImportState

__all__ = [
    "NO_HUB",
    "Apply",
    "CancelReason",
    "ImportRecord",
    "is_ahead",
    "upload_id",
]

#: The partition of uploads whose folder is no route. Not a possible name of a hub.
NO_HUB = "(none)"

#: Import modes of lines that delete, and of all that cannot be without effect.
_DELETES = frozenset({"delete", "deleteIfMatchETag"})
_NEVER_UNCHANGED = _DELETES | {"create"}

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
    #: The id of the import that this one undoes, and the number of that undo; "" if it is none.
    undo_of: str = ""
    undo_number: int | None = None
    #: Whether an undo also overwrites what was changed after the import that it undoes.
    also_changed: bool | None = None

    state: ImportState = ImportState.VALIDATING
    #: For operators: why the import ended as it did or what it waits for, and what to do.
    failure_reason: str = ""
    created_at: AwareDatetime
    updated_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    #: Each state with the time at which it was entered, oldest first.
    history: tuple[tuple[ImportState, AwareDatetime], ...] = ()
    #: What people did with it, oldest first.
    acts: tuple[Act, ...] = ()

    #: Attempts to validate the file, without those that failed because storage was unavailable.
    validation_attempts: int = 0
    #: How far a validation was that takes long: bytes of the upload and lines that it had read.
    #: None: not known, or not being validated.
    validated_bytes: int | None = None
    validated_lines: int | None = None
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
    #: Of an undo: not sent, since their devices changed after the import that is undone.
    left_out: int | None = None

    #: Version of the mapping of the file's folder that was applied; "" for none.
    mapping_etag: str = ""
    #: Paths within the storage account; "" for a file that was not written.
    mapping: str = ""
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
    safeguards: Safeguards = NO_SAFEGUARDS
    hold: Hold = NO_HOLD

    staged: StagedFile = NO_FILE
    plan: Plan = NO_PLAN
    #: The file of the lines that the plan sends; empty if all staged lines are sent.
    planned: StagedFile = field(default=NO_FILE, metadata={"prefix": "planned"})
    #: Sent after that in a job of its own, since its lines need devices that the first one makes.
    second: StagedFile = field(default=NO_FILE, metadata={"prefix": "second"})
    second_lines: int | None = None
    #: Its copy in the container of the second job, once that is begun.
    second_for_hub: StagedFile = field(default=NO_FILE, metadata={"prefix": "secondForHub"})
    #: What the devices were that the import changes or deletes: lines of an export, with keys, in a
    #: container of its own. An undo gives that back.
    backup: StagedFile = field(default=NO_FILE, metadata={"prefix": "backup"})
    backup_lines: int | None = None
    #: How many devices and modules the import creates, by its plan: an undo deletes them.
    creates: int | None = None
    #: Of an undo: the lines that the import sent which it undoes, in the container of its backup.
    undone: StagedFile = field(default=NO_FILE, metadata={"prefix": "undone"})
    undone_lines: int | None = None
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

    def queue_key_of_approval(self, approved_at: datetime) -> str:
        """The row key of its queue row from then on: at the end of the queue as it is then."""
        return moved_queue_key(approved_at, self.uploaded_at, self.id)

    @property
    def first_queue_key(self) -> str:
        """The row key of its queue row before all others."""
        return moved_queue_key(EPOCH, self.uploaded_at, self.id)

    @property
    def queued_at(self) -> datetime:
        """Every upload that is older than that goes before it; in whole seconds, as uploads."""
        queued_at = queued_at_of(self.queue_key)
        return queued_at.replace(microsecond=0) if queued_at else self.uploaded_at

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
    def deletes(self) -> int | None:
        """How many of its valid lines delete a device or module; None: not known.

        By its plan if there is one, as an undo has no import modes of its own.
        """
        if self.plan.counts:
            return self.plan.counts.get("delete", 0)
        modes: dict[str, int] = self.validation.get("importModes") or {}
        if not modes:
            return None
        return sum(count for mode, count in modes.items() if mode in _DELETES)

    @property
    def lines_to_apply(self) -> int:
        """How many valid lines are not known to be unchanged."""
        return (self.devices or 0) - (self.unchanged or 0) - (self.left_out or 0)

    @property
    def is_planned(self) -> bool:
        """Whether it was compared with the registry, or that was given up."""
        return self.plan.as_of is not None or bool(self.plan.missing)

    @property
    def is_to_be_compared_again(self) -> bool:
        """Whether it was approved, and may delete what has changed since its plan."""
        return self.hold.compared_again is False

    @property
    def needs_plan(self) -> bool:
        """Whether it is to be compared with the registry before its job."""
        if self.is_to_be_compared_again:
            return True
        if self.is_planned or not self.devices:
            return False
        modes = self.validation.get("importModes") or {}
        if self.undo_of or self.safeguards.need_plan(modes):
            return True
        # Lines that only create or only delete always change something, or fail.
        is_sure = bool(modes) and all(mode in _NEVER_UNCHANGED for mode in modes)
        return self.apply is Apply.CHANGES and not is_sure

    @property
    def goes_alone(self) -> bool:
        """Whether no other import may be in its job."""
        return self.needs_plan or self.is_planned

    @property
    def file_for_hub(self) -> StagedFile:
        """The lines that the hub gets."""
        if self.is_in_second_job:
            return self.second_for_hub
        return self.planned if self.planned.container else self.staged

    @property
    def is_in_second_job(self) -> bool:
        return bool(self.second_for_hub.container)

    @property
    def had_no_job(self) -> bool:
        """Whether it is certain that no job was ever requested for it."""
        is_first = not (self.file_for_hub.generation or self.is_in_second_job)
        return self.state.had_no_job and is_first

    @property
    def first_lines(self) -> int:
        """How many lines of a plan are sent in the first job, which is the only one of most."""
        return (self.plan.sent or 0) - (self.second_lines or 0)

    def with_file_for_hub(self, file: StagedFile) -> ImportRecord:
        if self.is_in_second_job:
            return replace(self, second_for_hub=file)
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
        if self.undo_of:
            # It is undone again, by what the registry is then.
            return False
        if self.has_rejected_lines_only:
            return bool(self.retry)
        if self.state is ImportState.FAILED and self.devices is None:
            # It was never staged, not because of the file: the upload is validated again.
            return bool(self.upload_etag)
        return self.state.is_retryable and bool(self.devices)

    @property
    def can_be_undone(self) -> bool:
        """Whether there is something to give back, as long as its backup is kept."""
        # A job may have applied a part of each line that its log reports as failed.
        may_have_effect = self.imported != 0 or bool(self.job.id)
        return self.state.is_final and bool(self.backup.container) and may_have_effect

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
