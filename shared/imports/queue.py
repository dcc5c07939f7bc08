"""The head of a hub's queue becomes a job: once, whatever is lost on the way.

`starting` is written before the hub is asked. Whoever finds an import in that state and nobody at
work on it looks for the job before asking again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from shared.errors import ImporterError, PermanentError, RefusedForNowError, TemporaryError
from shared.hub.errors import JobSlotBusyError, OutcomeUnknownError
from shared.hub.jobs import ImportJobRequest, JobProperties, JobStatus
from shared.imports import reasons
from shared.imports.container import staged_name
from shared.imports.finish import finish
from shared.imports.ledger import NOBODY, NOTHING_TO_WAIT_FOR
from shared.imports.record import ImportRecord, ImportState, Stop
from shared.imports.services import Services
from shared.imports.steps import became, step
from shared.imports.uploads import Uploads
from shared.logs import logger

__all__ = ["Queue", "job_columns"]

log = logger(__name__)

#: How far the hub's clock may be from ours, as to a job that is active: ours would have to wait for
#: it anyhow. A job that ended is taken for ours for good.
ACTIVE_SKEW = timedelta(minutes=2)
ENDED_SKEW = timedelta(seconds=5)


class Queue:
    """Starts jobs. Only the head of a hub's queue may start, so uploads are applied in order."""

    def __init__(self, services: Services, uploads: Uploads) -> None:
        self._services = services
        self._settings = services.settings
        self._ledger = services.ledger
        self._uploads = uploads

    def enter(self, record: ImportRecord) -> ImportRecord:
        """Start a queued import if its turn has come; otherwise it waits for a later tick.

        Raises:
            ConflictError: another process was first.
        """
        # In this order: an older upload that is found now is then ahead in the queue.
        if not self._uploads.register_until(record):
            return record
        place = self._ledger.place(record)
        if place == 1:
            return self.start(record)
        return self._ledger.update(record, place=place) if place != record.place else record

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

    @step("start")
    def _start(self, record: ImportRecord) -> ImportRecord:
        now = self._services.clock()
        record = self._ledger.transition(
            record,
            ImportState.STARTING,
            owner=uuid.uuid4().hex,
            lease_until=now + self._settings.lease,
            last_start_at=now,
            place=None,
        )
        try:
            job = self._services.hubs[record.hub].create_import_job(self._request(record))
        except OutcomeUnknownError as error:
            log.warning("%s", error)
            # There is a job or there is none: the next tick looks, the first time without a wait.
            waits = self._services.back_off(record) if record.tries else {"tries": 1}
            return self._ledger.update(
                record, failure_reason=reasons.waiting(error), **NOBODY, **waits
            )
        except (TemporaryError, RefusedForNowError) as error:
            return self._wait_or_fail(record, error)
        except PermanentError as error:
            return self._fail(record, error)
        return self._running(record, job)

    def resume(self, record: ImportRecord) -> ImportRecord:
        """Find out what became of an import that was left in `starting`.

        Returns:
            The import: running if there is a job, queued (or cancelled, if somebody asked for
            that) if there is none; unchanged while the process that set out to start it may still
            be at work, or the hub is left alone.

        Raises:
            ConflictError: another process was first.
        """
        now = self._services.clock()
        if record.waits(now) or (record.lease_until and record.lease_until > now):
            return record
        return self._resume(record)

    @step("resume")
    def _resume(self, record: ImportRecord) -> ImportRecord:
        record = self._ledger.update(
            record,
            owner=uuid.uuid4().hex,
            lease_until=self._services.clock() + self._settings.lease,
        )
        try:
            found = self._look(record)
            if found is None:
                record = self._fence(record)
                found = self._look(record)
        except ImporterError as error:
            return self._ledger.update(
                record,
                failure_reason=reasons.waiting(error),
                **NOBODY,
                **self._services.back_off(record),
            )
        if found is not None:
            return found
        if record.stop is not Stop.NO:
            reason = reasons.cancelled_in_queue()
            return finish(self._services, record, ImportState.CANCELLED, failure_reason=reason)
        return self._ledger.transition(record, ImportState.QUEUED, **NOBODY)

    def _look(self, record: ImportRecord) -> ImportRecord | None:
        """The import as running if there is a job, or was one; None if nothing tells of any.

        A hub may or may not echo the container of a job. Without that, a job that began after our
        call and that no other import owns is presumed to be ours if it is active, or if it ended in
        a way that leaves no log. One that completed would have left its log in our container.
        """
        jobs = self._services.hubs[record.hub].list_jobs()
        imports = [job for job in jobs if job.type.lower() == "import"]
        job = next((job for job in imports if _is_of(job, record)), None)
        if job is not None:
            return self._found(record, job)
        if self._services.container_of(record).has_error_log():
            return self._found(record, self._unnamed_job(record, imports, True) or JobProperties())
        job = self._unnamed_job(record, imports, False)
        return None if job is None else self._found(record, job, is_presumed=True)

    def _found(
        self, record: ImportRecord, job: JobProperties, is_presumed: bool = False
    ) -> ImportRecord:
        log.warning("found its job %s at the hub", job.job_id or "by its log")
        return self._running(record, job, is_presumed)

    def _unnamed_job(
        self, record: ImportRecord, jobs: Iterable[JobProperties], has_log: bool
    ) -> JobProperties | None:
        """The job that may have come of the last call, by its status and its time."""
        since = record.last_start_at or record.updated_at
        candidates = [
            job
            for job in jobs
            if not job.input_blob_container_uri and _may_answer(job, since, has_log)
        ]
        if not candidates:
            return None
        # An import that began its job before that may have got it a little later.
        earliest = since - ACTIVE_SKEW - self._settings.lease
        owned = self._ledger.jobs_started_since(record.hub, earliest)
        return next((job for job in candidates if job.job_id not in owned), None)

    def _fence(self, record: ImportRecord) -> ImportRecord:
        """Give the staged file another name.

        The call that nobody has seen an answer of may still be on its way. If it arrives now, the
        hub finds no file and refuses the job, as it checks that before there is one.

        Raises:
            ConflictError: another process was first.
        """
        container = self._services.container_of(record)
        container.copy_staged(record.fences)
        record = self._ledger.update(record, fences=record.fences + 1)
        container.delete_staged_before(record.fences)
        return record

    def _request(self, record: ImportRecord) -> ImportJobRequest:
        storage = self._services.storage
        if self._settings.job_storage_authentication == "identityBased":
            uri = storage.container_uri(record.container)
        else:
            uri = storage.container_uri_with_sas(
                record.container, self._settings.sas_lifetime, self._services.clock()
            )
        return ImportJobRequest(
            input_blob_container_uri=uri,
            output_blob_container_uri=uri,
            input_blob_name=staged_name(record.fences),
            storage_authentication_type=self._settings.job_storage_authentication,
            user_assigned_identity=self._settings.job_storage_identity,
        )

    def _running(
        self, record: ImportRecord, job: JobProperties, is_presumed: bool = False
    ) -> ImportRecord:
        record = self._ledger.transition(
            record,
            ImportState.RUNNING,
            failure_reason="",
            **NOBODY,
            **NOTHING_TO_WAIT_FOR,
            job_id=job.job_id,
            job_is_presumed=is_presumed,
            **job_columns(job),
        )
        became(record)
        log.info("running")
        return record

    def _wait_or_fail(self, record: ImportRecord, error: ImporterError) -> ImportRecord:
        """A busy or absent hub is waited for; a refusal that people have to mend, for a while."""
        refused_since = None
        if isinstance(error, RefusedForNowError) and not isinstance(error, JobSlotBusyError):
            now = self._services.clock()
            refused_since = record.refused_since or now
            if now - refused_since >= self._settings.refusal_deadline:
                return self._fail(record, error)
        log.info("waits: %s", reasons.first_line(error))
        return self._ledger.transition(
            record,
            ImportState.QUEUED,
            refused_since=refused_since,
            failure_reason=reasons.waiting(error),
            place=1,
            **NOBODY,
            **self._services.back_off(record),
        )

    def _fail(self, record: ImportRecord, error: ImporterError) -> ImportRecord:
        reason = reasons.hub_refused(error)
        return finish(self._services, record, ImportState.FAILED, failure_reason=reason)


def _is_of(job: JobProperties, record: ImportRecord) -> bool:
    """Whether the hub says that the job was given the import's container."""
    uris = (job.input_blob_container_uri, job.output_blob_container_uri)
    return any(urlsplit(uri).path.rstrip("/").endswith(f"/{record.container}") for uri in uris)


def _may_answer(job: JobProperties, since: datetime, has_log: bool) -> bool:
    """Whether the job may have come of a call at that time; each that completes leaves a log."""
    if (job.status is JobStatus.COMPLETED) is not has_log:
        return False
    skew = ENDED_SKEW if job.status.is_final else ACTIVE_SKEW
    return job.start_time_utc is None or job.start_time_utc >= since - skew


def job_columns(job: JobProperties) -> dict[str, object]:
    """The hub's own words about a job, as the record keeps them."""
    return {
        "job_status": job.status_text,
        "job_failure_reason": job.failure_reason,
        "progress": job.progress,
        "start_time_utc": job.start_time_utc,
        "end_time_utc": job.end_time_utc,
    }
