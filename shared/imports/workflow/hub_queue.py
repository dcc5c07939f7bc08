"""A hub's queue: an import enters it, and ticks take the hub's jobs and its head further.

Only the head of a queue gets a job, with those behind it that may go along, so uploads are applied
in order. The queue alone does not know who is first, because events of older uploads may still be
missing. So before a job starts, `job_members` makes sure that every upload that is older than
the newest of its imports has its record, and the queue is read again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableEntity

from shared import logs
from shared.imports import metrics
from shared.imports.model.job import JobKind, JobRecord, JobState
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_store import ConflictError
from shared.imports.store.job_store import MAX_MEMBERS
from shared.imports.store.queue_rows import MAX_ROWS, QueueRow
from shared.imports.store.rows import NewerRowError, UnreadableRowError, to_job
from shared.imports.tracing import log_context, log_job_context
from shared.imports.workflow.event_publisher import EventPublisher
from shared.imports.workflow.hub_work import HubWork
from shared.imports.workflow.intake import Intake
from shared.imports.workflow.job_ends import JobEnds
from shared.imports.workflow.job_follower import JobFollower
from shared.imports.workflow.job_members import JobMembers
from shared.imports.workflow.job_starter import JobStarter
from shared.imports.workflow.planning import Planning
from shared.imports.workflow.queue_position import note_position
from shared.imports.workflow.registration import record_deletion
from shared.imports.workflow.unexpected import end_or_back_off
from shared.imports.workflow.upload_scan import UploadScan
from shared.storage.client import is_outage

__all__ = ["HubQueue"]

log = logs.logger(__name__)

#: The hub is asked for an older job at each tick only, even if other imports wait.
YOUNG_JOB = timedelta(seconds=60)

#: Files up to that size are validated by a tick, if their event did not bring it about.
MAX_VALIDATED_BYTES = 128 * 1024

#: Open imports among which those of a job are looked for whose row was deleted.
MAX_SEARCHED = 1000

#: How long the queue waits behind a row that a newer version of the app wrote: both versions are at
#: work during a deployment. After that time the row is passed over.
NEWER_VERSION_WAIT = timedelta(minutes=10)


class HubQueue:
    """The queues of all hubs. Ticks may overlap: each write is guarded."""

    def __init__(
        self,
        services: Services,
        intake: Intake,
        upload_scan: UploadScan,
        publisher: EventPublisher | None = None,
    ) -> None:
        self._services = services
        self._settings = services.settings
        self._store = services.store
        self._rows = services.queue_rows
        self._intake = intake
        self._upload_scan = upload_scan
        self._publisher = publisher
        self._ends = JobEnds(services)
        self._starter = JobStarter(services, self._ends)
        self._follower = JobFollower(services, self._ends)
        self._planning = Planning(services)
        self._members = JobMembers(services, upload_scan)

    def enter(self, record: ImportRecord) -> None:
        """Start a queued import if it is the head; otherwise it waits for a later tick.

        An import of a hub that is not configured waits until it is.

        Raises:
            ConflictError: another process was first.
        """
        if record.hub not in self._services.hubs:
            return
        work = self._read(record.hub)
        waiting = work.waiting()
        is_head = bool(waiting) and waiting[0].record_key == record.row_key
        if is_head and not work.occupying and not work.is_blocked:
            self._start_next(record.hub, work, record)
        if work.is_whole and not any(record.row_key in job.members for job in work.jobs):
            note_position(self._services, record)

    def advance(self, hub: str) -> bool:
        """Take the hub's jobs and its queue as far as they go without waiting.

        Returns:
            Whether to do so again soon: a young job runs, and others wait.

        Raises:
            AzureError: storage is unavailable.
        """
        work = self._read(hub)
        self._advance_jobs(work)
        while not work.occupying and not work.is_blocked and self._start_next(hub, work):
            # Only now, as the hub is at work again.
            self._end_jobs(work)
        self._end_jobs(work)
        job = work.occupying
        if job is None or not self._is_young(job):
            return False
        # The only member of a comparison waits for its own job.
        return job.kind is JobKind.PLAN or bool(work.waiting()) or not work.is_whole

    def _read(self, hub: str) -> HubWork:
        # In this order: what is older than that is in the queue if it is open.
        registered_until = self._upload_scan.registered_until
        found = self._rows.open_work(hub)
        if self._publisher:
            self._publisher.offer(hub, found.events)
        head = found.queue[0].queued_at if found.queue else None
        metrics.queue_age(hub, head, self._services.clock())
        work = HubWork([], found.queue, MAX_ROWS, registered_until)
        if work.is_whole:
            metrics.queue_length(hub, len(found.queue))
        for row in found.jobs:
            self._read_job(work, row)
        return work

    def _read_job(self, work: HubWork, row: TableEntity) -> None:
        try:
            work.jobs.append(to_job(row))
        except NewerRowError as error:
            work.is_blocked |= self._is_waited_for(error)
        except UnreadableRowError as error:
            # Its imports lead to a new one.
            log.error("%s It is written again.", error)
            try:
                self._services.jobs.discard(row)
            except ConflictError as conflict:
                log.info("%s", conflict)
                work.is_blocked = True

    def _is_waited_for(self, error: NewerRowError) -> bool:
        """Whether a row of a newer version holds up the queue."""
        written_at = error.written_at or self._services.clock()
        if self._services.clock() - written_at < NEWER_VERSION_WAIT:
            log.warning("%s", error)
            return True
        log.error("%s The imports behind it continue.", error)
        return False

    # Jobs.

    def _advance_jobs(self, work: HubWork) -> None:
        """Take each job one step further."""
        jobs = []
        for job in work.jobs:
            advanced = self._advance_job(work, job)
            if advanced is not None:
                jobs.append(advanced)
        work.jobs = jobs

    def _advance_job(self, work: HubWork, job: JobRecord) -> JobRecord | None:
        with log_job_context(job):
            try:
                if job.kind is JobKind.PLAN:
                    return self._job_of(work, self._planning.advance(job))
                match job.state:
                    case JobState.ENDED:
                        return job
                    case JobState.ACCEPTED:
                        followed = self._follower.follow(job)
                        if followed is None:
                            self._pass(work, job)
                        return followed
                return self._starter.advance(job)
            except ConflictError as conflict:
                log.info("%s", conflict)
            except NewerRowError as error:
                if not self._is_waited_for(error):
                    work.passed.update(job.members)
                    return None
            except Exception as error:
                if is_outage(error):
                    raise
                return self._note_error(job, error)
            # Another process has it; what became of it is not known here.
            work.is_blocked = True
            return job

    def _job_of(self, work: HubWork, result: JobRecord | ImportRecord | None) -> JobRecord | None:
        """The job of a comparison that goes on; None if it is over."""
        if isinstance(result, JobRecord):
            return result
        if result is not None and result.state is not ImportState.QUEUED:
            work.passed.add(result.row_key)
        return None

    def _end_jobs(self, work: HubWork) -> None:
        """End the imports of jobs that have ended."""
        jobs = []
        for job in work.jobs:
            with log_job_context(job):
                left: JobRecord | None = job
                if job.state is JobState.ENDED and not job.is_backing_off(self._services.clock()):
                    try:
                        left = self._ends.end_members(job)
                    except (ConflictError, NewerRowError) as conflict:
                        log.info("%s", conflict)
                    except Exception as error:
                        if is_outage(error):
                            raise
                        left = self._note_error(job, error)
                if left is not None:
                    jobs.append(left)
                else:
                    self._pass(work, job)
        work.jobs = jobs

    def _pass(self, work: HubWork, job: JobRecord) -> None:
        """Pass over the imports of a job that is over, except one that goes on with another job."""
        for key in job.members:
            if key in self._ends.queued_again:
                self._ends.queued_again.discard(key)
            else:
                work.passed.add(key)

    def _note_error(self, job: JobRecord, error: Exception) -> JobRecord | None:
        """Count an unexpected error of a job, or give it up by that."""
        try:
            return self._ends.end_or_back_off(job, error)
        except (ConflictError, NewerRowError) as conflict:
            log.info("%s", conflict)
            return job

    def _is_young(self, job: JobRecord) -> bool:
        """Whether the job may end any moment: most take seconds."""
        return (
            job.state is JobState.ACCEPTED
            and job.back_off.next_try_at is None
            and self._services.clock() < job.started_at + YOUNG_JOB
        )

    # The queue.

    def _start_next(self, hub: str, work: HubWork, entering: ImportRecord | None = None) -> bool:
        """Give a job to the head of the queue and to those behind it that may go along.

        Args:
            entering: an import that enters the queue; nothing is done if it is not the head.

        Returns:
            Whether there is one now, which is added to the work.
        """
        head = entering
        while rows := self._waiting(hub, work):
            if entering is not None and rows[0].record_key != entering.row_key:
                return False
            try:
                if head is None or head.row_key != rows[0].record_key:
                    head = self._open_record(hub, rows[0])
                if head is not None and head.state is ImportState.VALIDATING:
                    head = self._validated(head)
                if head is None or head.state.is_final:
                    work.passed.add(rows[0].row_key)
                    continue
                if head.state is ImportState.VALIDATING or head.is_backing_off(
                    self._services.clock()
                ):
                    return False
                if head.state is not ImportState.QUEUED:
                    return self._restore_job(hub, work, head)
                members = self._members.choose(work, rows, head)
                if members is None:
                    continue
                if members and members[0].needs_plan:
                    planning = self._job_of(work, self._planning.start(members[0]))
                    if planning is not None:
                        work.jobs.append(planning)
                        return True
                    head = None
                    continue
                job = self._starter.start(members) if members else None
                if job is not None:
                    work.jobs.append(job)
                    return True
                if not members:
                    return False
                # It failed; or the job was dissolved, and each member that was why goes alone.
                head = None
                if len(members) == 1:
                    work.passed.add(rows[0].row_key)
            except ConflictError as conflict:
                log.info("%s: %s", rows[0].record_key, conflict)
                return False
            except NewerRowError as error:
                if self._is_waited_for(error):
                    return False
                work.passed.add(rows[0].row_key)
            except Exception as error:
                if is_outage(error):
                    raise
                if not self._end_or_back_off(hub, rows[0], error):
                    return False
                work.passed.add(rows[0].row_key)
        return False

    def _waiting(self, hub: str, work: HubWork) -> list[QueueRow]:
        """The rows of imports without a job: as many as one job takes, if there are so many."""
        files = self._settings.jobs.files
        if not work.is_whole and len(work.waiting()) < files:
            known = sum(len(job.members) for job in work.jobs) + len(work.passed)
            work.limit = known + files + MAX_ROWS
            work.rows = self._rows.oldest(hub, work.limit)
        return work.waiting()[:files]

    def _validated(self, record: ImportRecord) -> ImportRecord:
        """Validate a small file that waited for that: soon after a short outage, others go on."""
        if record.size > MAX_VALIDATED_BYTES:
            return record
        with log_context(record):
            try:
                return self._intake.resume(record)
            except Exception:
                # The record contains the error, and when it is tried again.
                log.exception("the validation failed")
                return record

    def _restore_job(self, hub: str, work: HubWork, record: ImportRecord) -> bool:
        """Write the row of a job again that was deleted; returns whether it was."""
        job_id = record.job_record or record.id
        if record.is_leased(self._services.clock()) or self._services.jobs.find(hub, job_id):
            # Another process was first.
            return False
        if record.state is ImportState.PLANNING:
            # Nothing is lost but the comparison, which is begun again.
            self._store.transition(replace(record, job_record=""), ImportState.QUEUED)
            return False
        members = [record]
        if record.shares_job:
            keys = frozenset(row.record_key for row in self._rows.oldest(hub, MAX_SEARCHED))
            queue = self._services.queries.records(hub, keys).values()
            members = [
                item for item in queue if item.job_record == job_id and not item.state.is_final
            ]
            if record.row_key not in [item.row_key for item in members]:
                # The job was dissolved meanwhile.
                return False
        with log_context(record):
            work.jobs.append(self._starter.restore(record, members[:MAX_MEMBERS]))
        return True

    def _end_or_back_off(self, hub: str, row: QueueRow, error: Exception) -> bool:
        """Count an unexpected error, or end the import by it; returns whether it has ended."""
        try:
            is_over = end_or_back_off(self._services, hub, row.record_key, error)
            if is_over:
                self._rows.remove(hub, row)
        except ConflictError as conflict:
            log.info("%s", conflict)
            return False
        return is_over

    def _open_record(self, hub: str, row: QueueRow) -> ImportRecord | None:
        """The import of a queue row; deletes a row of an import that waits for no job."""
        try:
            record = self._store.get(hub, row.record_key)
        except ResourceNotFoundError:
            log.error("the record %s of an open import was deleted", row.record_key)
            record_deletion(self._services, hub, row.record_key)
        else:
            if not (record.state.is_final or record.state is ImportState.HELD):
                return record
            with log_context(record):
                log.info("the import is %s; its queue row is deleted", record.state)
        self._rows.remove(hub, row)
        return None
