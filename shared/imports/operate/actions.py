"""What operators do with an import: cancel it, or retry it. Each may be repeated without harm."""

from __future__ import annotations

from dataclasses import replace

from shared.errors import NotPossibleError
from shared.imports.model.record import CancelReason, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.retry import Retry
from shared.imports.services import Services
from shared.imports.store.import_store import ConflictError
from shared.imports.tracing import traced
from shared.imports.workflow import job_reasons, upload_reasons
from shared.imports.workflow.completion import end_import
from shared.logs import logger

__all__ = ["Actions"]

log = logger(__name__)

#: Attempts to change a record that other processes change at the same time.
MAX_ATTEMPTS = 10


class Actions:
    """The operators' actions."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._retry = Retry(services)

    def cancel(self, record: ImportRecord) -> ImportRecord:
        """Cancel an import that is not final.

        Returns:
            The import: cancelled; or still starting or running, until the hub reports how its job
            ended. A job that ends before the hub cancels it is recorded as it ended.

        Raises:
            NotPossibleError: the import is final.
            ConflictError: other processes changed it again and again; try once more.
        """
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return self._cancel(record)
            except ConflictError as conflict:
                record = conflict.record or self._store.get(record.hub, record.row_key)
        return self._cancel(record)

    def retry(self, record: ImportRecord) -> ImportRecord:
        """Import again what an import left undone, as a new one at the end of its hub's queue.

        After `completedWithErrors` these are the lines that the hub rejected, otherwise all that
        were staged. An import is retried once: who asks again gets the same new import.

        Returns:
            The new import. It is queued; a tick starts it when its turn has come.

        Raises:
            NotPossibleError: it is not final, or no part of it can be retried.
        """
        if not record.state.is_retryable:
            raise NotPossibleError(
                f"Import {record.id} is {record.state}. Only imports that failed, were cancelled "
                "or completed with errors can be retried."
            )
        new = self._retry.create(record)
        if new.state is not ImportState.QUEUED:
            return new
        try:
            position = self._services.queue_rows.position(new)
            return self._store.update(replace(new, queue_position=position))
        except ConflictError as conflict:
            return conflict.record or self._store.get(new.hub, new.row_key)

    @traced("cancel")
    def _cancel(self, record: ImportRecord) -> ImportRecord:
        if record.state.is_final:
            raise NotPossibleError(f"Import {record.id} is {record.state}, which is final.")
        had_no_job = record.state.had_no_job and not record.staged.generation
        if had_no_job or record.hub not in self._services.hubs:
            count = 0 if had_no_job else None
            cancelled = replace(
                record,
                failure_reason=upload_reasons.cancelled_before_job()
                if had_no_job
                else job_reasons.cancelled_without_hub(record.hub),
                cancel_reason=CancelReason.OPERATOR,
                imported=count,
                failed=count,
            )
            return end_import(self._services, cancelled, ImportState.CANCELLED)
        # There may be a job, so a tick ends the import when the hub has answered.
        if record.cancel_reason is CancelReason.OPERATOR:
            return record
        log.info("the job is to be cancelled")
        back_off = replace(record.back_off, next_try_at=None)
        return self._store.update(
            replace(record, cancel_reason=CancelReason.OPERATOR, back_off=back_off)
        )
