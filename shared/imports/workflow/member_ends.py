"""How one import of a job ends: by what the hub's log says of its lines, or with unknown counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from shared.errors import ImporterError
from shared.hub.error_log import LOG_NAME
from shared.hub.exceptions import HubUnauthorizedError
from shared.imports.model.job import JobRecord
from shared.imports.model.record import CancelReason, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.tracing import traced
from shared.imports.workflow import job_outcome
from shared.imports.workflow import job_reasons as reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.job_outcome import JobOutcome, UnreadableLogError
from shared.imports.workflow.line_owners import LineOwners
from shared.imports.workflow.registration import has_dot_folder
from shared.imports.workflow.second_job import (
    begin_second_job,
    needs_second_job,
    without_lost_modules,
)
from shared.logs import logger
from shared.storage.blobs import StoredFile
from shared.text import clean_reason

__all__ = ["MemberEnds"]

log = logger(__name__)

#: More lines than a file can have.
MAX_FAILURES = 100_000_000


class MemberEnds:
    """Ends the imports of jobs of which it is decided how they ended."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings

    def end(self, record: ImportRecord, job: JobRecord, outcome: JobOutcome | None) -> bool:
        """End one import, or queue it again for its second job.

        Args:
            record: with what its job adds.
            outcome: what the hub's log says of it; None if there is no log.

        Returns:
            Whether it is final.

        Raises:
            ConflictError: another process changed the import first.
            AzureError: storage is unavailable.
        """
        if job.end_state is ImportState.COMPLETED and outcome is not None:
            is_cancelled = job.cancel_reason is CancelReason.OPERATOR
            if needs_second_job(record) and not outcome.unidentified and not is_cancelled:
                record = without_lost_modules(self._services, record, outcome)
                if needs_second_job(record):
                    begin_second_job(self._services, record, outcome, job)
                    return False
            self._end_by_log(record, outcome, job)
        else:
            self._end_unknown(record, outcome, job)
        return True

    @traced("end")
    def _end_by_log(
        self, record: ImportRecord, outcome: JobOutcome, job: JobRecord
    ) -> ImportRecord:
        """End an import whose job completed, by the log that it wrote."""
        devices = record.lines_to_apply
        if needs_second_job(record):
            # Their devices are there again, or not: an undo compares that again.
            cause = reasons.first_job_unclear()
            if job.cancel_reason is CancelReason.OPERATOR:
                cause = reasons.cancelled_between_jobs()
            reason = clean_reason(cause, reasons.modules_left(record.second_lines or 0))
            left = replace(record, failure_reason=reason, retry="")
            return end_import(
                self._services, left, ImportState.COMPLETED_WITH_ERRORS, outcome, job=job
            )
        if outcome.failed > devices or outcome.unidentified or outcome.unattributed:
            # The log may belong to something else, or does not name what failed.
            cause = (
                reasons.log_unattributed(outcome.unattributed, len(job.members))
                if outcome.unattributed
                else reasons.log_does_not_fit(outcome.failed, devices, outcome.unidentified)
            )
            reason = clean_reason(cause, outcome.example, reasons.counts_unknown())
            unknown = replace(record, failure_reason=reason, retry=outcome.retry)
            return end_import(
                self._services, unknown, ImportState.COMPLETED_WITH_ERRORS, outcome, job=job
            )
        state, reason = ImportState.COMPLETED, ""
        if outcome.failed or record.invalid_lines or record.left_out:
            state = ImportState.COMPLETED_WITH_ERRORS
            reason = reasons.not_all_imported(record, outcome)
        elif job.cancel_reason is CancelReason.OPERATOR:
            reason = reasons.cancelled_too_late()
        ended = replace(
            record,
            failure_reason=reason,
            failed=outcome.failed,
            imported=devices - outcome.failed,
            retry=outcome.retry,
        )
        return end_import(self._services, ended, state, outcome, job=job)

    @traced("end")
    def _end_unknown(
        self, record: ImportRecord, outcome: JobOutcome | None, job: JobRecord
    ) -> ImportRecord:
        """End an import whose number of imported devices is not known."""
        count = 0 if job.is_unapplied else None
        ended = replace(
            record,
            failure_reason=job.end_reason,
            imported=count,
            failed=count,
            retry=outcome.retry if outcome else "",
        )
        return end_import(
            self._services, ended, job.end_state or ImportState.FAILED, outcome, job=job
        )

    def read_outcomes(
        self,
        job: JobRecord,
        open_members: Sequence[ImportRecord],
        job_log: StoredFile | None,
        *,
        is_last_try: bool,
    ) -> Sequence[JobOutcome]:
        """What the hub's log says of each of these imports.

        Args:
            job_log: the log, if it is open since the decision.
            is_last_try: use what can be read, as it is not read again.

        Raises:
            UnreadableLogError: it cannot be read now, or is another one than was decided by.
            AzureError: storage is unavailable.
        """
        container = self._services.container_of(job)
        if job_log is None:
            job_log = container.error_log()
        if job_log is None or job_log.etag != job.log_etag:
            raise UnreadableLogError(f"{LOG_NAME} was deleted or changed after the job had ended.")
        by_key = {record.row_key: record for record in open_members}
        # All of them: what is said of one that has ended is no note for the others.
        members = [by_key.get(key) for key in job.members]

        def read_owners() -> LineOwners:
            if len(job.member_lines) != len(job.members):
                raise ValueError("the list of its members was edited")
            lines = container.staged_lines(job.staged, sum(job.member_lines))
            return LineOwners(lines, job.member_lines)

        outcomes = job_outcome.read_outcomes(
            job_log,
            [
                (record, self._services.container_of(record)) if record else None
                for record in members
            ],
            read_owners if job.is_shared else None,
            # What failed in the first job of an undo is kept for the end of the second.
            MAX_FAILURES
            if any(map(needs_second_job, open_members))
            else self._settings.validation.max_reported_problems,
            is_last_try=is_last_try,
        )
        by_member = dict(zip(job.members, outcomes, strict=True))
        return [by_member[record.row_key] for record in open_members]

    def look_up_missing(self, name: str, outcomes: Sequence[JobOutcome | None]) -> None:
        """Ask the registry for some devices that the log reports as missing.

        Logs of live hubs were seen to report devices as missing that existed.
        """
        hub = self._services.hubs[name]
        missing = (
            (outcome, failed)
            for outcome in outcomes
            if outcome is not None
            for failed in outcome.reported_missing
        )
        for outcome, failed in islice(missing, self._settings.jobs.verify_failed_devices):
            path = f"{failed.device_id}/{failed.module_id}".rstrip("/")
            if has_dot_folder(path):
                continue
            try:
                exists = hub.has_identity(failed.device_id, failed.module_id)
            except HubUnauthorizedError:
                # A hub answers so for a module of a device that does not exist.
                continue
            except ImporterError as error:
                log.warning("rejected devices cannot be looked up in the registry: %s", error)
                return
            outcome.in_registry[path] = exists
