"""A job is requested from its hub: once, whatever answers are lost.

That the hub is asked is written before it is asked. A job that is found so while no process works
on it is looked for at the hub (`job_traces`) before the hub is asked again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.errors import (
    ImporterError,
    PermanentError,
    RefusedForNowError,
    TemporaryError,
    first_line,
)
from shared.hub.exceptions import HubError, JobSlotBusyError, OutcomeUnknownError
from shared.hub.jobs import JobProperties
from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.parts import NO_BACK_OFF, NO_LEASE, BackOff, HubJob, Lease, StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_container import (
    StagedFileChangedError,
    container_name,
)
from shared.imports.tracing import traced_job, update_log_context
from shared.imports.workflow import job_reasons as reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.job_ends import JobEnds
from shared.imports.workflow.job_file import MembersChangedError, write_job_file
from shared.imports.workflow.job_request import import_request
from shared.imports.workflow.job_traces import LOG_GRACE, find_traces
from shared.logs import logger
from shared.storage.client import is_outage

__all__ = ["JobStarter", "reported_job"]

log = logger(__name__)


class JobStarter:
    """Requests jobs. Each method returns the job; None if it is over, or was never written."""

    def __init__(self, services: Services, ends: JobEnds) -> None:
        self._services = services
        self._settings = services.settings
        self._jobs = services.jobs
        self._ends = ends

    def start(self, members: Sequence[ImportRecord]) -> JobRecord | None:
        """Give queued imports a job, and ask the hub for it.

        All uploads that are older than one of them must be registered.

        Raises:
            ConflictError: another process was first.
        """
        if len(members) == 1:
            return self._start_alone(members[0])
        now = self._services.clock()
        job_id = uuid.uuid4().hex[:24]
        job = JobRecord(
            hub=members[0].hub,
            id=job_id,
            members=tuple(record.row_key for record in members),
            member_lines=tuple(record.devices or 0 for record in members),
            staged=StagedFile(container=container_name(job_id)),
            state=JobState.PREPARING,
            created_at=now,
            updated_at=now,
            back_off=BackOff(refused_since=_refused_since(members)),
            lease=self._new_lease(),
        )
        job = self._jobs.seal(job, members)
        return self._prepare(job, members)

    def advance(self, job: JobRecord) -> JobRecord | None:
        """Take a job that the hub is not known to have one step further.

        Raises:
            ConflictError: another process was first.
        """
        now = self._services.clock()
        if job.is_backing_off(now) or job.is_leased(now):
            return job
        match job.state:
            case JobState.PREPARING:
                # The process that prepared it is gone; what it may still write belongs to no job.
                self._ends.dissolve(job, errors=1)
                return None
            case JobState.REFUSED:
                return self._ask_again(job)
            case JobState.ASKED:
                return self._resume(job)
        return job

    def restore(self, record: ImportRecord, members: Sequence[ImportRecord]) -> JobRecord:
        """Write the row of a job that was deleted or could not be read, or never written.

        A version before kept the job with its import. The job is looked for at the hub, and never
        asked for again.

        Args:
            record: an import that is in the job.
            members: all open imports of that job, that one included.
        """
        if record.job_record:
            log.error("the row of the job of %r was deleted; it is written again", record.file)
        now = self._services.clock()
        job_id = record.job_record or record.id
        is_alone = job_id == record.id
        job = JobRecord(
            hub=record.hub,
            id=job_id,
            members=tuple(member.row_key for member in members),
            staged=record.file_for_hub
            if is_alone
            else StagedFile(container=container_name(job_id)),
            state=JobState.ACCEPTED if record.job.id else JobState.ASKED,
            created_at=now,
            updated_at=now,
            last_start_at=record.last_start_at or record.updated_at,
            cancel_reason=record.cancel_reason,
            job=record.job,
            is_restored=True,
        )
        return self._jobs.seal(job, members)

    def _start_alone(self, record: ImportRecord) -> JobRecord | None:
        """The container and the file of the job are those of its only import."""
        try:
            self._services.check_files(record)
        except StagedFileChangedError as error:
            reason = reasons.lines_changed(record, error)
            failed = replace(record, failure_reason=reason, imported=0, failed=0)
            end_import(self._services, failed, ImportState.FAILED)
            return None
        now = self._services.clock()
        job = JobRecord(
            hub=record.hub,
            id=record.id,
            members=(record.row_key,),
            staged=record.file_for_hub,
            state=JobState.ASKED,
            created_at=now,
            updated_at=now,
            last_start_at=now,
            back_off=BackOff(refused_since=record.back_off.refused_since),
            lease=self._new_lease(),
        )
        if job.was_unanswered:
            # A version before asked for it.
            waiting = replace(job, state=JobState.REFUSED, lease=NO_LEASE)
            return self._ask_again(self._jobs.seal(waiting, [record]))
        return self._ask(self._jobs.seal(job, [record]))

    @traced_job("prepare")
    def _prepare(self, job: JobRecord, members: Sequence[ImportRecord]) -> JobRecord | None:
        """Write the file of a job of several imports, and ask the hub for it."""
        try:
            staged = write_job_file(self._services, job, members)
        except MembersChangedError as error:
            log.warning("%s The imports of the job are queued again", error)
            self._ends.dissolve(job, alone=[record.row_key for record in error.records])
            return None
        except Exception as error:
            if is_outage(error):
                self._ends.dissolve(job)
                raise
            log.error("unexpected: %s", first_line(error), exc_info=error)
            self._ends.dissolve(job, errors=1)
            return None
        now = self._services.clock()
        job = replace(job, staged=staged, last_start_at=now, lease=self._new_lease())
        return self._ask(self._jobs.transition(job, JobState.ASKED))

    def _ask_again(self, job: JobRecord) -> JobRecord | None:
        """Ask the hub for a job that it refused before, or whose request had no answer."""
        try:
            if job.was_unanswered and find_traces(self._services, job).exist:
                # An earlier request did arrive: `_resume` finds out what happened to it.
                return self._jobs.transition(replace(job, lease=NO_LEASE), JobState.ASKED)
            if job.cancel_reason is not None:
                return self._cancelled(job)
            if not self._ends.has_all_members(job):
                # No request can have an effect any more: the file was renamed after each.
                self._ends.dissolve(job)
                return None
            self._services.container_of(job).check_staged(job.staged)
        except StagedFileChangedError as error:
            if job.is_shared:
                log.warning("%s The imports of the job are queued again", error)
                self._ends.dissolve(job)
                return None
            return self._ends.end_without_job(job, ImportState.FAILED, str(error))
        except HubError as error:
            return self._wait_or_fail(job, error)
        job = replace(job, lease=self._new_lease(), last_start_at=self._services.clock())
        return self._ask(self._jobs.transition(job, JobState.ASKED))

    @traced_job("start")
    def _ask(self, job: JobRecord) -> JobRecord | None:
        try:
            answer = self._services.hubs[job.hub].create_job(
                import_request(self._services, job.staged)
            )
        except OutcomeUnknownError as error:
            return self._leave_unanswered(job, error)
        except (TemporaryError, RefusedForNowError) as error:
            return self._wait_or_fail(job, error)
        except PermanentError as error:
            return self._refused_for_good(job, error)
        return self._accepted(job, answer)

    @traced_job("resume")
    def _resume(self, job: JobRecord) -> JobRecord | None:
        """Find out what happened to a job that the hub was asked for."""
        job = self._jobs.update(replace(job, lease=self._new_lease()))
        try:
            traces = find_traces(self._services, job)
        except HubError as error:
            return self._wait(job, reasons.waiting(error), job.back_off.unresolved_since)
        if traces.job is not None:
            log.warning("found its job %s at the hub", traces.job.job_id)
            return self._accepted(job, traces.job)
        if traces.has_unnamed_active:
            return self._wait(job, reasons.job_may_be_ours(), None)
        if traces.has_log:
            log.warning("found the log of its job")
            ended = traces.unnamed_ended
            return self._accepted(job, ended[0] if len(ended) == 1 else JobProperties())
        now = self._services.clock()
        since = job.back_off.unresolved_since
        if since is None:
            job = self._rename_staged_file(job)
        since = min(since or now, now)
        if traces.unnamed_ended:
            if job.last_start_at and since < job.last_start_at:
                # An error answered the request, so nothing was waited for yet: a log may appear.
                since = now
            if now - since < LOG_GRACE:
                return self._wait(job, reasons.job_may_have_been_ours(), since)
            return self._ends.conclude(job, ImportState.FAILED, reasons.start_unresolved())
        if now - since < LOG_GRACE:
            waiting_for = reasons.row_restored if job.is_restored else reasons.start_unanswered
            return self._wait(job, waiting_for(LOG_GRACE), since)
        if job.is_restored:
            return self._ends.conclude(job, ImportState.FAILED, reasons.job_row_deleted())
        if job.cancel_reason is not None:
            return self._cancelled(job)
        # Before the hub is asked again, `_ask_again` looks for traces once more.
        back_off = replace(job.back_off, unresolved_since=None)
        waiting = replace(job, failure_reason="", back_off=back_off, lease=NO_LEASE)
        return self._ask_again(self._jobs.transition(waiting, JobState.REFUSED))

    def _leave_unanswered(self, job: JobRecord, error: OutcomeUnknownError) -> JobRecord:
        """There may be a job. The next tick looks for it."""
        log.warning("%s", error)
        back_off = job.back_off
        if back_off.hub_retries:
            back_off = self._services.backing_off(back_off)
        else:
            # The first time without a delay.
            back_off = replace(back_off, hub_retries=1)
        if error.details is not None:
            # It was an answer, though an error: no job is waited for that may still appear.
            job = self._rename_staged_file(job)
            back_off = replace(back_off, unresolved_since=self._services.clock() - LOG_GRACE)
        reason = reasons.waiting(error)
        return self._jobs.update(
            replace(job, failure_reason=reason, back_off=back_off, lease=NO_LEASE)
        )

    def _wait(self, job: JobRecord, reason: str, unresolved_since: datetime | None) -> JobRecord:
        """Leave the job to be looked for again after a back-off."""
        back_off = self._services.backing_off(
            replace(job.back_off, unresolved_since=unresolved_since)
        )
        return self._jobs.update(
            replace(job, failure_reason=reason, back_off=back_off, lease=NO_LEASE)
        )

    def _rename_staged_file(self, job: JobRecord) -> JobRecord:
        """Give the staged file another name.

        A request without an answer may still be on its way. If it arrives after this, the hub finds
        no file and rejects the job, as it checks that before there is one.

        Raises:
            ConflictError: another process was first.
        """
        container = self._services.container_of(job)
        # Without an ETag if it was deleted or changed: then asking fails.
        staged = container.rename_staged(job.staged)
        job = self._jobs.update(replace(job, staged=staged))
        container.delete_former_names(staged, is_last=job.is_restored)
        return job

    def _accepted(self, job: JobRecord, answer: JobProperties) -> JobRecord:
        accepted = replace(
            job,
            failure_reason="",
            job=reported_job(answer.job_id, answer),
            back_off=NO_BACK_OFF,
            lease=NO_LEASE,
        )
        job = self._jobs.transition(accepted, JobState.ACCEPTED)
        update_log_context(job)
        log.info("running; files in the job: %d", len(job.members))
        return job

    def _wait_or_fail(self, job: JobRecord, error: ImporterError) -> JobRecord | None:
        """Ask again after a back-off, unless the cause was not fixed before the deadline."""
        refused_since = None
        if isinstance(error, RefusedForNowError) and not isinstance(error, JobSlotBusyError):
            now = self._services.clock()
            refused_since = min(job.back_off.refused_since or now, now)
            if now - refused_since >= self._settings.retries.refusal_deadline:
                return self._refused_for_good(job, error, refused_since)
        log.info("waiting: %s", first_line(error))
        back_off = replace(job.back_off, refused_since=refused_since)
        waiting = replace(
            job,
            failure_reason=reasons.waiting(error),
            back_off=self._services.backing_off(back_off),
            lease=NO_LEASE,
        )
        if job.state is JobState.REFUSED:
            return self._jobs.update(waiting)
        return self._jobs.transition(waiting, JobState.REFUSED)

    def _refused_for_good(
        self, job: JobRecord, error: ImporterError, refused_since: datetime | None = None
    ) -> JobRecord | None:
        """Only a job of one import fails by a refusal: those of several are tried one by one."""
        if not job.is_shared:
            return self._ends.end_without_job(job, ImportState.FAILED, reasons.job_rejected(error))
        log.warning("the hub rejects the job; its imports are tried one by one: %s", error)
        self._ends.dissolve(job, alone=job.members, refused_since=refused_since)
        return None

    def _cancelled(self, job: JobRecord) -> JobRecord | None:
        """End a job whose request was lost, and of which nothing was found."""
        return self._ends.end_without_job(
            job, ImportState.CANCELLED, reasons.cancelled_without_job()
        )

    def _new_lease(self) -> Lease:
        until = self._services.clock() + self._settings.retries.lease
        return Lease(owner=uuid.uuid4().hex, until=until)


def _refused_since(members: Sequence[ImportRecord]) -> datetime | None:
    """Since when the hub rejects the jobs of all of them: none fails before its own deadline."""
    times = [record.back_off.refused_since for record in members]
    known = [time for time in times if time is not None]
    return max(known) if len(known) == len(times) else None


def reported_job(job_id: str, job: JobProperties) -> HubJob:
    """The job as the record contains it.

    Args:
        job_id: by which the hub was asked.
    """
    return HubJob(
        id=job_id,
        status=job.status_text,
        failure_reason=job.failure_reason,
        progress=job.progress,
        start_time_utc=job.start_time_utc,
        end_time_utc=job.end_time_utc,
    )
