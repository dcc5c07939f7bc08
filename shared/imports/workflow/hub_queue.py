"""A hub's queue: an import enters it, and ticks take its head further.

Only the head of a queue may start, so uploads are applied in order. The queue alone does not know
who is first, because events of older uploads may still be missing. So before an import starts,
`_register_older` makes sure that every older upload has its record, and the queue is read again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from azure.core.exceptions import ResourceNotFoundError

from shared import logs
from shared.errors import first_line
from shared.imports import metrics
from shared.imports.model.keys import import_id_of
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_store import ConflictError
from shared.imports.store.queue_rows import MAX_ROWS, QueueRow
from shared.imports.store.rows import NewerRowError
from shared.imports.tracing import log_context, with_log_context
from shared.imports.workflow import upload_reasons as reasons
from shared.imports.workflow.completion import end_unreadable
from shared.imports.workflow.event_publisher import EventPublisher
from shared.imports.workflow.intake import Intake
from shared.imports.workflow.job_follower import JobFollower
from shared.imports.workflow.job_starter import JobStarter
from shared.imports.workflow.registration import record_deletion
from shared.imports.workflow.upload_scan import UploadScan
from shared.storage.client import is_outage

__all__ = ["HubQueue"]

log = logs.logger(__name__)

#: The hub is asked for an older job at each tick only, even if other imports wait.
YOUNG_JOB = timedelta(seconds=60)

#: Files up to that size are validated by a tick, if their event did not bring it about.
MAX_VALIDATED_BYTES = 128 * 1024

#: How long the queue waits behind a row that a newer version of the app wrote: both versions are at
#: work during a deployment. After that time the row is passed over.
NEWER_VERSION_WAIT = timedelta(minutes=10)


@dataclass
class _Walk:
    """A hub's queue as it was read, and how far the walk along it has come."""

    rows: list[QueueRow]
    #: All uploads until then had their records before the queue was read.
    registered_until: datetime
    #: That of the first row, if it was read already.
    record: ImportRecord | None = None
    #: Row key of the last row that was passed over.
    passed: str = ""
    #: Row key of the row before which everything older is known to be in the queue.
    checked: str = ""

    def __post_init__(self) -> None:
        self.may_continue = len(self.rows) == MAX_ROWS


