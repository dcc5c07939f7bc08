"""A running job is followed to its end, which becomes the final record of its import."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from shared import logs
from shared.errors import ImporterError
from shared.hub.client import HubClient
from shared.hub.exceptions import HubAnswerError, HubError, JobNotFoundError
from shared.hub.jobs import JobProperties, JobStatus
from shared.imports.model import reasons
from shared.imports.model.record import ImportRecord, ImportState, Stop
from shared.imports.services import Services
from shared.imports.store.import_store import NOTHING_TO_WAIT_FOR
from shared.imports.tracing import traced
from shared.imports.workflow.completion import finish
from shared.imports.workflow.job_outcome import Outcome, UnreadableLogError, read_outcome
from shared.imports.workflow.job_starter import LOG_GRACE, job_columns
from shared.imports.workflow.registration import leads_elsewhere

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
        """Ask for the job of a running import once, unless the hub is left alone.

        Raises:
            ConflictError: another process was first.
        """
        now = self._services.clock()
        if record.waits(now):
            return record
        hub = self._services.hubs[record.hub]
        stop = self._stop(record, now)
        try:
            job = hub.get_job(record.job_id) if record.job_id else None
        except JobNotFoundError:
            job = None
        except HubAnswerError as error:
            return self._follow_blindly(record, stop, reasons.odd_answer(error))
        except HubError as error:
            return self._wait_for_hub(record, error)
        if job is None:
            return self._end_forgotten(record)
        if job.status.is_final:
            return self._end(record, job)
        if job.status is JobStatus.UNKNOWN:
            return self._follow_blindly(record, stop, reasons.unknown_status(job.status_text))
        if stop is not Stop.NO:
            try:
                # Only now: hubs answer 500 to the cancelling of a job that has ended.
                self._cancel_job(record)
            except HubError as error:
                return self._wait_for_hub(record, error)
        changes = {
            **job_columns(job),
            "stop": stop,
            "failure_reason": reasons.stopping(stop, self._settings.jobs.deadline),
            **NOTHING_TO_WAIT_FOR,
        }
        if all(getattr(record, name) == value for name, value in changes.items()):
            return record
        log.info("job %s, %s %%", job.status_text, job.progress)
        return self._note(record, **changes)

    def _follow_blindly(self, record: ImportRecord, stop: Stop, why: str) -> ImportRecord:
        """The hub answers, but not how the job goes: its log shows that it has ended.

        Without a log the import ends once it was to be cancelled, by an operator or for
        JOB_DEADLINE_HOURS, and nothing was heard for REFUSAL_DEADLINE_MINUTES.
        """
        log.warning("%s", why)
        with contextlib.suppress(UnreadableLogError):
            outcome = self._outcome(record)
            if outcome is not None:
                return self._complete(record, outcome)
        if stop is not Stop.NO:
            with contextlib.suppress(HubError):
                self._cancel_job(record)
        now = self._services.clock()
        since = min(record.unresolved_since or now, now)
        if stop is not Stop.NO and now - since >= self._settings.retries.refusal_deadline:
            status = JobStatus.CANCELLED if stop is Stop.OPERATOR else JobStatus.UNKNOWN
            return self._end_unknown(record.model_copy(update={"stop": stop}), status, why)
        return self._note(
            record,
            stop=stop,
            unresolved_since=since,
            failure_reason=reasons.followed_blindly(why),
            **self._services.back_off(record),
        )

    def _wait_for_hub(self, record: ImportRecord, error: HubError) -> ImportRecord:
        """The hub is out of reach, busy, or allows nothing: that says nothing about the job."""
        log.warning("%s", error)
        reason = reasons.cannot_follow(error)
        return self._note(record, failure_reason=reason, **self._services.back_off(record))

    @traced("follow")
    def _note(self, record: ImportRecord, /, **changes: Any) -> ImportRecord:
        return self._store.update(record, **changes)

    @traced("cancel")
    def _cancel_job(self, record: ImportRecord) -> ImportRecord:
        self._services.hubs[record.hub].cancel_job(record.job_id)
        return record

    def _stop(self, record: ImportRecord, now: datetime) -> Stop:
        started = record.last_start_at or record.updated_at
        if record.stop is Stop.NO and now >= started + self._settings.jobs.deadline:
            log.warning("the job takes too long")
            return Stop.DEADLINE
        return record.stop

    @traced("end")
    def _end(self, record: ImportRecord, job: JobProperties) -> ImportRecord:
        """Turn a job that has ended into the final record of its import."""
        record = record.model_copy(update=job_columns(job))
        try:
            outcome = self._outcome(record)
        except UnreadableLogError as error:
            return self._wait_for_log(record, job.status, str(error))
        if job.status is not JobStatus.COMPLETED:
            return self._end_unknown(record, job.status, "", outcome)
        if outcome is None:
            return self._wait_for_log(record, job.status, reasons.log_missing())
        return self._complete(record, outcome)

    def _end_unknown(
        self, record: ImportRecord, status: JobStatus, why: str, outcome: Outcome | None = None
    ) -> ImportRecord:
        """End an import of which it is not known how many devices its job imported."""
        match status:
            case JobStatus.COMPLETED:
                state, reason = ImportState.COMPLETED_WITH_ERRORS, reasons.counts_unknown()
            case JobStatus.CANCELLED:
                state, reason = ImportState.CANCELLED, reasons.cancelled(record)
                if record.stop is Stop.DEADLINE:
                    state = ImportState.FAILED
            case JobStatus.UNKNOWN:
                state, reason = ImportState.FAILED, reasons.cancelled(record)
            case _:
                started = record.last_start_at or record.updated_at
                ended = record.end_time_utc or self._services.clock()
                sas_expired = (
                    self._settings.jobs.storage_authentication == "keyBased"
                    and ended >= started + self._settings.jobs.sas_lifetime
                )
                state, reason = ImportState.FAILED, reasons.job_failed(record, sas_expired)
        reason = reasons.joined(why, reason)
        retry = outcome.retry if outcome else ""
        return finish(
            self._services,
            record,
            state,
            outcome,
            failure_reason=reason,
            stop=record.stop,
            retry=retry,
        )

    def _wait_for_log(self, record: ImportRecord, status: JobStatus, why: str) -> ImportRecord:
        """A live hub always writes a log, empty if nothing failed; it may come a little late.

        One that cannot be read at this moment may be about to be replaced.
        """
        now = self._services.clock()
        since = min(record.unresolved_since or now, now)
        if now - since >= LOG_GRACE:
            return self._end_unknown(record, status, why)
        return self._store.update(
            record,
            unresolved_since=since,
            failure_reason=reasons.log_awaited(why, LOG_GRACE),
            **self._services.back_off(record),
        )

    @traced("end")
    def _end_forgotten(self, record: ImportRecord) -> ImportRecord:
        """The hub keeps jobs for 30 days only, but their logs are ours.

        A job that is not known although it is young may still be at work: its log is waited for.
        """
        try:
            outcome = self._outcome(record)
        except UnreadableLogError as error:
            return self._wait_for_log(record, JobStatus.COMPLETED, str(error))
        if outcome is not None:
            return self._complete(record, outcome)
        now = self._services.clock()
        started = record.last_start_at or record.updated_at
        since = min(record.unresolved_since or now, now)
        patience = min(self._settings.retries.refusal_deadline, started + JOB_HISTORY - now)
        if now - since >= patience:
            reason = reasons.job_forgotten(record, now - started)
            return finish(self._services, record, ImportState.FAILED, None, failure_reason=reason)
        return self._store.update(
            record,
            unresolved_since=since,
            failure_reason=reasons.job_lost(self._settings.retries.refusal_deadline),
            **self._services.back_off(record),
        )

    def _complete(self, record: ImportRecord, outcome: Outcome) -> ImportRecord:
        devices = record.devices or 0
        if outcome.failed > devices or outcome.strange:
            # The log may be about something else, or does not name what failed.
            why = reasons.log_does_not_fit(outcome.failed, devices, outcome.strange)
            why = reasons.joined(why, outcome.example)
            return self._end_unknown(record, JobStatus.COMPLETED, why, outcome)
        if self._services.container_of(record).was_staged_file_edited(record):
            why = reasons.staged_file_edited()
            return self._end_unknown(record, JobStatus.COMPLETED, why, outcome)
        state, reason = ImportState.COMPLETED, ""
        if outcome.failed or record.invalid_lines:
            state = ImportState.COMPLETED_WITH_ERRORS
            self._look_up(self._services.hubs[record.hub], outcome)
            reason = reasons.not_all_imported(record, outcome)
        elif record.stop is Stop.OPERATOR:
            reason = reasons.cancelled_too_late()
        return finish(
            self._services,
            record,
            state,
            outcome,
            failure_reason=reason,
            failed=outcome.failed,
            imported=devices - outcome.failed,
            retry=outcome.retry,
        )

    def _outcome(self, record: ImportRecord) -> Outcome | None:
        since = record.unresolved_since
        is_last_try = since is not None and self._services.clock() - since >= LOG_GRACE
        return read_outcome(
            record,
            self._services.container_of(record),
            self._settings.validation.max_reported_problems,
            is_last_try=is_last_try,
        )

    def _look_up(self, hub: HubClient, outcome: Outcome) -> None:
        """Logs were seen to call devices missing that were there: ask the registry for some."""
        for failed in islice(outcome.doubtful, self._settings.jobs.verify_failed_devices):
            name = f"{failed.device_id}/{failed.module_id}".rstrip("/")
            if leads_elsewhere(name):
                continue
            try:
                is_there = hub.has_identity(failed.device_id, failed.module_id)
            except ImporterError as error:
                log.warning("the registry cannot be asked for refused devices: %s", error)
                return
            outcome.looked_up[name] = is_there
