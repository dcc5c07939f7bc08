"""The head of a hub's queue becomes a job: once, whatever is lost on the way.

`starting` is written before the hub is asked. Whoever finds an import in that state and nobody at
work on it looks for the job before asking again. A job is ours if the hub says that it was given
our container, or if a log is in our container. A job that names another container is never ours. Of
one that names none nobody can say: an active one is waited for, and where one ended that may have
been ours the import fails, as it is not known whether its devices were applied.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from shared.errors import (
    ImporterError,
    PermanentError,
    RefusedForNowError,
    TemporaryError,
    first_line,
)
from shared.hub.exceptions import HubError, JobSlotBusyError, OutcomeUnknownError
from shared.hub.jobs import ImportJobRequest, JobProperties
from shared.imports.model import reasons
from shared.imports.model.record import ImportRecord, ImportState, Stop
from shared.imports.services import Services
from shared.imports.store.import_container import StagedFileChangedError, staged_name
from shared.imports.store.import_store import NOBODY, NOTHING_TO_WAIT_FOR
from shared.imports.tracing import traced, update_log_context
from shared.imports.workflow.completion import finish
from shared.imports.workflow.upload_scan import UploadScan
from shared.logs import logger

__all__ = ["LOG_GRACE", "JobStarter", "job_columns", "nothing_imported"]

log = logger(__name__)

#: How far the clocks of two processes may be apart.
CLOCK_SKEW = timedelta(minutes=5)

#: How exactly the time of a call is known by the hub's clock, whose answers tell whole seconds.
CLOCK_MARGIN = CLOCK_SKEW + timedelta(seconds=30)

#: How long a log may appear after its job has ended, and how long after a call without an answer
#: nothing that is found proves nothing: a job list may lag. A live hub always writes a log, empty
#: if nothing failed.
LOG_GRACE = CLOCK_SKEW + timedelta(minutes=5)


class JobStarter:
    """Starts jobs. Only the head of a hub's queue may start, so uploads are applied in order."""

    def __init__(self, services: Services, uploads: UploadScan) -> None:
        self._services = services
        self._settings = services.settings
        self._store = services.store
        self._uploads = uploads

    def enter(self, record: ImportRecord) -> ImportRecord:
        """Start a queued import if its turn has come; otherwise it waits for a later tick.

        One of a hub that is not configured waits until that is.

        Raises:
            ConflictError: another process was first.
        """
        if record.hub not in self._services.hubs:
            return record
        # In this order: an older upload that is found now is then ahead in the queue.
        if not self._uploads.register_until(record):
            return record
        place = self._store.place(record)
        if place == 1:
            return self.start(record)
        return self._store.update(record, place=place) if place != record.place else record

    def start(self, record: ImportRecord) -> ImportRecord:
        """Ask the hub for the job of the import at the head of the queue, unless it waits.

        All older uploads have to be registered.

        Returns:
            The import: running; queued again, with what it waits for; starting, if it is not known
            whether the hub did it; or failed.

        Raises:
            ConflictError: another process was first.
        """
        return record if record.waits(self._services.clock()) else self._start(record)

    @traced("start")
    def _start(self, record: ImportRecord) -> ImportRecord:
        try:
            if record.staged_generation and self._traces(record).exist:
                # An earlier call did arrive: `resume` finds out what became of it.
                return self._store.transition(record, ImportState.STARTING, place=None, **NOBODY)
            if record.stop is not Stop.NO:
                return self._cancelled(record)
            self._services.container_of(record).check_staged(record)
        except StagedFileChangedError as error:
            return self._fail(record, str(error))
        except HubError as error:
            return self._wait_or_fail(record, error)
        now = self._services.clock()
        record = self._store.transition(
            record,
            ImportState.STARTING,
            owner=uuid.uuid4().hex,
            lease_until=now + self._settings.retries.lease,
            last_start_at=now,
            place=None,
        )
        try:
            job = self._services.hubs[record.hub].create_import_job(self._request(record))
        except OutcomeUnknownError as error:
            log.warning("%s", error)
            # There is a job or there is none: the next tick looks, the first time without a wait.
            waits: dict[str, Any] = (
                self._services.back_off(record) if record.tries else {"tries": 1}
            )
            if error.details is not None:
                # It was an answer, though an error: no job is waited for that may still appear.
                record = self._fence(record)
                waits["unresolved_since"] = self._services.clock() - LOG_GRACE
            return self._store.update(
                record, failure_reason=reasons.waiting(error), **NOBODY, **waits
            )
        except (TemporaryError, RefusedForNowError) as error:
            return self._wait_or_fail(record, error)
        except PermanentError as error:
            return self._fail(record, reasons.hub_refused(error))
        return self._running(record, job)

    def resume(self, record: ImportRecord) -> ImportRecord:
        """Find out what became of an import that was left in `starting`.

        Returns:
            The import: running if there is a job, queued (or cancelled, if somebody asked for
            that) if there is none, failed if it is not known whether there was one; unchanged while
            the process that set out to start it may still be at work, or the hub is left alone.

        Raises:
            ConflictError: another process was first.
        """
        now = self._services.clock()
        if record.waits(now) or record.is_leased(now):
            return record
        return self._resume(record)

    @traced("resume")
    def _resume(self, record: ImportRecord) -> ImportRecord:
        record = self._store.update(
            record,
            owner=uuid.uuid4().hex,
            lease_until=self._services.clock() + self._settings.retries.lease,
        )
        try:
            traces = self._traces(record)
        except HubError as error:
            return self._store.update(
                record,
                failure_reason=reasons.waiting(error),
                **NOBODY,
                **self._services.back_off(record),
            )
        if traces.job is not None:
            log.warning("found its job %s at the hub", traces.job.job_id)
            return self._running(record, traces.job)
        if traces.active:
            return self._wait_for_outcome(record, reasons.job_may_be_ours(), None)
        if traces.has_log:
            log.warning("found the log of its job")
            job = traces.ended[0] if len(traces.ended) == 1 else JobProperties()
            return self._running(record, job)
        now = self._services.clock()
        since = min(record.unresolved_since or now, now)
        if record.unresolved_since is None:
            record = self._fence(record)
        if traces.ended:
            if record.last_start_at and since < record.last_start_at:
                # An error answered the call, so nothing was waited for yet: its log may still come.
                since = now
            if now - since < LOG_GRACE:
                return self._wait_for_outcome(record, reasons.job_may_have_been_ours(), since)
            reason = reasons.outcome_unknown()
            return finish(self._services, record, ImportState.FAILED, failure_reason=reason)
        if now - since < LOG_GRACE:
            return self._wait_for_outcome(record, reasons.answer_lost(LOG_GRACE), since)
        if record.stop is not Stop.NO:
            return self._cancelled(record)
        # Before the hub is asked again, `start` looks once more.
        return self._store.transition(
            record, ImportState.QUEUED, failure_reason="", unresolved_since=None, **NOBODY
        )

    def _wait_for_outcome(
        self, record: ImportRecord, reason: str, since: datetime | None
    ) -> ImportRecord:
        """Leave the import in `starting`, to be looked for again after a back-off."""
        return self._store.update(
            record,
            failure_reason=reason,
            unresolved_since=since,
            **NOBODY,
            **self._services.back_off(record),
        )

    def _traces(self, record: ImportRecord) -> _Traces:
        """Everything that may tell of a job that came of an earlier call.

        Raises:
            HubError: the hub does not tell its jobs.
        """
        listed = self._services.hubs[record.hub].list_jobs()
        imports = [job for job in listed.jobs if job.type.lower() == "import"]
        ours = [job for job in imports if _is_of(job, record)]
        # The last of them is active, or else the one that began last.
        ours.sort(key=lambda job: (not job.status.is_final, job.start_time_utc or _NO_TIME))
        has_log = self._services.container_of(record).has_error_log()
        unnamed = [] if ours else [job for job in imports if not _names_a_container(job)]
        return _Traces(
            ours[-1] if ours else None,
            any(not job.status.is_final for job in unnamed),
            has_log,
            self._ended_since(record, unnamed, listed.at),
        )

    def _ended_since(
        self,
        record: ImportRecord,
        jobs: Iterable[JobProperties],
        hub_time: datetime | None,
    ) -> list[JobProperties]:
        """Those that ended and may have come of the last call, by the hub's clock."""
        called_at = record.last_start_at or record.updated_at
        hub_time = hub_time or self._services.clock()
        since = called_at + (hub_time - self._services.clock()) - CLOCK_MARGIN

        candidates = [
            job for job in jobs if job.status.is_final and (job.start_time_utc or since) >= since
        ]
        if not candidates:
            return []
        # An import that began its job before that may have got it a little later.
        earliest = called_at - CLOCK_MARGIN - self._settings.retries.lease
        owned = self._store.jobs_started_since(record.hub, earliest)
        return [job for job in candidates if job.job_id not in owned]

    def _fence(self, record: ImportRecord) -> ImportRecord:
        """Give the staged file another name.

        The call that nobody has seen an answer of may still be on its way. If it arrives now, the
        hub finds no file and refuses the job, as it checks that before there is one.

        Raises:
            ConflictError: another process was first.
        """
        container = self._services.container_of(record)
        # "" if people deleted or changed it: then the call finds nothing either, and `start` tells.
        etag = container.copy_staged(record)
        record = self._store.update(
            record, staged_generation=record.staged_generation + 1, staged_etag=etag
        )
        container.delete_staged_before(record.staged_generation)
        return record

    def _request(self, record: ImportRecord) -> ImportJobRequest:
        storage = self._services.storage
        if self._settings.jobs.storage_authentication == "identityBased":
            uri = storage.container_uri(record.container)
        else:
            uri = storage.container_uri_with_sas(
                record.container, self._settings.jobs.sas_lifetime, self._services.clock()
            )
        return ImportJobRequest(
            input_blob_container_uri=uri,
            output_blob_container_uri=uri,
            input_blob_name=staged_name(record.staged_generation),
            storage_authentication_type=self._settings.jobs.storage_authentication,
            user_assigned_identity=self._settings.jobs.storage_identity,
        )

    def _running(self, record: ImportRecord, job: JobProperties) -> ImportRecord:
        record = self._store.transition(
            record,
            ImportState.RUNNING,
            failure_reason="",
            **NOBODY,
            **NOTHING_TO_WAIT_FOR,
            job_id=job.job_id,
            **job_columns(job),
        )
        update_log_context(record)
        log.info("running")
        return record

    def _wait_or_fail(self, record: ImportRecord, error: ImporterError) -> ImportRecord:
        """A busy or absent hub is waited for; a refusal that people have to mend, for a while."""
        refused_since = None
        if isinstance(error, RefusedForNowError) and not isinstance(error, JobSlotBusyError):
            now = self._services.clock()
            refused_since = min(record.refused_since or now, now)
            if now - refused_since >= self._settings.retries.refusal_deadline:
                return self._fail(record, reasons.hub_refused(error))
        log.info("waits: %s", first_line(error))
        if record.state is ImportState.QUEUED:
            return self._store.update(
                record,
                refused_since=refused_since,
                failure_reason=reasons.waiting(error),
                place=1,
                **self._services.back_off(record),
            )
        return self._store.transition(
            record,
            ImportState.QUEUED,
            refused_since=refused_since,
            failure_reason=reasons.waiting(error),
            place=1,
            **NOBODY,
            **self._services.back_off(record),
        )

    def _fail(self, record: ImportRecord, reason: str) -> ImportRecord:
        """End an import that the hub refused."""
        return finish(
            self._services,
            record,
            ImportState.FAILED,
            failure_reason=reason,
            **nothing_imported(record),
        )

    def _cancelled(self, record: ImportRecord) -> ImportRecord:
        """End an import whose call was lost, and of whose job nothing was found."""
        return finish(
            self._services,
            record,
            ImportState.CANCELLED,
            failure_reason=reasons.cancelled_without_trace(),
            **nothing_imported(record),
        )


