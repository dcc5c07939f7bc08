"""One step further with the oldest import of a hub: start it, or follow its job to the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from azure.core.exceptions import ResourceNotFoundError

from shared import logs
from shared.errors import first_line
from shared.imports import metrics
from shared.imports.model import reasons
from shared.imports.model.record import ImportRecord, ImportState, import_id_of
from shared.imports.services import Services
from shared.imports.store.import_store import MAX_MARKERS, ConflictError
from shared.imports.store.markers import Marker
from shared.imports.store.rows import NewerRowError
from shared.imports.tracing import log_context, with_log_context
from shared.imports.workflow.event_publisher import EventPublisher
from shared.imports.workflow.intake import Intake
from shared.imports.workflow.job_follower import JobFollower
from shared.imports.workflow.job_starter import JobStarter
from shared.imports.workflow.registration import record_deletion
from shared.imports.workflow.upload_scan import UploadScan
from shared.storage.client import is_outage

__all__ = ["HubQueue"]

log = logs.logger(__name__)

#: A job of that age is asked for at each tick only, even if others wait.
YOUNG = timedelta(seconds=60)

#: Files up to that size are validated by a tick, if the event did not bring it about.
MAX_VALIDATED_BYTES = 128 * 1024

#: How long the queue waits behind a row that a newer version of the app wrote. Both versions are at
#: work during a deployment; after that time the row is passed over.
NEWER_VERSION_PATIENCE = timedelta(minutes=10)


@dataclass
class _Walk:
    """A hub's queue as it was read, and how far it was gone along."""

    markers: list[Marker]
    #: All uploads until then had their records before the queue was read.
    registered_until: datetime
    #: Of the first marker, if it was read already.
    record: ImportRecord | None = None
    #: RowKey of the last marker that was passed over.
    passed: str = ""
    #: RowKey of the marker before which everything older is known to be in the queue.
    checked: str = ""

    def __post_init__(self) -> None:
        self.is_cut_off = len(self.markers) == MAX_MARKERS


class HubQueue:
    """What a tick of the timer does. Ticks may overlap: each write is guarded."""

    def __init__(
        self,
        services: Services,
        intake: Intake,
        queue: JobStarter,
        uploads: UploadScan,
        publisher: EventPublisher | None = None,
    ) -> None:
        self._services = services
        self._intake = intake
        self._follower = JobFollower(services)
        self._publisher = publisher
        self._settings = services.settings
        self._store = services.store
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

    def _read(self, hub: str, after: str = "") -> _Walk:
        # In this order: what is older than that is in the queue if it is open.
        registered_until = self._uploads.registered_until
        work = self._store.work(hub, after)
        if self._publisher:
            self._publisher.offer(hub, work.unsent)
        head = work.queue[0].uploaded_at if work.queue else None
        metrics.queue_age(hub, head, self._services.clock())
        if len(work.queue) < MAX_MARKERS and not after:
            metrics.queue_length(hub, len(work.queue))
        return _Walk(work.queue, registered_until, passed=after)

    def _walk(self, hub: str, walk: _Walk) -> bool:
        """Go along the queue, from one import that ends to the next."""
        while walk.markers or walk.is_cut_off:
            if not walk.markers:
                walk = self._read(hub, walk.passed)
                continue
            progress = self._visit(hub, walk)
            if isinstance(progress, bool):
                return progress
            walk = progress
        return False

    def _visit(self, hub: str, walk: _Walk) -> _Walk | bool:
        """One step with the import at the head.

        Returns:
            How the walk goes on; or, where it ends, whether to `follow_up` soon.
        """
        marker = walk.markers[0]
        was_validating = False
        try:
            record = walk.record or self._open_record(hub, marker)
            walk.record = None
            if record is not None and record.state is ImportState.QUEUED:
                if record.waits(self._services.clock()):
                    return False
                is_known = marker.row_key == walk.checked
                if not is_known and record.uploaded_at > walk.registered_until:
                    return self._register_older(hub, walk, record)
            if record is not None:
                was_validating = record.state is ImportState.VALIDATING
                record = self._step(record)
        except ConflictError as conflict:
            log.info("%s: %s", marker.record_key, conflict)
            return False
        except NewerRowError as error:
            written_at = error.written_at or self._services.clock()
            if self._services.clock() - written_at < NEWER_VERSION_PATIENCE:
                log.warning("%s", error)
                return False
            log.error("%s The imports behind it go on.", error)
            walk.passed = marker.row_key
            del walk.markers[0]
            return walk
        except Exception as error:
            if is_outage(error):
                raise
            if not self._note_error(hub, marker, error):
                return False
            record = None
        if record is None or record.state.is_final:
            del walk.markers[0]
            return walk
        if record.state is ImportState.QUEUED and was_validating:
            walk.record = record
            return walk
        if len(walk.markers) == 1 or not self._is_young(record):
            return False
        walk.record = record
        self._walks[hub] = walk
        return True

    def _register_older(self, hub: str, walk: _Walk, record: ImportRecord) -> _Walk | bool:
        """Make sure that no older upload is unknown before an import starts, and read on."""
        if not self._uploads.register_until(record):
            return False
        after = self._read(hub)
        after.checked = walk.markers[0].row_key
        if after.markers[:1] == walk.markers[:1]:
            after.record = record
        return after

    def _note_error(self, hub: str, marker: Marker, error: Exception) -> bool:
        """Count an unexpected error, or end the import by it; returns whether the import has ended.

        The record may be what cannot be read, so this needs nothing but its row.
        """
        with logs.log_context(logs.LogContext(import_id_of(marker.record_key), hub)):
            log.error("unexpected: %s", first_line(error), exc_info=error)
            reason = reasons.unexpected(error)
            try:
                errors = self._store.note_error(
                    hub, marker.record_key, reason, self._services.next_try_at
                )
                if errors is None:
                    self._store.remove_marker(hub, marker)
                    return True
                if errors < self._settings.retries.max_attempts:
                    return False
                self._store.end_unreadable(
                    hub, marker.record_key, reasons.unexpected_end(errors, error)
                )
                self._store.remove_marker(hub, marker)
            except ConflictError as conflict:
                log.info("%s", conflict)
                return False
            return True

    def _open_record(self, hub: str, marker: Marker) -> ImportRecord | None:
        """The import of a marker; a marker without an open import is taken away."""
        try:
            record = self._store.get(hub, marker.record_key)
        except ResourceNotFoundError:
            log.error("the record %s of an open import was deleted", marker.record_key)
            record_deletion(self._services, hub, marker.record_key)
        else:
            if not record.state.is_final:
                return record
            with log_context(record):
                log.info("the import is final; its marker is deleted")
        self._store.remove_marker(hub, marker)
        return None

    def _is_young(self, record: ImportRecord) -> bool:
        """Whether the import's job may end any moment: most take seconds."""
        return (
            record.state is ImportState.RUNNING
            and record.next_try_at is None
            and self._services.clock() < (record.last_start_at or record.updated_at) + YOUNG
        )

    @with_log_context
    def _step(self, record: ImportRecord) -> ImportRecord:
        match record.state:
            case ImportState.STARTING:
                record = self._queue.resume(record)
                return self._queue.start(record) if record.state is ImportState.QUEUED else record
            case ImportState.QUEUED:
                return self._queue.start(record)
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
            # The record says so, and when it is tried again.
            log.exception("not validated")
            return record
