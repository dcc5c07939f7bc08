"""The head of a hub's queue becomes a job: once, whatever answers are lost.

`starting` is written before the hub is asked. An import that is found in that state while no
process works on it is looked for among the hub's jobs (`job_traces`) before the hub is asked again.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta

from shared.errors import (
    ImporterError,
    PermanentError,
    RefusedForNowError,
    TemporaryError,
    first_line,
)
from shared.hub.exceptions import HubError, JobSlotBusyError, OutcomeUnknownError
from shared.hub.jobs import ImportJobRequest, JobProperties
from shared.imports.model.record import NO_BACK_OFF, NO_LEASE, HubJob, ImportRecord, Lease
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_container import StagedFileChangedError, staged_name
from shared.imports.tracing import traced, update_log_context
from shared.imports.workflow import job_reasons as reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.job_traces import CLOCK_SKEW, find_traces
from shared.logs import logger

__all__ = ["LOG_GRACE", "JobStarter", "reported_job"]

log = logger(__name__)

#: How long a log may appear after its job has ended, and how long after a request without an answer
#: finding nothing proves nothing: a job list may lag. A live hub always writes a log, empty if
#: nothing failed.
LOG_GRACE = CLOCK_SKEW + timedelta(minutes=5)


class JobStarter:
    """Requests jobs for imports at the head of their queue."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._store = services.store

    def start(self, record: ImportRecord) -> ImportRecord:
        """Ask the hub for the job of the import at the head of the queue, unless it backs off.

        All older uploads must be registered.

        Returns:
            The import: running; queued again, with what it waits for; starting, if it is not known
            whether the hub started the job; or failed.

        Raises:
            ConflictError: another process was first.
        """
        return record if record.is_backing_off(self._services.clock()) else self._start(record)

    @traced("start")
    def _start(self, record: ImportRecord) -> ImportRecord:
        record = replace(record, queue_position=None)
        try:
            if record.staged.generation and find_traces(self._services, record).exist:
                # An earlier request did arrive: `resume` finds out what happened to it.
                return self._store.transition(replace(record, lease=NO_LEASE), ImportState.STARTING)
            if record.cancel_reason is not None:
                return self._cancelled(record)
            self._services.container_of(record).check_staged(record.staged)
        except StagedFileChangedError as error:
            return self._fail(record, str(error))
        except HubError as error:
            return self._wait_or_fail(record, error)
        record = self._store.transition(
            replace(record, lease=self._new_lease(), last_start_at=self._services.clock()),
            ImportState.STARTING,
        )
        try:
            job = self._services.hubs[record.hub].create_import_job(self._request(record))
        except OutcomeUnknownError as error:
            return self._leave_unanswered(record, error)
        except (TemporaryError, RefusedForNowError) as error:
            return self._wait_or_fail(record, error)
        except PermanentError as error:
            return self._fail(record, reasons.job_rejected(error))
        return self._running(record, job)

    def resume(self, record: ImportRecord) -> ImportRecord:
        """Find out what happened to an import that was left in `starting`.

        Returns:
            The import: running if there is a job; queued if there is none, or cancelled if that was
            requested; failed if it is not known whether there was one; unchanged while the process
            that requested it may still be at work, or during a back-off.

        Raises:
            ConflictError: another process was first.
        """
        now = self._services.clock()
        if record.is_backing_off(now) or record.is_leased(now):
            return record
        return self._resume(record)

    @traced("resume")
    def _resume(self, record: ImportRecord) -> ImportRecord:
        record = self._store.update(replace(record, lease=self._new_lease()))
        try:
            traces = find_traces(self._services, record)
        except HubError as error:
            unresolved_since = record.back_off.unresolved_since
            return self._wait(record, reasons.waiting(error), unresolved_since)
        if traces.job is not None:
            log.warning("found its job %s at the hub", traces.job.job_id)
            return self._running(record, traces.job)
        if traces.has_unnamed_active:
            return self._wait(record, reasons.job_may_be_ours(), None)
        if traces.has_log:
            log.warning("found the log of its job")
            ended = traces.unnamed_ended
            return self._running(record, ended[0] if len(ended) == 1 else JobProperties())
        now = self._services.clock()
        since = record.back_off.unresolved_since
        if since is None:
            record = self._rename_staged_file(record)
        since = min(since or now, now)
        if traces.unnamed_ended:
            if record.last_start_at and since < record.last_start_at:
                # An error answered the request, so nothing was waited for yet: a log may appear.
                since = now
            if now - since < LOG_GRACE:
                return self._wait(record, reasons.job_may_have_been_ours(), since)
            failed = replace(record, failure_reason=reasons.start_unresolved())
            return end_import(self._services, failed, ImportState.FAILED)
        if now - since < LOG_GRACE:
            return self._wait(record, reasons.start_unanswered(LOG_GRACE), since)
        if record.cancel_reason is not None:
            return self._cancelled(record)
        # Before the hub is asked again, `start` looks for traces once more.
        back_off = replace(record.back_off, unresolved_since=None)
        queued = replace(record, failure_reason="", back_off=back_off, lease=NO_LEASE)
        return self._store.transition(queued, ImportState.QUEUED)

    def _leave_unanswered(self, record: ImportRecord, error: OutcomeUnknownError) -> ImportRecord:
        """Leave the import in `starting`: there may be a job. The next tick looks for it."""
        log.warning("%s", error)
        back_off = record.back_off
        if back_off.hub_retries:
            back_off = self._services.backing_off(back_off)
        else:
            # The first time without a delay.
            back_off = replace(back_off, hub_retries=1)
        if error.details is not None:
            # It was an answer, though an error: no job is waited for that may still appear.
            record = self._rename_staged_file(record)
            back_off = replace(back_off, unresolved_since=self._services.clock() - LOG_GRACE)
        reason = reasons.waiting(error)
        return self._store.update(
            replace(record, failure_reason=reason, back_off=back_off, lease=NO_LEASE)
        )

    def _wait(
        self, record: ImportRecord, reason: str, unresolved_since: datetime | None
    ) -> ImportRecord:
        """Leave the import in `starting`, to be looked for again after a back-off."""
        back_off = self._services.backing_off(
            replace(record.back_off, unresolved_since=unresolved_since)
        )
        return self._store.update(
            replace(record, failure_reason=reason, back_off=back_off, lease=NO_LEASE)
        )

    def _rename_staged_file(self, record: ImportRecord) -> ImportRecord:
        """Give the staged file another name.

        A request without an answer may still be on its way. If it arrives after this, the hub finds
        no file and rejects the job, as it checks that before there is one.

        Raises:
            ConflictError: another process was first.
        """
        container = self._services.container_of(record)
        # "" if the file was deleted or changed: then the request finds nothing, and `start` fails.
        etag = container.copy_staged(record.staged)
        staged = replace(record.staged, generation=record.staged.generation + 1, etag=etag)
        record = self._store.update(replace(record, staged=staged))
        container.delete_staged_before(staged.generation)
        return record

    def _request(self, record: ImportRecord) -> ImportJobRequest:
        storage, container = self._services.storage, record.staged.container
        if self._settings.jobs.storage_authentication == "identityBased":
            uri = storage.container_uri(container)
        else:
            uri = storage.container_uri_with_sas(
                container, self._settings.jobs.sas_lifetime, self._services.clock()
            )
        return ImportJobRequest(
            input_blob_container_uri=uri,
            output_blob_container_uri=uri,
            input_blob_name=staged_name(record.staged.generation),
            storage_authentication_type=self._settings.jobs.storage_authentication,
            user_assigned_identity=self._settings.jobs.storage_identity,
        )

    def _running(self, record: ImportRecord, job: JobProperties) -> ImportRecord:
        running = replace(
            record,
            failure_reason="",
            job=reported_job(job.job_id, job),
            back_off=NO_BACK_OFF,
            lease=NO_LEASE,
        )
        record = self._store.transition(running, ImportState.RUNNING)
        update_log_context(record)
        log.info("running")
        return record

    def _wait_or_fail(self, record: ImportRecord, error: ImporterError) -> ImportRecord:
        """Queue the import again; fail it if the cause was not fixed before the deadline."""
        refused_since = None
        if isinstance(error, RefusedForNowError) and not isinstance(error, JobSlotBusyError):
            now = self._services.clock()
            refused_since = min(record.back_off.refused_since or now, now)
            if now - refused_since >= self._settings.retries.refusal_deadline:
                return self._fail(record, reasons.job_rejected(error))
        log.info("waiting: %s", first_line(error))
        back_off = replace(record.back_off, refused_since=refused_since)
        waiting = replace(
            record,
            failure_reason=reasons.waiting(error),
            queue_position=1,
            back_off=self._services.backing_off(back_off),
            lease=NO_LEASE,
        )
        if record.state is ImportState.QUEUED:
            return self._store.update(waiting)
        return self._store.transition(waiting, ImportState.QUEUED)

    def _fail(self, record: ImportRecord, reason: str) -> ImportRecord:
        """End an import that the hub rejected."""
        return self._end_without_job(record, ImportState.FAILED, reason)

    def _cancelled(self, record: ImportRecord) -> ImportRecord:
        """End an import whose request was lost, and of whose job nothing was found."""
        reason = reasons.cancelled_without_job()
        return self._end_without_job(record, ImportState.CANCELLED, reason)

    def _end_without_job(
        self, record: ImportRecord, state: ImportState, reason: str
    ) -> ImportRecord:
        # After a request without an answer, the counts are not known.
        count = None if record.staged.generation else 0
        ended = replace(record, failure_reason=reason, imported=count, failed=count)
        return end_import(self._services, ended, state)

    def _new_lease(self) -> Lease:
        until = self._services.clock() + self._settings.retries.lease
        return Lease(owner=uuid.uuid4().hex, until=until)


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