def nothing_imported(record: ImportRecord) -> dict[str, Any]:
    """Counts of an import that ends without a job.

    Where the answer to an earlier call was lost, they are not known.
    """
    count = None if record.staged_generation else 0
    return {"imported": count, "failed": count}


_NO_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Traces:
    """What tells of a job that came of a call whose answer was lost."""

    #: The job that was given the import's container.
    job: JobProperties | None
    #: Whether a job is active that names no container.
    active: bool
    #: Whether a log is in the import's container.
    has_log: bool
    #: Jobs that name no container, have ended since the call and may have been the import's.
    ended: Sequence[JobProperties]

    @property
    def exist(self) -> bool:
        return self.job is not None or self.active or self.has_log or bool(self.ended)


def _is_of(job: JobProperties, record: ImportRecord) -> bool:
    """Whether the hub says that the job was given the import's container."""
    uris = (job.input_blob_container_uri, job.output_blob_container_uri)
    return any(urlsplit(uri).path.rstrip("/").endswith(f"/{record.container}") for uri in uris)


def _names_a_container(job: JobProperties) -> bool:
    return bool(job.input_blob_container_uri or job.output_blob_container_uri)


def job_columns(job: JobProperties) -> dict[str, object]:
    """The hub's own words about a job, as the record keeps them."""
    return {
        "job_status": job.status_text,
        "job_failure_reason": job.failure_reason,
        "progress": job.progress,
        "start_time_utc": job.start_time_utc,
        "end_time_utc": job.end_time_utc,
    }
