"""What becomes of an import once it was compared with the registry, or once that was given up."""

from __future__ import annotations

from dataclasses import replace

from shared.imports.model.job import JobRecord
from shared.imports.model.parts import Plan
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_container import StagedFileChangedError
from shared.imports.workflow import hold_reasons, holds, job_reasons
from shared.imports.workflow import plan_reasons as reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.export_jobs import delete_export, member_of
from shared.imports.workflow.job_outcome import outcome_without_job
from shared.logs import logger

__all__ = ["PlanningEnds"]

log = logger(__name__)


class PlanningEnds:
    """Ends comparisons. Each write is guarded, and raises ConflictError and AzureError."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def end(
        self, job: JobRecord, former: ImportRecord, planned: ImportRecord, reason_to_hold: str
    ) -> ImportRecord:
        """Queue the import again, hold it, or end it if nothing is to be sent.

        Args:
            former: the record as it was read.
            reason_to_hold: "" if it need not be approved.
        """
        if not planned.plan.sent:
            result = self._end_without_job(planned, job)
        elif reason_to_hold and not former.is_to_be_compared_again:
            result = holds.hold(self._services, job, former, planned, reason_to_hold)
        else:
            result = self._queue(job, former, planned)
        delete_export(self._services, job)
        return result

    def give_up(self, job: JobRecord, cause: str) -> ImportRecord:
        """Send all lines, unless the safeguards need a plan."""
        record = member_of(self._services, job)
        modes = record.validation.get("importModes") or {}
        needs_approval = record.safeguards.approval.concerns(modes)
        missing = reasons.without_plan(cause, is_held=needs_approval)
        planned = replace(record, plan=Plan(missing=missing))
        if record.is_to_be_compared_again:
            # What it may delete now is not what was approved, nor in its backup.
            reason = reasons.not_compared_again(cause, is_undo=bool(record.undo_of))
            result = self._fail(job, record, reason)
        elif record.undo_of or record.safeguards.backup.concerns(modes):
            result = self._fail(
                job, record, reasons.needs_plan(cause, is_undo=bool(record.undo_of))
            )
        elif needs_approval:
            result = self._hold_without_plan(job, record, planned, cause)
        else:
            log.warning("all lines are sent: %s", cause)
            result = self._queue(job, record, planned)
        delete_export(self._services, job)
        return result

    def end_changed(
        self, record: ImportRecord, error: StagedFileChangedError, job: JobRecord | None = None
    ) -> ImportRecord:
        """End an import whose staged file is not what was validated."""
        ending = job.ending(record) if job else record
        reason = job_reasons.lines_changed(record, error)
        failed = replace(ending, failure_reason=reason, imported=0, failed=0)
        return end_import(self._services, failed, ImportState.FAILED, job=job)

    def _hold_without_plan(
        self, job: JobRecord, record: ImportRecord, planned: ImportRecord, cause: str
    ) -> ImportRecord:
        try:
            self._services.container_of(record).check_staged(record.staged)
        except StagedFileChangedError as error:
            # Nobody could approve it.
            return self.end_changed(record, error, job)
        reason = hold_reasons.without_plan(cause)
        return holds.hold(self._services, job, record, planned, reason)

    def _fail(self, job: JobRecord, record: ImportRecord, reason: str) -> ImportRecord:
        failed = replace(job.ending(record), failure_reason=reason, imported=0, failed=0)
        return end_import(self._services, failed, ImportState.FAILED, job=job)

    def _end_without_job(self, record: ImportRecord, job: JobRecord) -> ImportRecord:
        """End an import of which no line is sent."""
        container = self._services.container_of(record)
        limit = self._services.settings.validation.max_reported_problems
        outcome = outcome_without_job(record, container, limit)
        state, reason = ImportState.COMPLETED, reasons.nothing_to_send(record)
        if outcome.failed or record.invalid_lines or record.left_out:
            state = ImportState.COMPLETED_WITH_ERRORS
            reason = job_reasons.not_all_imported(record, outcome)
        ended = replace(
            job.ending(record),
            failure_reason=reason,
            imported=0,
            failed=outcome.failed,
            retry=outcome.retry,
        )
        return end_import(self._services, ended, state, outcome, job=job)

    def _queue(self, job: JobRecord, former: ImportRecord, record: ImportRecord) -> ImportRecord:
        """Queue the import again, at its place."""
        self._services.jobs.dissolve(job, [(former, record)])
        return self._services.store.get(job.hub, former.row_key)