class HubQueue:
    """The queues of all hubs. Ticks may overlap: each write is guarded."""

    def __init__(
        self,
        services: Services,
        intake: Intake,
        upload_scan: UploadScan,
        publisher: EventPublisher | None = None,
    ) -> None:
        self._services = services
        self._settings = services.settings
        self._store = services.store
        self._rows = services.queue_rows
        self._intake = intake
        self._upload_scan = upload_scan
        self._publisher = publisher
        self._starter = JobStarter(services)
        self._follower = JobFollower(services)
        #: Of the hubs to follow up.
        self._walks: dict[str, _Walk] = {}

    def enter(self, record: ImportRecord) -> ImportRecord:
        """Start a queued import if it is the head; otherwise it waits for a later tick.

        An import of a hub that is not configured waits until it is.

        Raises:
            ConflictError: another process was first.
        """
        if record.hub not in self._services.hubs:
            return record
        # In this order: an older upload that is found now is then ahead in the queue.
        if not self._upload_scan.register_until(record):
            return record
        position = self._rows.position(record)
        if position == 1:
            return self._starter.start(record)
        if position == record.queue_position:
            return record
        return self._store.update(replace(record, queue_position=position))

    def advance(self, hub: str) -> bool:
        """Take the hub's queue as far as it goes without waiting.

        Returns:
            Whether to `follow_up` soon: a young job runs, and others wait.

        Raises:
            AzureError: storage is unavailable.
        """
        return self._walk(hub, self._read(hub))

    def follow_up(self, hub: str) -> bool:
        """Ask for a young job again, and continue from there; as `advance`."""
        return self._walk(hub, self._walks.pop(hub))

    def _read(self, hub: str, after: str = "") -> _Walk:
        # In this order: what is older than that is in the queue if it is open.
        registered_until = self._upload_scan.registered_until
        rows, events = self._rows.open_work(hub, after)
        if self._publisher:
            self._publisher.offer(hub, events)
        head = rows[0].uploaded_at if rows else None
        metrics.queue_age(hub, head, self._services.clock())
        if len(rows) < MAX_ROWS and not after:
            metrics.queue_length(hub, len(rows))
        return _Walk(rows, registered_until, passed=after)

    def _walk(self, hub: str, walk: _Walk) -> bool:
        """Go along the queue, from one import that ends to the next."""
        while walk.rows or walk.may_continue:
            if not walk.rows:
                walk = self._read(hub, walk.passed)
                continue
            progress = self._visit(hub, walk)
            if isinstance(progress, bool):
                return progress
            walk = progress
        return False

    def _visit(self, hub: str, walk: _Walk) -> _Walk | bool:
        """Take the import at the head one step further.

        Returns:
            How the walk continues; or, where it ends, whether to `follow_up` soon.
        """
        row = walk.rows[0]
        was_validating = False
        try:
            record = walk.record or self._open_record(hub, row)
            walk.record = None
            if record is not None and record.state is ImportState.QUEUED:
                if record.is_backing_off(self._services.clock()):
                    return False
                is_first = row.row_key == walk.checked
                if not is_first and record.uploaded_at > walk.registered_until:
                    return self._register_older(hub, walk, record)
            if record is not None:
                was_validating = record.state is ImportState.VALIDATING
                record = self._step(record)
        except ConflictError as conflict:
            log.info("%s: %s", row.record_key, conflict)
            return False
        except NewerRowError as error:
            written_at = error.written_at or self._services.clock()
            if self._services.clock() - written_at < NEWER_VERSION_WAIT:
                log.warning("%s", error)
                return False
            log.error("%s The imports behind it continue.", error)
            walk.passed = row.row_key
            del walk.rows[0]
            return walk
        except Exception as error:
            if is_outage(error):
                raise
            if not self._end_or_back_off(hub, row, error):
                return False
            record = None
        if record is None or record.state.is_final:
            del walk.rows[0]
            return walk
        if record.state is ImportState.QUEUED and was_validating:
            walk.record = record
            return walk
        if len(walk.rows) == 1 or not self._has_young_job(record):
            return False
        walk.record = record
        self._walks[hub] = walk
        return True

    def _register_older(self, hub: str, walk: _Walk, record: ImportRecord) -> _Walk | bool:
        """Register every upload that is older than the head, and read the queue again.

        An older upload that is found is the head then.
        """
        if not self._upload_scan.register_until(record):
            return False
        again = self._read(hub)
        again.checked = walk.rows[0].row_key
        if again.rows[:1] == walk.rows[:1]:
            again.record = record
        return again

    @with_log_context
    def _step(self, record: ImportRecord) -> ImportRecord:
        match record.state:
            case ImportState.STARTING:
                record = self._starter.resume(record)
                return self._starter.start(record) if record.state is ImportState.QUEUED else record
            case ImportState.QUEUED:
                return self._starter.start(record)
            case ImportState.RUNNING:
                return self._follower.follow(record)
            case ImportState.VALIDATING if record.size <= MAX_VALIDATED_BYTES:
                return self._validate(record)
        return record

    def _validate(self, record: ImportRecord) -> ImportRecord:
        """Validate a small file that waited for that: soon after a short outage, others go on."""
        try:
            return self._intake.resume(record)
        except Exception:
            # The record contains the error, and when it is tried again.
            log.exception("the validation failed")
            return record

    def _end_or_back_off(self, hub: str, row: QueueRow, error: Exception) -> bool:
        """Count an unexpected error, or end the import by it; returns whether the import has ended.

        The record may be what cannot be read, so this needs nothing but its row.
        """
        key = row.record_key
        with logs.log_context(logs.LogContext(import_id_of(key), hub)):
            log.error("unexpected: %s", first_line(error), exc_info=error)
            reason = reasons.unexpected_error(error)
            try:
                errors = self._store.note_unexpected_error(
                    hub, key, reason, self._services.next_try_at
                )
                if errors is not None and errors < self._settings.retries.max_attempts:
                    return False
                if errors is not None:
                    end_unreadable(self._services, hub, key, reasons.unexpected_end(errors, error))
                self._rows.remove(hub, row)
            except ConflictError as conflict:
                log.info("%s", conflict)
                return False
            return True

    def _open_record(self, hub: str, row: QueueRow) -> ImportRecord | None:
        """The import of a queue row; deletes a row without an open import."""
        try:
            record = self._store.get(hub, row.record_key)
        except ResourceNotFoundError:
            log.error("the record %s of an open import was deleted", row.record_key)
            record_deletion(self._services, hub, row.record_key)
        else:
            if not record.state.is_final:
                return record
            with log_context(record):
                log.info("the import is final; its queue row is deleted")
        self._rows.remove(hub, row)
        return None

    def _has_young_job(self, record: ImportRecord) -> bool:
        """Whether the import's job may end any moment: most take seconds."""
        return (
            record.state is ImportState.RUNNING
            and record.back_off.next_try_at is None
            and self._services.clock() < record.started_at + YOUNG_JOB
        )
