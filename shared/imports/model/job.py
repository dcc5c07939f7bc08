"""The record of a job: the imports whose lines the hub gets at once, and how far the job is.

An import that is alone is the only member of its job, whose container and file are its own. A job
of several has a container with a file of all their lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from shared.imports.model.columns import Columns
from shared.imports.model.keys import import_id_of, job_key
from shared.imports.model.parts import (
    NO_BACK_OFF,
    NO_JOB,
    NO_LEASE,
    BackOff,
    HubJob,
    Lease,
    StagedFile,
)
from shared.imports.model.record import CancelReason, ImportRecord, is_ahead
from shared.imports.model.safeguards import Act
from shared.imports.model.states import ImportState

__all__ = ["JobKind", "JobRecord", "JobState"]


class JobKind(StrEnum):
    """What a job is for."""

    IMPORT = "import"
    #: Reads the registry, to plan its only member. It changes nothing at the hub.
    PLAN = "plan"


class JobState(StrEnum):
    """The state of a job. Only in the first two it is certain that there is no job at the hub."""

    #: Its members are chosen, and its file is written.
    PREPARING = "preparing"
    #: The hub refused the job for now: it is asked again after a back-off.
    REFUSED = "refused"
    #: The hub is asked for the job, or was asked and its answer is not known.
    ASKED = "asked"
    #: The hub has the job.
    ACCEPTED = "accepted"
    #: The job has ended, and it is decided how; the records of its members become final.
    ENDED = "ended"

    def may_become(self, state: JobState) -> bool:
        return state in _NEXT[self]


_NEXT = {
    # Refused: a comparison by lookups that failed.
    JobState.PREPARING: {JobState.ASKED, JobState.REFUSED, JobState.ENDED},
    JobState.REFUSED: {JobState.ASKED, JobState.ENDED},
    JobState.ASKED: {JobState.REFUSED, JobState.ACCEPTED, JobState.ENDED},
    # Refused again: an export that failed.
    JobState.ACCEPTED: {JobState.REFUSED, JobState.ENDED},
    JobState.ENDED: set[JobState](),
}


_RecordKey = Annotated[str, Field(pattern=r"^import-[0-9]{10}-[0-9a-f]{24}$")]


@dataclass(frozen=True, kw_only=True)
class JobRecord(Columns):
    """A row of the table. A column has the name of its field in camelCase."""

    #: Name of the hub; the row's partition key.
    hub: str
    #: That of the import if it is alone.
    id: str
    #: Row keys of the records of its members, in queue order. Nobody else is a member.
    members: Annotated[tuple[_RecordKey, ...], Field(min_length=1)]
    kind: JobKind = JobKind.IMPORT
    #: How many lines of the file are each member's, in this order; none if that is not known.
    member_lines: tuple[int, ...] = ()
    #: The file that the hub reads. Its container has the hub's log, too. Of a plan: the container
    #: that the hub writes the export to.
    staged: StagedFile

    state: JobState
    #: Each state with the time at which it was entered, oldest first.
    history: tuple[tuple[JobState, AwareDatetime], ...] = ()
    created_at: AwareDatetime
    updated_at: AwareDatetime
    #: What the job waits for, and what to do.
    failure_reason: str = ""
    #: When the hub was last asked for the job.
    last_start_at: AwareDatetime | None = None
    cancel_reason: CancelReason | None = None
    #: What people did with the job, which concerns all of its members.
    acts: tuple[Act, ...] = ()
    #: Whether its row was deleted or edited and written again, so that not all is known of it.
    is_restored: bool = False
    #: Of a plan: how often reading the registry was begun.
    attempts: int = 0
    #: How the job ended, once that is decided; in `completed` the log tells the members apart.
    end_state: ImportState | None = None
    end_reason: str = ""
    #: Whether it is certain that the hub applied nothing.
    is_unapplied: bool = False
    #: ETag of the log by which it was decided; "" if there was none.
    log_etag: str = ""

    job: HubJob = NO_JOB
    back_off: BackOff = NO_BACK_OFF
    lease: Lease = NO_LEASE

    #: New with each write: a process recognises its own write whose answer was lost.
    write_id: str = ""
    #: The row's ETag; not a column.
    etag: str = ""

    @property
    def row_key(self) -> str:
        return job_key(self.id)

    @property
    def is_shared(self) -> bool:
        """Whether its file and container are those of no import."""
        return import_id_of(self.members[0]) != self.id

    @property
    def started_at(self) -> datetime:
        """When the job was requested."""
        return self.last_start_at or self.created_at

    @property
    def was_unanswered(self) -> bool:
        """Whether a request had no answer: then the file was renamed."""
        return self.staged.generation > 0

    @property
    def may_be_at_hub(self) -> bool:
        """Whether the hub may have the job, or may have had it."""
        if self.kind is JobKind.PLAN:
            # While it is compared, the export is complete.
            return self.state is JobState.ACCEPTED and not self.lease.owner
        is_asked = self.state not in (JobState.PREPARING, JobState.REFUSED)
        return is_asked or self.was_unanswered or self.is_restored

    @property
    def accepted_at(self) -> datetime | None:
        """When the hub was first known to have the job."""
        return next((at for state, at in self.history if state is JobState.ACCEPTED), None)

    @property
    def import_state(self) -> ImportState:
        """The state of its members."""
        if self.kind is JobKind.PLAN:
            return ImportState.PLANNING
        if self.state in (JobState.PREPARING, JobState.REFUSED):
            return ImportState.QUEUED
        if self.state is JobState.ENDED and self.is_unapplied:
            return ImportState.QUEUED
        return ImportState.RUNNING if self.accepted_at else ImportState.STARTING

    def is_backing_off(self, now: datetime) -> bool:
        """Whether nothing is to be done for the job yet."""
        return is_ahead(self.back_off.next_try_at, now)

    def is_leased(self, now: datetime) -> bool:
        """Whether a process works on it."""
        return is_ahead(self.lease.until, now)

    def unresolved(self, now: datetime) -> tuple[datetime, timedelta]:
        """Since when, and how long, it is not known how the job ended."""
        since = min(self.back_off.unresolved_since or now, now)
        return since, now - since

    def member(self, record: ImportRecord) -> ImportRecord:
        """The record of a member with what its job adds, as it is shown."""
        history = _before_job(record)
        if self.import_state not in (ImportState.QUEUED, ImportState.PLANNING):
            history = (*history, (ImportState.STARTING, self.started_at))
            if self.accepted_at:
                history = (*history, (ImportState.RUNNING, self.accepted_at))
        is_alone = self.kind is JobKind.IMPORT and not self.is_shared
        return replace(
            record.with_file_for_hub(self.staged) if is_alone else record,
            state=self.import_state,
            history=history,
            failure_reason=self.failure_reason or record.failure_reason,
            updated_at=max(record.updated_at, self.updated_at),
            job_record=self.id,
            job_files=len(self.members),
            queue_position=1 if self.import_state is ImportState.QUEUED else None,
            last_start_at=self.last_start_at,
            cancel_reason=self.cancel_reason,
            acts=(*record.acts, *self.acts),
            job=self.job,
            back_off=self.back_off,
            lease=self.lease,
        )

    def ending(self, record: ImportRecord) -> ImportRecord:
        """The record of a member as it ends: an export is not the job of an import."""
        member = self.member(record)
        if self.kind is not JobKind.PLAN:
            return member
        return replace(member, job=NO_JOB, job_record="", job_files=None, last_start_at=None)


def _before_job(record: ImportRecord) -> tuple[tuple[ImportState, datetime], ...]:
    """The history of an import without its jobs, which may have been dissolved."""
    history: list[tuple[ImportState, datetime]] = []
    for state, at in record.history:
        is_again = bool(history) and history[-1][0] is state
        if state not in (ImportState.STARTING, ImportState.RUNNING) and not is_again:
            history.append((state, at))
    return tuple(history)
