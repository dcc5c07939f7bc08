"""One step further with the oldest import of a hub: start it, or follow its job to the end."""

from __future__ import annotations

import logging

from shared.hub.errors import JobNotFoundError
from shared.hub.jobs import JobProperties, JobStatus
from shared.imports import reasons
from shared.imports.ledger import ConflictError
from shared.imports.outcome import Outcome, read_outcome
from shared.imports.queue import Queue, job_columns
from shared.imports.record import ImportRecord, ImportState
from shared.imports.report import build_report
from shared.imports.services import Services

__all__ = ["Poller"]

log = logging.getLogger(__name__)


class Poller:
    """What a tick of the timer does. Ticks may overlap: each write is guarded."""

    def __init__(self, services: Services, queue: Queue) -> None:
        self._services = services
        self._settings = services.settings
        self._ledger = services.ledger
        self._queue = queue

    def advance(self, hub: str) -> None:
        """Advance the hub's queue as far as it goes without waiting.

        Raises:
            ImporterError, AzureError: the hub or the storage cannot be used now.
        """
        while head := self._ledger.head(hub):
            record = self._ledger.get(hub, head.record_key)
            try:
                record = self._step(record)
            except ConflictError as conflict:
                log.info("%s", conflict)
                return
            if not (record.state.is_final and head.has_next):
                return

    def _step(self, record: ImportRecord) -> ImportRecord:
        match record.state:
            case ImportState.STARTING:
                record = self._queue.resume(record)
                return self._queue.start(record) if record.state is ImportState.QUEUED else record
            case ImportState.QUEUED:
                return self._queue.start(record)
            case ImportState.RUNNING:
                return self._follow(record)
        return record

    def _follow(self, record: ImportRecord) -> ImportRecord:
        if not record.job_id:
            return self._end_forgotten(record)
        try:
            job = self._services.hubs[record.hub].get_job(record.job_id)
        except JobNotFoundError:
            return self._end_forgotten(record)
        if job.status.is_final:
            return self._end(record, job)
        if (job.status_text, job.progress) == (record.job_status, record.progress):
            return record
        log.info(
            "import %s: job %s %s, %s %%",
            *(record.id, record.job_id, job.status_text, job.progress),
        )
        return self._ledger.update(record, **job_columns(job))

    def _end(self, record: ImportRecord, job: JobProperties) -> ImportRecord:
        """Turn a job that has ended into the final record of its import."""
        record = record.model_copy(update=job_columns(job))
        outcome = self._outcome(record)
        if outcome is None and record.job_is_presumed and job.status is JobStatus.COMPLETED:
            # The hub writes a log for each job that completes: this one was somebody else's.
            log.warning("import %s: job %s is not its own", record.id, record.job_id)
            return self._ledger.transition(
                record, ImportState.QUEUED, job_id="", job_status="", job_is_presumed=False
            )
        match job.status:
            case JobStatus.COMPLETED if outcome is not None:
                return self._complete(record, outcome)
            case JobStatus.COMPLETED:
                state, reason = ImportState.COMPLETED, reasons.log_missing()
            case JobStatus.CANCELLED:
                state, reason = ImportState.CANCELLED, reasons.cancelled_outside(record)
            case _:
                started = record.last_start_at or record.updated_at
                ended = record.end_time_utc or self._services.clock()
                sas_expired = (
                    self._settings.job_storage_authentication == "keyBased"
                    and ended >= started + self._settings.sas_lifetime
                )
                state, reason = ImportState.FAILED, reasons.job_failed(record, sas_expired)
        changes = {"failed": outcome.failed} if outcome else {}
        return self._finish(record, state, outcome, failure_reason=reason, **changes)

    def _end_forgotten(self, record: ImportRecord) -> ImportRecord:
        """The hub keeps jobs for 30 days only, but their logs are ours."""
        outcome = self._outcome(record)
        if outcome is not None:
            return self._complete(record, outcome)
        reason = reasons.job_forgotten(self._services.clock(), record.last_start_at)
        return self._finish(record, ImportState.FAILED, None, failure_reason=reason)

    def _complete(self, record: ImportRecord, outcome: Outcome) -> ImportRecord:
        devices = record.devices or 0
        state, reason = ImportState.COMPLETED, ""
        if outcome.failed or record.invalid_lines:
            state = ImportState.COMPLETED_WITH_ERRORS
            reason = reasons.not_all_imported(
                record, outcome.failed, outcome.codes.most_common(), outcome.example
            )
        return self._finish(
            record,
            state,
            outcome,
            failure_reason=reason,
            failed=outcome.failed,
            imported=max(0, devices - outcome.failed),
        )

    def _outcome(self, record: ImportRecord) -> Outcome | None:
        container = self._services.container_of(record)
        return read_outcome(record, container, self._settings.max_reported_problems)

    def _finish(
        self, record: ImportRecord, state: ImportState, outcome: Outcome | None, **changes: object
    ) -> ImportRecord:
        container = self._services.container_of(record)
        final = record.model_copy(update={**changes, "state": state})
        path = container.write_report(
            build_report(
                final,
                problems=container.read_report()["validation"]["problems"]
                if record.problems
                else (),
                failures=outcome.to_json() if outcome else None,
            )
        )
        record = self._ledger.transition(record, state, report=path, **changes)
        log.info("import %s: %s. %s", record.id, state, record.failure_reason)
        return record
