"""The workflow wired to its services: what the triggers call."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.pipeline.transport import HttpTransport

from shared.errors import first_line
from shared.hub.client import HubClient
from shared.imports.model.record import NO_HUB
from shared.imports.model.states import ImportState
from shared.imports.operate.actions import Actions
from shared.imports.operate.approvals import Approvals
from shared.imports.operate.bulk import Bulk
from shared.imports.operate.reader import Reader
from shared.imports.operate.uploads import Uploads
from shared.imports.services import Services
from shared.imports.store.import_store import ConflictError
from shared.imports.tick import Tick
from shared.imports.tracing import log_context
from shared.imports.upkeep.health import SWEEP, TICK, Health
from shared.imports.upkeep.sweeper import Sweeper
from shared.imports.workflow.event_publisher import EventPublisher
from shared.imports.workflow.hub_queue import HubQueue
from shared.imports.workflow.intake import Intake
from shared.imports.workflow.upload_scan import UploadScan
from shared.logs import logger
from shared.settings import Settings, load_settings
from shared.storage.client import Storage
from shared.transport import pooled_transport
from shared.webhook import Webhook

__all__ = ["Importer", "importer"]

log = logger(__name__)

#: How often it is noted that a timer ran.
NOTE_INTERVAL = timedelta(minutes=1)

Transport = Callable[[], HttpTransport[Any, Any]]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Importer:
    """The app in one process.

    Clock and transport are parameters so that a test can turn the one and cut the other.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
        transport: Transport = pooled_transport,
    ) -> None:
        storage = Storage(
            settings.storage.connection,
            lambda: settings.credential(settings.storage.connection.client_id),
            transport,
        )
        hub_credential = functools.cache(lambda: settings.credential(settings.hub.client_id))
        hubs = {
            name: HubClient(hub, hub_credential, settings.hub.api_version, transport())
            for name, hub in settings.hub.routes.by_name.items()
        }
        self.services = Services(settings, storage, hubs, clock)
        self.publisher = _publisher(self.services, transport)
        upload_scan = UploadScan(self.services)
        self._intake = Intake(self.services)
        self._hub_queue = HubQueue(self.services, self._intake, upload_scan, self.publisher)
        self._tick = Tick(self.services, self._hub_queue)
        self._sweeper = Sweeper(self.services, upload_scan, self._intake, self._hub_queue)
        self.actions = Actions(self.services)
        self.approvals = Approvals(self.services)
        self.reader = Reader(self.services)
        self.bulk = Bulk(self.reader, self.actions)
        self.uploads = Uploads(self.services)
        self.health = Health(self.services)
        #: When it was last noted that a timer ran.
        self._noted: dict[str, datetime] = {}

    def on_upload(self, container: str, name: str) -> None:
        """Process the event of a blob, which may be repeated, and of any container."""
        if container != self.services.settings.uploads.container:
            log.warning("an event of container %r is not of the upload container", container)
            return
        record = self._intake.process_upload(name)
        if record is not None and record.hub == NO_HUB and self.publisher:
            # No tick reads these events.
            self.publisher.send(NO_HUB)
        if record is not None and record.state is ImportState.QUEUED:
            try:
                self._hub_queue.enter(record)
            except ConflictError as conflict:
                with log_context(record):
                    log.info("%s", conflict)

    def on_tick(self) -> None:
        """Advance every hub.

        Raises:
            TemporaryError: at least one hub failed; the others were advanced.
        """
        self._note_run(TICK)
        self._tick.run()

    def on_sweep(self) -> None:
        """Do what no event and no job brings about, a part of it each time.

        Raises:
            TemporaryError: at least one task failed; the others were done.
        """
        self._note_run(SWEEP)
        if self.publisher:
            for hub in self.services.known_hubs.all() - self.services.hubs.keys():
                self.publisher.send(hub)
        self._sweeper.sweep()

    def close(self) -> None:
        self._tick.close()
        if self.publisher:
            self.publisher.close()
        self.reader.close()
        self.services.storage.close()
        for hub in self.services.hubs.values():
            hub.close()

    def _note_run(self, timer: str) -> None:
        """Note that a timer ran, at most once a minute: health reports when it is late."""
        now = self.services.clock()
        last = self._noted.get(timer)
        if last is not None and abs(now - last) < NOTE_INTERVAL:
            return
        try:
            self.services.cursors.note_run(timer, now)
        except Exception as error:
            # The run itself reports what is wrong, if it lasts.
            log.warning("it cannot be noted that %s ran: %s", timer, first_line(error))
        else:
            self._noted[timer] = now


def _publisher(services: Services, transport: Transport) -> EventPublisher | None:
    """The sender of events; None unless the settings name a receiver."""
    settings = services.settings
    if settings.events.url is None:
        return None
    # A topic is called with the identity that the app has for its hubs, else that for its storage.
    client_id = settings.hub.client_id or settings.storage.connection.client_id
    webhook = Webhook(
        settings.events.url,
        settings.events.key,
        lambda: settings.credential(client_id),
        transport(),
    )
    return EventPublisher(services, webhook)


_lock = threading.Lock()
_importer: Importer | None = None


def importer() -> Importer:
    """The importer of this process, created at its first use. Safe to call from several threads.

    Raises:
        SettingsError: at each use until the settings are correct.
    """
    global _importer
    with _lock:
        if _importer is None:
            settings = load_settings()
            if settings.telemetry.mode == "OpenTelemetry":
                from shared.telemetry import azure_monitor

                azure_monitor.configure(lambda client_id: settings.credential(client_id))
            _importer = Importer(settings)
        return _importer


def forget_importer() -> None:
    """Close the importer of this process; its next use creates one with the settings of then."""
    global _importer
    with _lock:
        old, _importer = _importer, None
    if old is not None:
        old.close()
