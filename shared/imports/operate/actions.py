"""What operators do with an import: cancel it, or retry it. Each may be repeated without harm."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from shared.errors import NotPossibleError, SharedJobError
from shared.imports.model.job import JobKind, JobRecord, JobState
from shared.imports.model.keys import import_id_of
from shared.imports.model.record import CancelReason, ImportRecord
from shared.imports.model.safeguards import UNKNOWN, Act, ActName, Actor
from shared.imports.model.states import ImportState
from shared.imports.operate.retry import Retry
from shared.imports.operate.undo import Undo
from shared.imports.services import Services
from shared.imports.store.import_store import ConflictError
from shared.imports.store.rows import UnreadableRowError
from shared.imports.tracing import traced
from shared.imports.workflow import job_reasons, upload_reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.job_ends import JobEnds
from shared.imports.workflow.queue_position import note_position
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
        self._undo = Undo(services)
        self._ends = JobEnds(services)

    def cancel(
        self, record: ImportRecord, job_record: str = "", by: Actor = UNKNOWN
    ) -> ImportRecord:
        """Cancel an import that is not final.

        An import that waits is cancelled alone. A job at the hub is cancelled with all of its
        files, so for a job of several it must be said that it is meant.

        Args:
            job_record: the id of the job that was shown with the import, "" for none.
            by: who cancels it.

        Returns:
            The import: cancelled; or still starting or running, until the hub reports how its job
            ended. A job that ends before the hub cancels it is recorded as it ended.

        Raises:
            SharedJobError: it is in a job with other files, and that was not said.
            NotPossibleError: the import is final, or no longer in that job.
            ConflictError: other processes changed it again and again; try once more.
        """
        for _ in range(MAX_ATTEMPTS - 1):
            # As it is stored, without what its job adds.
            record = self._store.get(record.hub, record.row_key)
            with contextlib.suppress(ConflictError):
                return self._cancel(record, job_record, by)
        return self._cancel(self._store.get(record.hub, record.row_key), job_record, by)

    def retry(self, record: ImportRecord, by: Actor = UNKNOWN) -> ImportRecord:
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
                f"Import {record.id} is {record.state.label}. Only imports that failed, were "
                "cancelled or completed with errors can be retried."
            )
        return self._with_position(self._retry.create(record, by))

    def undo(
        self, record: ImportRecord, deletes: int, by: Actor = UNKNOWN, *, also_changed: bool = False
    ) -> ImportRecord:
        """Make the devices of an import what they were before it, as far as nobody changed them.

        Args:
            deletes: how many devices and modules may be deleted: `creates` of the import.
            also_changed: whether what was changed after the import is overwritten, too.

        Returns:
            The undo, a new import at the end of its hub's queue; or the one that is open.

        Raises:
            NotPossibleError: the import has not ended, has no backup, or changed nothing.
        """
        new = self._undo.create(record, by, deletes=deletes, also_changed=also_changed)
        return self._with_position(new)

    def _with_position(self, new: ImportRecord) -> ImportRecord:
        if new.state is not ImportState.QUEUED or new.job_record:
            return new
        try:
            return note_position(self._services, new)
        except ConflictError as conflict:
            return conflict.record or self._store.get(new.hub, new.row_key)

    @traced("cancel")
    def _cancel(self, record: ImportRecord, job_record: str, by: Actor) -> ImportRecord:
        if record.state.is_final:
            raise NotPossibleError(f"Import {record.id} is {record.state.label}, which is final.")
        act = Act.of(ActName.CANCEL, by, self._services.clock())
        job = self._job_of(record)
        if job_record and job_record != (job.id if job else ""):
            raise NotPossibleError(
                f"Import {record.id} is not in job {job_record} any more. Look at it again."
            )
        if job is None:
            # Without its row it is not known how far the job of an unconfigured hub was.
            if record.had_no_job:
                return self._end(record, act, 0, upload_reasons.cancelled_before_job())
            if record.is_in_second_job:
                return self._end(record, act, None, job_reasons.cancelled_between_jobs())
            return self._end(record, act, None, job_reasons.cancelled_without_hub(record.hub))
        if job.is_shared and job_record != job.id:
            return self._cancel_alone(record, job, act)
        is_configured = record.hub in self._services.hubs
        if job.state is JobState.ENDED and is_configured:
            raise NotPossibleError(f"The job of import {record.id} has ended; it is final soon.")
        if not (job.may_be_at_hub and is_configured):
            return self._end_job(record, job, act)
        # There may be a job, so a tick ends it when the hub has answered.
        if job.cancel_reason is CancelReason.OPERATOR:
            return job.member(record)
        log.info("the job is to be cancelled")
        back_off = replace(job.back_off, next_try_at=None)
        job = replace(
            job,
            cancel_reason=CancelReason.OPERATOR,
            acts=(*job.acts, act),
            back_off=back_off,
        )
        return self._services.jobs.update(job).member(record)

    def _cancel_alone(self, record: ImportRecord, job: JobRecord, act: Act) -> ImportRecord:
        """Cancel one import of a job that the hub does not have; the others are queued again."""
        if job.may_be_at_hub:
            raise SharedJobError(record.id, job.id, [import_id_of(key) for key in job.members])
        self._ends.dissolve(job)
        queued = self._store.get(record.hub, record.row_key)
        if queued.job_record or queued.state is not ImportState.QUEUED:
            # Another process was first: it may be at the hub with its next job.
            raise ConflictError
        return self._end(queued, act, 0, upload_reasons.cancelled_before_job())

    def _end_job(self, record: ImportRecord, job: JobRecord, act: Act) -> ImportRecord:
        """Cancel a job of which no hub is to be asked, with all of its imports."""
        left: JobRecord | None = job
        if job.state is not JobState.ENDED:
            is_unapplied = job.kind is JobKind.PLAN or not job.may_be_at_hub
            reason = job_reasons.cancelled_without_hub(record.hub)
            if is_unapplied and record.is_in_second_job:
                reason = job_reasons.cancelled_between_jobs()
            elif is_unapplied:
                reason = upload_reasons.cancelled_before_job()
            cancelled = replace(job, cancel_reason=CancelReason.OPERATOR, acts=(*job.acts, act))
            left = self._ends.conclude(
                cancelled, ImportState.CANCELLED, reason, is_unapplied=is_unapplied
            )
        if left is not None:
            self._ends.end_members(left)
        return self._store.get(record.hub, record.row_key)

    def _job_of(self, record: ImportRecord) -> JobRecord | None:
        """The job of an open import; None if it waits for one.

        Raises:
            NotPossibleError: it cannot be read now.
        """
        if record.state.had_no_job and not record.job_record:
            return None
        job_id = record.job_record or record.id
        with contextlib.suppress(UnreadableRowError):
            job = self._services.jobs.find(record.hub, job_id)
            if job is not None and record.row_key in job.members:
                return job
        if record.hub not in self._services.hubs:
            return None
        raise NotPossibleError(
            f"The row of the job of import {record.id} was deleted or edited. It is written again "
            "within a minute; try once more then."
        )

    def _end(self, record: ImportRecord, act: Act, count: int | None, reason: str) -> ImportRecord:
        cancelled = replace(
            record,
            failure_reason=reason,
            acts=(*record.acts, act),
            cancel_reason=CancelReason.OPERATOR,
            imported=count,
            failed=count,
        )
        return end_import(self._services, cancelled, ImportState.CANCELLED)
