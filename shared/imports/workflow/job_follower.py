"""A job is followed to its end, which is decided by the hub's answer and its log."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime, timedelta

from shared import logs
from shared.hub.exceptions import HubAnswerError, HubError, JobNotFoundError
from shared.hub.jobs import JobProperties, JobStatus
from shared.imports.model.job import JobRecord
from shared.imports.model.parts import NO_BACK_OFF
from shared.imports.model.record import CancelReason
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.tracing import traced_job
from shared.imports.workflow import job_reasons as reasons
from shared.imports.workflow.job_ends import JobEnds
from shared.imports.workflow.job_starter import reported_job
from shared.imports.workflow.job_traces import LOG_GRACE
from shared.storage.blobs import StoredFile
from shared.text import clean_reason

__all__ = ["JobFollower"]

log = logs.logger(__name__)

#: How long hubs remember a job (learn: "IoT Hub quotas and throttling").
JOB_HISTORY = timedelta(days=30)


class JobFollower:
    """Asks for jobs, and decides how they ended. Each write is guarded."""

    def __init__(self, services: Services, ends: JobEnds) -> None:
        self._services = services
        self._settings = services.settings
        self._jobs = services.jobs
        self._ends = ends

    def follow(self, job: JobRecord) -> JobRecord | None:
        """Ask for a job once, unless it backs off.

        Returns:
            The job; None if it is over.

        Raises:
            ConflictError: another process was first.
        """
        now = self._services.clock()
        if job.is_backing_off(now):
            return job
        cancel_reason = self._cancel_reason(job, now)
        hub = self._services.hubs[job.hub]
        try:
            answer = hub.get_job(job.job.id) if job.job.id else None
        except JobNotFoundError:
            answer = None
        except HubAnswerError as error:
            return self._follow_log(job, cancel_reason, reasons.unexpected_answer(error))
        except HubError as error:
            return self._wait_for_hub(job, error)
        if answer is None:
            return self._end_forgotten(job)
        if answer.status.is_final:
            return self._end(job, answer)
        if answer.status is JobStatus.UNKNOWN:
            cause = reasons.unknown_status(answer.status_text)
            return self._follow_log(job, cancel_reason, cause)
        if cancel_reason is not None:
            try:
                # Only now: hubs answer 500 to the cancelling of a job that has ended.
                self._cancel_job(job)
            except HubError as error:
                return self._wait_for_hub(job, error)
        changed = replace(
            job,
            job=reported_job(job.job.id, answer),
            cancel_reason=cancel_reason,
            failure_reason=reasons.cancelling(cancel_reason, self._settings.jobs.deadline),
            back_off=NO_BACK_OFF,
        )
        if changed == job:
            return job
        log.info("job %s, %s %%", answer.status_text, answer.progress)
        return self._update(changed)

    def _cancel_reason(self, job: JobRecord, now: datetime) -> CancelReason | None:
        is_late = now >= job.started_at + self._settings.jobs.deadline
        if job.cancel_reason is None and is_late:
            log.warning("the job takes longer than JOB_DEADLINE_HOURS")
            return CancelReason.DEADLINE
        return job.cancel_reason

    def _follow_log(
        self, job: JobRecord, cancel_reason: CancelReason | None, cause: str
    ) -> JobRecord | None:
        """The hub answers without the status of the job: its log proves that it has ended.

        Without a log the job ends once it was to be cancelled, by an operator or for
        JOB_DEADLINE_HOURS, and REFUSAL_DEADLINE_MINUTES have passed.
        """
        log.warning("%s", cause)
        job_log = self._services.container_of(job).error_log()
        if job_log is not None:
            return self._complete(job, job_log)
        if cancel_reason is not None:
            with contextlib.suppress(HubError):
                self._cancel_job(job)
        since, waited = job.unresolved(self._services.clock())
        job = replace(job, cancel_reason=cancel_reason)
        if cancel_reason is not None and waited >= self._settings.retries.refusal_deadline:
            is_operator = cancel_reason is CancelReason.OPERATOR
            status = JobStatus.CANCELLED if is_operator else JobStatus.UNKNOWN
            return self._end_unknown(job, status, cause)
        return self._wait(job, reasons.status_unreadable(cause), since)

    def _wait_for_hub(self, job: JobRecord, error: HubError) -> JobRecord:
        """The hub is unreachable, busy or refuses: that says nothing about the job."""
        log.warning("%s", error)
        return self._wait(job, reasons.hub_unreadable(error), job.back_off.unresolved_since)

    def _wait(self, job: JobRecord, reason: str, since: datetime | None) -> JobRecord:
        return self._ends.wait(job, reasons.although_cancelled(reason, job.cancel_reason), since)

    @traced_job("follow")
    def _update(self, job: JobRecord) -> JobRecord:
        return self._jobs.update(job)

    @traced_job("cancel")
    def _cancel_job(self, job: JobRecord) -> JobRecord:
        self._services.hubs[job.hub].cancel_job(job.job.id)
        return job

    def _end(self, job: JobRecord, answer: JobProperties) -> JobRecord | None:
        """Decide how a job ended whose end the hub reports."""
        job = replace(job, job=reported_job(job.job.id, answer))
        job_log = self._services.container_of(job).error_log()
        if answer.status is not JobStatus.COMPLETED:
            return self._end_unknown(job, answer.status, "", job_log)
        if job_log is not None:
            return self._complete(job, job_log)
        # A live hub always writes a log, empty if nothing failed; it may appear a little late.
        since, waited = job.unresolved(self._services.clock())
        if waited >= LOG_GRACE:
            return self._end_unknown(job, answer.status, reasons.log_missing())
        return self._wait(job, reasons.log_awaited(reasons.log_missing(), LOG_GRACE), since)

    def _end_forgotten(self, job: JobRecord) -> JobRecord | None:
        """The hub keeps jobs for 30 days only, but their logs are in their containers.

        A young job that is not known may still be at work: its log is waited for.
        """
        job_log = self._services.container_of(job).error_log()
        if job_log is not None:
            return self._complete(job, job_log)
        now = self._services.clock()
        since, waited = job.unresolved(now)
        age = now - job.started_at
        if waited >= min(self._settings.retries.refusal_deadline, JOB_HISTORY - age):
            return self._ends.conclude(job, ImportState.FAILED, reasons.job_forgotten(age))
        reason = reasons.job_not_found(self._settings.retries.refusal_deadline)
        return self._wait(job, reason, since)

    def _complete(self, job: JobRecord, job_log: StoredFile) -> JobRecord | None:
        """The job completed, and its log tells which lines failed."""
        if job.is_restored and job.is_shared:
            return self._end_unknown(job, JobStatus.COMPLETED, reasons.members_lost())
        if self._services.container_of(job).was_staged_file_edited(job.staged):
            cause = reasons.staged_file_edited()
            return self._end_unknown(job, JobStatus.COMPLETED, cause, job_log)
        return self._ends.conclude(job, ImportState.COMPLETED, "", job_log)

    def _end_unknown(
        self, job: JobRecord, status: JobStatus, cause: str, job_log: StoredFile | None = None
    ) -> JobRecord | None:
        """Decide how a job ended of which it is not known how many devices were imported."""
        state = ImportState.FAILED
        match status:
            case JobStatus.COMPLETED:
                state, reason = ImportState.COMPLETED_WITH_ERRORS, reasons.counts_unknown()
                if job.cancel_reason is CancelReason.OPERATOR:
                    reason = clean_reason(reasons.cancelled_too_late(), reason)
            case JobStatus.CANCELLED | JobStatus.UNKNOWN:
                reason = reasons.job_cancelled(job.cancel_reason, job.job)
                is_late = job.cancel_reason is CancelReason.DEADLINE
                if status is JobStatus.CANCELLED and not is_late:
                    state = ImportState.CANCELLED
            case _:
                reason = reasons.job_failed(job.job, self._had_sas_expired(job))
        return self._ends.conclude(job, state, clean_reason(cause, reason), job_log)

    def _had_sas_expired(self, job: JobRecord) -> bool:
        ended_at = job.job.end_time_utc or self._services.clock()
        is_past = ended_at >= job.started_at + self._settings.jobs.sas_lifetime
        return self._settings.jobs.storage_authentication == "keyBased" and is_past
