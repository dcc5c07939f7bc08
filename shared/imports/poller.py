"""One step further with the oldest import of a hub: start it, or follow its job to the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from shared.errors import ImporterError
from shared.hub.client import HubClient
from shared.hub.errors import JobNotFoundError
from shared.hub.jobs import JobProperties, JobStatus
from shared.imports import metrics, reasons
from shared.imports.events import Publisher
from shared.imports.finish import finish
from shared.imports.ledger import MAX_MARKERS, NOTHING_TO_WAIT_FOR, ConflictError, Marker
from shared.imports.outcome import Outcome, read_outcome
from shared.imports.queue import Queue, job_columns
from shared.imports.record import ImportRecord, ImportState, Stop
from shared.imports.registration import leads_elsewhere
from shared.imports.services import Services
from shared.imports.steps import about, concerning, step
from shared.imports.uploads import Uploads
from shared.logs import logger

__all__ = ["Poller"]

log = logger(__name__)

#: A job of that age is asked for at each tick only, even if others wait.
YOUNG = timedelta(seconds=60)

#: How long hubs remember a job (learn: "IoT Hub quotas and throttling").
JOB_HISTORY = timedelta(days=30)

_NO_JOB: dict[str, Any] = {
    "job_id": "",
    "job_status": "",
    "job_failure_reason": "",
    "job_is_presumed": False,
    "progress": None,
    "start_time_utc": None,
    "end_time_utc": None,
}


@dataclass
class _Walk:
    """A hub's queue as it was read, and how far it was gone along."""

    markers: list[Marker]
    #: All uploads until then had their records before the queue was read.
    registered_until: datetime
    #: Of the first marker, if it was read already.
    record: ImportRecord | None = None

    def __post_init__(self) -> None:
        self.is_cut_off = len(self.markers) == MAX_MARKERS


