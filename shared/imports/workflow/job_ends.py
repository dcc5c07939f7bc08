"""The end of a job becomes the ends of its imports.

How a job of several imports ended is decided once, by a guarded write. From then on the hub's slot
is free, and the members end by themselves: whoever continues comes to the same results.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from azure.core.exceptions import ResourceNotFoundError

from shared import logs
from shared.errors import first_line
from shared.imports import metrics
from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.parts import NO_BACK_OFF, NO_LEASE
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_store import ConflictError
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.imports.workflow import job_reasons as reasons
from shared.imports.workflow.completion import end_unreadable
from shared.imports.workflow.job_outcome import JobOutcome, UnreadableLogError
from shared.imports.workflow.job_traces import LOG_GRACE
from shared.imports.workflow.member_ends import MemberEnds
from shared.imports.workflow.registration import record_deletion
from shared.imports.workflow.unexpected import end_or_back_off
from shared.imports.workflow.upload_reasons import unexpected_end, unexpected_error
from shared.storage.blobs import StoredFile
from shared.storage.client import is_outage
from shared.text import clean_reason

__all__ = ["JobEnds"]

log = logs.logger(__name__)


class JobEnds:
    """Ends jobs and their imports. Each write is guarded."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._jobs = services.jobs
        self._members = MemberEnds(services)
        #: Row keys of imports whose first job is over, until the queue has noticed that.
        self.queued_again: set[str] = set()

    def has_all_members(self, job: JobRecord) -> bool:
        """Whether the records of all members are still there and can be read.

        Raises:
            NewerRowError: a newer version of the app wrote that of the only member.
        """
        if not job.is_shared:
            with contextlib.suppress(ResourceNotFoundError, UnreadableRowError):
                return _is_member(self._services.store.get(job.hub, job.members[0]), job)
            return False
        records = self._services.queries.records(job.hub, job.members).values()
        return sum(_is_member(record, job) for record in records) == len(job.members)

    def dissolve(
        self,
        job: JobRecord,
        alone: Sequence[str] = (),
        *,
        refused_since: datetime | None = None,
        errors: int = 0,
    ) -> None:
        """Queue the imports of a job again that the hub does not have.

        Args:
            alone: row keys of those that get a job of their own.
            refused_since: since when the hub rejects them; None: as the job was rejected.
            errors: how many unexpected errors that was.

        Raises:
            ConflictError: another process changed the job or one of them.
            NewerRowError: a newer version of the app wrote one of them.
        """
        members = []
        since = refused_since or job.back_off.refused_since
        for record in self._records_of(job):
            count = record.back_off.unexpected_errors + errors
            back_off = replace(record.back_off, refused_since=since, unexpected_errors=count)
            changed = replace(record, back_off=back_off)
            if not job.is_shared:
                changed = changed.with_file_for_hub(job.staged)
            if record.row_key in alone:
                changed = replace(changed, footprint=b"")
            members.append((record, changed))
        self._jobs.dissolve(job, members)
        log.info("the job is dissolved; imports that are queued again: %d", len(members))

    def conclude(
        self,
        job: JobRecord,
        state: ImportState,
        reason: str,
        job_log: StoredFile | None = None,
        *,
        is_unapplied: bool = False,
    ) -> JobRecord | None:
        """Decide how a job ended; end its imports at once unless others may go on before.

        Args:
            state: `completed` if the hub's log tells how each import ended.
            job_log: the hub's log, if there is one.
            is_unapplied: whether it is certain that the hub applied nothing.

        Returns:
            The job, if its imports are still to be ended; None if it is over.
        """
        job = replace(
            job,
            end_state=state,
            end_reason=reason,
            log_etag=job_log.etag if job_log else "",
            is_unapplied=is_unapplied,
            lease=NO_LEASE,
        )
        if not job.is_shared:
            return self.end_members(job, job_log)
        if state in (ImportState.FAILED, ImportState.CANCELLED) and len(job.members) > 1:
            job = replace(job, end_reason=clean_reason(reason, reasons.shared_job(job)))
        if job.state is JobState.ENDED:
            return self._jobs.update(job)
        job = self._jobs.transition(job, JobState.ENDED)
        # The registry is to be asked before the next job changes it.
        return self.end_members(job, job_log) if job_log is not None and job_log.size else job

    def end_without_job(self, job: JobRecord, state: ImportState, reason: str) -> JobRecord | None:
        """End a job that the hub refused, or of which nothing was found.

        Returns:
            As `conclude`.
        """
        is_unapplied = not (job.was_unanswered or job.is_restored)
        return self.conclude(job, state, reason, is_unapplied=is_unapplied)

    def end_members(self, job: JobRecord, job_log: StoredFile | None = None) -> JobRecord | None:
        """End the imports of a job of which it is decided how it ended.

        Args:
            job_log: the hub's log, if it is open since the decision.

        Returns:
            The job, if there is something left to do; None if it is over.
        """
        records, is_whole = self._open_members(job)
        members = [job.ending(record) for record in records]
        outcomes: Sequence[JobOutcome | None] = [None] * len(members)
        if members and job.log_etag:
            since, waited = job.unresolved(self._services.clock())
            try:
                outcomes = self._members.read_outcomes(
                    job, members, job_log, is_last_try=waited >= LOG_GRACE
                )
            except UnreadableLogError as error:
                if waited < LOG_GRACE:
                    return self.wait(job, reasons.log_awaited(str(error), LOG_GRACE), since)
                job = _without_log(job, str(error))
            else:
                # A log that is read later may tell of devices that the next job has changed.
                if job_log is not None and job.end_state is ImportState.COMPLETED:
                    self._members.look_up_missing(job.hub, outcomes)
        for record, outcome in zip(members, outcomes, strict=True):
            is_whole = self._try_to_end(job, record, outcome) and is_whole
        if not is_whole:
            return job
        if job.is_shared or not members:
            self._jobs.close(job)
        metrics.count_job(job)
        return None

    def wait(self, job: JobRecord, reason: str, since: datetime | None) -> JobRecord:
        """Go on with the job after a back-off.

        Args:
            since: since when it is not known how the job ended.
        """
        if job.state is not JobState.ENDED:
            job = replace(job, end_state=None, end_reason="", log_etag="")
        back_off = replace(job.back_off, unresolved_since=since)
        return self._jobs.update(
            replace(job, failure_reason=reason, back_off=self._services.backing_off(back_off))
        )

    def end_or_back_off(self, job: JobRecord, error: Exception) -> JobRecord | None:
        """Count an unexpected error of a job, or give the job up by that.

        Returns:
            The job; None if it is over.

        Raises:
            NewerRowError, ConflictError: another process changed it.
        """
        log.error("unexpected: %s", first_line(error), exc_info=error)
        # The step that failed may have changed it.
        current = self._jobs.find(job.hub, job.id)
        if current is None:
            return None
        errors = current.back_off.unexpected_errors
        if errors + 1 < self._settings.retries.max_attempts:
            next_try_at = self._services.next_try_at(errors)
            back_off = replace(
                current.back_off, unexpected_errors=errors + 1, next_try_at=next_try_at
            )
            reason = unexpected_error(error)
            return self._jobs.update(
                replace(current, failure_reason=reason, back_off=back_off, lease=NO_LEASE)
            )
        reason = unexpected_end(errors + 1, error)
        if not current.is_shared:
            end_unreadable(self._services, current.hub, current.members[0], reason)
            self._jobs.close(current)
            return None
        if not current.may_be_at_hub:
            self.dissolve(current, current.members)
            return None
        return self.conclude(replace(current, back_off=NO_BACK_OFF), ImportState.FAILED, reason)

    def _records_of(self, job: JobRecord) -> list[ImportRecord]:
        """The records of the members that are there, as far as they can be read.

        Raises:
            NewerRowError: a newer version of the app wrote one of them.
        """
        records: dict[str, ImportRecord | None] = {
            **self._services.queries.records(job.hub, job.members)
        }
        for key in job.members:
            if key not in records:
                records[key] = self._services.store.readable(job.hub, key)
        return [record for record in records.values() if record and _is_member(record, job)]

    def _open_members(self, job: JobRecord) -> tuple[list[ImportRecord], bool]:
        """The imports of a job that can be ended now, and whether there are no others."""
        store = self._services.store
        records: dict[str, ImportRecord] = {}
        if job.is_shared:
            records = self._services.queries.records(job.hub, job.members)
        is_whole = True
        members = []
        for key in job.members:
            try:
                record = records.get(key) or store.get(job.hub, key)
                if record.state.is_final:
                    continue
                if job.is_shared and record.job_record != job.id:
                    log.error("%s is not in the job, whose list of members was edited", key)
                    continue
                if record.back_off.unexpected_errors and record.is_backing_off(
                    self._services.clock()
                ):
                    is_whole = False
                    continue
                members.append(record)
            except ResourceNotFoundError:
                log.error("the record %s of an open import was deleted", key)
                record_deletion(self._services, job.hub, key)
            except Exception as error:
                is_whole = self._give_up(job, key, error) and is_whole
        return members, is_whole

    def _try_to_end(self, job: JobRecord, record: ImportRecord, outcome: JobOutcome | None) -> bool:
        """End one import; returns whether its job has nothing left to do for it."""
        try:
            if not self._members.end(record, job, outcome):
                self.queued_again.add(record.row_key)
        except ConflictError as conflict:
            if not job.is_shared:
                raise
            log.info("%s: %s", record.row_key, conflict)
            return False
        except Exception as error:
            return self._give_up(job, record.row_key, error)
        return True

    def _give_up(self, job: JobRecord, key: str, error: Exception) -> bool:
        """Count an error of one import; returns whether it has ended by it."""
        if is_outage(error) or (isinstance(error, NewerRowError) and not job.is_shared):
            raise error
        try:
            is_over = end_or_back_off(self._services, job.hub, key, error)
        except (ConflictError, NewerRowError) as conflict:
            log.info("%s: %s", key, conflict)
            return False
        if is_over and not job.is_shared:
            self._jobs.close(job)
        return is_over


def _is_member(record: ImportRecord, job: JobRecord) -> bool:
    return record.state is ImportState.STARTING and record.job_record == job.id


def _without_log(job: JobRecord, cause: str) -> JobRecord:
    """The job with another end, as its log cannot be read."""
    if job.end_state is ImportState.COMPLETED:
        return replace(
            job,
            end_state=ImportState.COMPLETED_WITH_ERRORS,
            end_reason=clean_reason(cause, reasons.counts_unknown()),
        )
    return replace(job, end_reason=clean_reason(cause, job.end_reason))
