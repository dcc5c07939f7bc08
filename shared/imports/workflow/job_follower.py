"""A running job is followed to its end, which becomes the final record of its import."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from shared import logs
from shared.errors import ImporterError
from shared.hub.client import HubClient
from shared.hub.exceptions import HubAnswerError, HubError, JobNotFoundError
from shared.hub.jobs import JobProperties, JobStatus
from shared.imports.model.record import NO_BACK_OFF, CancelReason, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.tracing import traced
from shared.imports.workflow import job_reasons as reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.job_outcome import JobOutcome, UnreadableLogError, read_outcome
from shared.imports.workflow.job_starter import LOG_GRACE, reported_job
from shared.imports.workflow.registration import has_dot_folder
from shared.text import clean_reason

__all__ = ["JobFollower"]

log = logs.logger(__name__)

#: How long hubs remember a job (learn: "IoT Hub quotas and throttling").
JOB_HISTORY = timedelta(days=30)


class JobFollower:
    """Asks for jobs, and ends imports whose jobs have ended. Each write is guarded."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._store = services.store

    def follow(self, record: ImportRecord) -> ImportRecord:
        """Ask for the job of a running import once, unless it backs off.

        Raises:
            ConflictError: another process was first.
        """
        now = self._services.clock()
        if record.is_backing_off(now):
            return record
        cancel_reason = self._cancel_reason(record, now)
        hub = self._services.hubs[record.hub]
        try:
            job = hub.get_job(record.job.id) if record.job.id else None
        except JobNotFoundError:
            job = None
        except HubAnswerError as error:
            return self._follow_log(record, cancel_reason, reasons.unexpected_answer(error))
        except HubError as error:
            return self._wait_for_hub(record, error)
        if job is None:
            return self._end_forgotten(record)
        if job.status.is_final:
            return self._end(record, job)
        if job.status is JobStatus.UNKNOWN:
            return self._follow_log(record, cancel_reason, reasons.unknown_status(job.status_text))
        if cancel_reason is not None:
            try:
                # Only now: hubs answer 500 to the cancelling of a job that has ended.
                self._cancel_job(record)
            except HubError as error:
                return self._wait_for_hub(record, error)
        changed = replace(
            record,
            job=reported_job(record.job.id, job),
            cancel_reason=cancel_reason,
            failure_reason=reasons.cancelling(cancel_reason, self._settings.jobs.deadline),
            queue_position=None,
            back_off=NO_BACK_OFF,
        )
        if changed == record:
            return record
        log.info("job %s, %s %%", job.status_text, job.progress)
        return self._update(changed)

    def _cancel_reason(self, record: ImportRecord, now: datetime) -> CancelReason | None:
        is_late = now >= record.started_at + self._settings.jobs.deadline
        if record.cancel_reason is None and is_late:
            log.warning("the job takes longer than JOB_DEADLINE_HOURS")
            return CancelReason.DEADLINE
        return record.cancel_reason

    def _follow_log(
        self, record: ImportRecord, cancel_reason: CancelReason | None, cause: str
    ) -> ImportRecord:
        """The hub answers without the status of the job: its log proves that it has ended.

        Without a log the import ends once it was to be cancelled, by an operator or for
        JOB_DEADLINE_HOURS, and REFUSAL_DEADLINE_MINUTES have passed.
        """
        log.warning("%s", cause)
        with contextlib.suppress(UnreadableLogError):
            outcome = self._outcome(record)
            if outcome is not None:
                return self._complete(record, outcome)
        if cancel_reason is not None:
            with contextlib.suppress(HubError):
                self._cancel_job(record)
        since, waited = self._unresolved(record)
        record = replace(record, cancel_reason=cancel_reason)
        if cancel_reason is not None and waited >= self._settings.retries.refusal_deadline:
            is_operator = cancel_reason is CancelReason.OPERATOR
            status = JobStatus.CANCELLED if is_operator else JobStatus.UNKNOWN
            return self._end_unknown(record, status, cause)
        return self._update(self._waiting(record, reasons.status_unreadable(cause), since))

    def _wait_for_hub(self, record: ImportRecord, error: HubError) -> ImportRecord:
        """The hub is unreachable, busy or refuses: that says nothing about the job."""
        log.warning("%s", error)
        since = record.back_off.unresolved_since
        return self._update(self._waiting(record, reasons.hub_unreadable(error), since))

    def _waiting(self, record: ImportRecord, reason: str, since: datetime | None) -> ImportRecord:
        """The record with a back-off, and since when it is not known how the job ended."""
        back_off = replace(record.back_off, unresolved_since=since)
        return replace(record, failure_reason=reason, back_off=self._services.backing_off(back_off))

    def _unresolved(self, record: ImportRecord) -> tuple[datetime, timedelta]:
        """Since when, and how long, it is not known how the job ended."""
        now = self._services.clock()
        since = min(record.back_off.unresolved_since or now, now)
        return since, now - since

    @traced("follow")
    def _update(self, record: ImportRecord) -> ImportRecord:
        return self._store.update(record)

    @traced("cancel")
    def _cancel_job(self, record: ImportRecord) -> ImportRecord:
        self._services.hubs[record.hub].cancel_job(record.job.id)
        return record

    @traced("end")
    def _end(self, record: ImportRecord, job: JobProperties) -> ImportRecord:
        """Turn a job that has ended into the final record of its import."""
        record = replace(record, job=reported_job(record.job.id, job))
        try:
            outcome = self._outcome(record)
        except UnreadableLogError as error:
            return self._wait_for_log(record, job.status, str(error))
        if job.status is not JobStatus.COMPLETED:
            return self._end_unknown(record, job.status, "", outcome)
        if outcome is None:
            return self._wait_for_log(record, job.status, reasons.log_missing())
        return self._complete(record, outcome)

    def _wait_for_log(self, record: ImportRecord, status: JobStatus, cause: str) -> ImportRecord:
        """A live hub always writes a log, empty if nothing failed; it may appear a little late.

        A log that cannot be read at this moment may be about to be replaced.
        """
        since, waited = self._unresolved(record)
        if waited >= LOG_GRACE:
            return self._end_unknown(record, status, cause)
        reason = reasons.log_awaited(cause, LOG_GRACE)
        return self._store.update(self._waiting(record, reason, since))

    @traced("end")
    def _end_forgotten(self, record: ImportRecord) -> ImportRecord:
        """The hub keeps jobs for 30 days only, but their logs are in the import's container.

        A young job that is not known may still be at work: its log is waited for.
        """
        try:
            outcome = self._outcome(record)
        except UnreadableLogError as error:
            return self._wait_for_log(record, JobStatus.COMPLETED, str(error))
        if outcome is not None:
            return self._complete(record, outcome)
        since, waited = self._unresolved(record)
        age = self._services.clock() - record.started_at
        if waited >= min(self._settings.retries.refusal_deadline, JOB_HISTORY - age):
            failed = replace(record, failure_reason=reasons.job_forgotten(age))
            return end_import(self._services, failed, ImportState.FAILED)
        reason = reasons.job_not_found(self._settings.retries.refusal_deadline)
        return self._store.update(self._waiting(record, reason, since))

    def _complete(self, record: ImportRecord, outcome: JobOutcome) -> ImportRecord:
        """End an import whose job completed, by the log that it wrote."""
        devices = record.devices or 0
        if outcome.failed > devices or outcome.unidentified:
            # The log may belong to something else, or does not name what failed.
            cause = reasons.log_does_not_fit(outcome.failed, devices, outcome.unidentified)
            cause = clean_reason(cause, outcome.example)
            return self._end_unknown(record, JobStatus.COMPLETED, cause, outcome)
        if self._services.container_of(record).was_staged_file_edited(record.staged):
            cause = reasons.staged_file_edited()
            return self._end_unknown(record, JobStatus.COMPLETED, cause, outcome)
        state, reason = ImportState.COMPLETED, ""
        if outcome.failed or record.invalid_lines:
            state = ImportState.COMPLETED_WITH_ERRORS
            self._look_up_missing(self._services.hubs[record.hub], outcome)
            reason = reasons.not_all_imported(record, outcome)
        elif record.cancel_reason is CancelReason.OPERATOR:
            reason = reasons.cancelled_too_late()
        ended = replace(
            record,
            failure_reason=reason,
            failed=outcome.failed,
            imported=devices - outcome.failed,
            retry=outcome.retry,
        )
        return end_import(self._services, ended, state, outcome)

    def _end_unknown(
        self, record: ImportRecord, status: JobStatus, cause: str, outcome: JobOutcome | None = None
    ) -> ImportRecord:
        """End an import whose number of imported devices is not known."""
        state = ImportState.FAILED
        match status:
            case JobStatus.COMPLETED:
                state, reason = ImportState.COMPLETED_WITH_ERRORS, reasons.counts_unknown()
            case JobStatus.CANCELLED | JobStatus.UNKNOWN:
                reason = reasons.job_cancelled(record.cancel_reason, record.job)
                is_late = record.cancel_reason is CancelReason.DEADLINE
                if status is JobStatus.CANCELLED and not is_late:
                    state = ImportState.CANCELLED
            case _:
                reason = reasons.job_failed(record.job, self._had_sas_expired(record))
        ended = replace(
            record,
            failure_reason=clean_reason(cause, reason),
            retry=outcome.retry if outcome else "",
        )
        return end_import(self._services, ended, state, outcome)

    def _had_sas_expired(self, record: ImportRecord) -> bool:
        ended_at = record.job.end_time_utc or self._services.clock()
        is_past = ended_at >= record.started_at + self._settings.jobs.sas_lifetime
        return self._settings.jobs.storage_authentication == "keyBased" and is_past

    def _outcome(self, record: ImportRecord) -> JobOutcome | None:
        since = record.back_off.unresolved_since
        is_last_try = since is not None and self._services.clock() - since >= LOG_GRACE
        return read_outcome(
            record,
            self._services.container_of(record),
            self._settings.validation.max_reported_problems,
            is_last_try=is_last_try,
        )

    def _look_up_missing(self, hub: HubClient, outcome: JobOutcome) -> None:
        """Ask the registry for some devices that the log reports as missing.

        Logs of live hubs were seen to report devices as missing that existed.
        """
        for failed in islice(outcome.reported_missing, self._settings.jobs.verify_failed_devices):
            name = f"{failed.device_id}/{failed.module_id}".rstrip("/")
            if has_dot_folder(name):
                continue
            try:
                exists = hub.has_identity(failed.device_id, failed.module_id)
            except ImporterError as error:
                log.warning("rejected devices cannot be looked up in the registry: %s", error)
                return
            outcome.in_registry[name] = exists