class Poller:
    """What a tick of the timer does. Ticks may overlap: each write is guarded."""

    def __init__(
        self,
        services: Services,
        queue: Queue,
        uploads: Uploads,
        publisher: Publisher | None = None,
    ) -> None:
        self._services = services
        self._publisher = publisher
        self._settings = services.settings
        self._ledger = services.ledger
        self._queue = queue
        self._uploads = uploads
        #: Of the hubs to follow up.
        self._walks: dict[str, _Walk] = {}

    def advance(self, hub: str) -> bool:
        """Advance the hub's queue as far as it goes without waiting.

        Returns:
            Whether it is worth while to `follow_up` soon: a young job runs, and others wait.

        Raises:
            AzureError: the storage cannot be used now.
        """
        return self._walk(hub, self._read(hub))

    def follow_up(self, hub: str) -> bool:
        """Ask for a young job again, and go on from there; as `advance`."""
        return self._walk(hub, self._walks.pop(hub))

    def _read(self, hub: str) -> _Walk:
        # In this order: what is older than that is in the queue if it is open.
        registered_until = self._uploads.registered_until
        work = self._ledger.work(hub)
        if self._publisher:
            self._publisher.offer(hub, work.unsent)
        head = work.queue[0].uploaded_at if work.queue else None
        metrics.queue_age(hub, head, self._services.clock())
        if len(work.queue) < MAX_MARKERS:
            metrics.queue_length(hub, len(work.queue))
        return _Walk(work.queue, registered_until)

    def _walk(self, hub: str, walk: _Walk) -> bool:
        """Go along the queue, from one import that ends to the next."""
        while walk.markers:
            marker = walk.markers[0]
            record = walk.record or self._open_record(hub, marker)
            walk.record = None
            if record is None:
                del walk.markers[0]
                continue
            try:
                if record.state is ImportState.QUEUED:
                    if record.waits(self._services.clock()):
                        return False
                    if record.uploaded_at > walk.registered_until:
                        if not self._uploads.register_until(record):
                            return False
                        walk = self._read(hub)
                        if walk.markers[:1] != [marker]:
                            continue
                record = self._step(record)
            except ConflictError as conflict:
                with about(record):
                    log.info("%s", conflict)
                return False
            if not record.state.is_final:
                if len(walk.markers) == 1 or not self._is_young(record):
                    return False
                walk.record = record
                self._walks[hub] = walk
                return True
            del walk.markers[0]
            if not walk.markers and walk.is_cut_off:
                return self.advance(hub)
        return False

    def _open_record(self, hub: str, marker: Marker) -> ImportRecord | None:
        """The import of a marker; a marker without an open import is taken away."""
        try:
            record = self._ledger.get(hub, marker.record_key)
        except ResourceNotFoundError:
            log.error("the record %s is gone; its marker goes", marker.record_key)
        else:
            if not record.state.is_final:
                return record
            with about(record):
                log.info("the import is final; its marker goes")
        self._ledger.remove_marker(hub, marker)
        return None

    def _is_young(self, record: ImportRecord) -> bool:
        """Whether the import's job may end any moment: most take seconds."""
        return (
            record.state is ImportState.RUNNING
            and record.next_try_at is None
            and self._services.clock() < (record.last_start_at or record.updated_at) + YOUNG
        )

    @concerning
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
        now = self._services.clock()
        if record.waits(now):
            return record
        hub = self._services.hubs[record.hub]
        try:
            job = hub.get_job(record.job_id) if record.job_id else None
            if job is None:
                return self._end_forgotten(record)
            if job.status.is_final:
                return self._end(record, job)
            stop = self._stop(record, now)
            if stop is not Stop.NO and not record.job_is_presumed:
                # Only now: hubs answer 500 to the cancelling of a job that has ended.
                self._cancel_job(record)
        except JobNotFoundError:
            return self._end_forgotten(record)
        except ImporterError as error:
            log.warning("%s", error)
            reason = reasons.cannot_follow(error)
            return self._note(record, failure_reason=reason, **self._services.back_off(record))
        changes = {
            **job_columns(job),
            "stop": stop,
            "failure_reason": reasons.stopping(
                stop, self._settings.job_deadline, record.job_is_presumed
            ),
            **NOTHING_TO_WAIT_FOR,
        }
        if all(getattr(record, name) == value for name, value in changes.items()):
            return record
        log.info("job %s, %s %%", job.status_text, job.progress)
        return self._note(record, **changes)

    @step("follow")
    def _note(self, record: ImportRecord, /, **changes: Any) -> ImportRecord:
        return self._ledger.update(record, **changes)

    @step("cancel")
    def _cancel_job(self, record: ImportRecord) -> ImportRecord:
        self._services.hubs[record.hub].cancel_job(record.job_id)
        return record

    def _stop(self, record: ImportRecord, now: datetime) -> Stop:
        started = record.last_start_at or record.updated_at
        if record.stop is Stop.NO and now >= started + self._settings.job_deadline:
            log.warning("the job takes too long")
            return Stop.DEADLINE
        return record.stop

    @step("end")
    def _end(self, record: ImportRecord, job: JobProperties) -> ImportRecord:
        """Turn a job that has ended into the final record of its import."""
        record = record.model_copy(update=job_columns(job))
        outcome = self._outcome(record)
        if outcome is None and record.job_is_presumed and job.status is JobStatus.COMPLETED:
            # The hub writes a log for each job that completes: this one was somebody else's.
            log.warning("the job is not its own")
            # Ours is looked for again.
            stop = record.stop if record.stop is Stop.OPERATOR else Stop.NO
            return self._ledger.transition(
                record, ImportState.STARTING, stop=stop, **_NO_JOB, **NOTHING_TO_WAIT_FOR
            )
        match job.status:
            case JobStatus.COMPLETED if outcome is not None:
                return self._complete(record, outcome)
            case JobStatus.COMPLETED:
                state, reason = ImportState.COMPLETED, reasons.log_missing()
            case JobStatus.CANCELLED:
                state, reason = ImportState.CANCELLED, reasons.cancelled(record)
                if record.stop is Stop.DEADLINE:
                    state = ImportState.FAILED
            case _:
                started = record.last_start_at or record.updated_at
                ended = record.end_time_utc or self._services.clock()
                sas_expired = (
                    self._settings.job_storage_authentication == "keyBased"
                    and ended >= started + self._settings.sas_lifetime
                )
                state, reason = ImportState.FAILED, reasons.job_failed(record, sas_expired)
        changes = {"failed": outcome.failed} if outcome else {}
        return finish(self._services, record, state, outcome, failure_reason=reason, **changes)

    @step("end")
    def _end_forgotten(self, record: ImportRecord) -> ImportRecord:
        """The hub keeps jobs for 30 days only, but their logs are ours.

        A job that is not known although it is young may still be at work: its log is waited for.
        """
        outcome = self._outcome(record)
        if outcome is not None:
            return self._complete(record, outcome)
        now = self._services.clock()
        started = record.last_start_at or record.updated_at
        lost_since = record.lost_since or now
        patience = min(self._settings.refusal_deadline, started + JOB_HISTORY - now)
        if now - lost_since >= patience:
            reason = reasons.job_forgotten(record, now - started)
            return finish(self._services, record, ImportState.FAILED, None, failure_reason=reason)
        return self._ledger.update(
            record,
            lost_since=lost_since,
            failure_reason=reasons.job_lost(self._settings.refusal_deadline),
            **self._services.back_off(record),
        )

    def _complete(self, record: ImportRecord, outcome: Outcome) -> ImportRecord:
        devices = record.devices or 0
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
            imported=max(0, devices - outcome.failed),
            retry=outcome.retry,
        )

    def _outcome(self, record: ImportRecord) -> Outcome | None:
        container = self._services.container_of(record)
        return read_outcome(record, container, self._settings.max_reported_problems)

    def _look_up(self, hub: HubClient, outcome: Outcome) -> None:
        """Logs were seen to call devices missing that were there: ask the registry for some."""
        for failed in islice(outcome.doubtful, self._settings.verify_failed_devices):
            name = f"{failed.device_id}/{failed.module_id}".rstrip("/")
            if leads_elsewhere(name):
                continue
            try:
                is_there = hub.has_identity(failed.device_id, failed.module_id)
            except ImporterError as error:
                log.warning("the registry cannot be asked for refused devices: %s", error)
                return
            outcome.looked_up[name] = is_there
