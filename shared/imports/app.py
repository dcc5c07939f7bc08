"""The workflow wired to its services: what the triggers call."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.pipeline.transport import HttpTransport

from shared import logs, telemetry
from shared.errors import TemporaryError, first_line
from shared.hub.client import HubClient
from shared.imports.model.record import NO_HUB, ImportState
from shared.imports.operate.actions import Actions
from shared.imports.operate.reader import Reader
from shared.imports.services import Services
from shared.imports.store.claims import Claims
from shared.imports.store.daily_counts import Statistics
from shared.imports.store.import_store import ConflictError, ImportStore
from shared.imports.store.queries import Queries
from shared.imports.tracing import log_context
from shared.imports.upkeep.health import SWEEP, TICK, Health
from shared.imports.upkeep.sweeper import Sweeper
from shared.imports.workflow.event_publisher import EventPublisher
from shared.imports.workflow.hub_queue import HubQueue
from shared.imports.workflow.intake import Intake
from shared.imports.workflow.job_starter import JobStarter
from shared.imports.workflow.upload_scan import UploadScan
from shared.invocation import in_this_invocation
from shared.settings import Settings, load_settings
from shared.storage.client import Storage
from shared.transport import MAX_CONNECTIONS, pooled_transport
from shared.webhook import Webhook

__all__ = ["Importer", "importer"]

log = logs.logger(__name__)

#: How often it is noted that a timer runs.
NOTE_INTERVAL = timedelta(minutes=1)

#: Seconds that a tick waits for hubs. A call of one may take a minute.
PATIENCE = 20


def utc_now() -> datetime:
    return datetime.now(UTC)


class Importer:
    """Takes uploads in and advances the hubs' queues.

    Clock and transport are parameters so that a test can turn the one and cut the other.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
        transport: Callable[[], HttpTransport[Any, Any]] = pooled_transport,
    ) -> None:
        storage = Storage(
            settings.storage.connection,
            lambda: settings.credential(settings.storage.connection.client_id),
            transport,
        )
        hub_credential = functools.cache(lambda: settings.credential(settings.hub.client_id))
        table = storage.table(settings.storage.imports_table)
        self.services = Services(
            settings,
            storage,
            ImportStore(table, clock, announces=settings.events.url is not None),
            Claims(table),
            {
                name: HubClient(hub, hub_credential, settings.hub.api_version, transport())
                for name, hub in settings.hub.routes.by_name.items()
            },
            clock,
        )
        self._queries = queries = Queries(table)
        statistics = Statistics(table)
        uploads = UploadScan(self.services, queries)
        self._intake = Intake(self.services)
        self._queue = JobStarter(self.services, uploads)
        self.publisher = _publisher(self.services, transport)
        self._hub_queue = HubQueue(
            self.services, self._intake, self._queue, uploads, self.publisher
        )
        self._sweeper = Sweeper(
            self.services, queries, statistics, uploads, self._intake, self._queue
        )
        self.actions = Actions(self.services)
        self.reader = Reader(self.services, queries, statistics)
        self.health = Health(self.services, queries)
        self._pool = ThreadPoolExecutor(min(MAX_CONNECTIONS, len(self.services.hubs)), "hub")
        #: Hubs that are being advanced.
        self._advancing: dict[str, Future[bool]] = {}
        #: When it was last noted that a timer ran.
        self._noted: dict[str, datetime] = {}

    def on_upload(self, container: str, name: str) -> None:
        """A blob was written, so an event says. It may say so again, and of any container."""
        if container != self.services.settings.uploads.container:
            log.warning("an event of container %r is not of the upload container", container)
            return
        record = self._intake.take(name)
        if record is not None and record.hub == NO_HUB and self.publisher:
            # No tick reads these.
            self.publisher.look(NO_HUB)
        if record is not None and record.state is ImportState.QUEUED:
            try:
                self._queue.enter(record)
            except ConflictError as conflict:
                with log_context(record):
                    log.info("%s", conflict)

    def on_tick(self) -> None:
        """Advance every hub; stay for a while with those whose jobs are short and many.

        A hub that takes long does not hold up the others: it goes on by itself, and later ticks
        leave it out until it is done.

        Raises:
            TemporaryError: for at least one hub it did not work; the others were advanced.
        """
        self._note_run(TICK)
        settings = self.services.settings
        end = time.monotonic() + settings.schedules.tick_seconds
        failed: set[str] = set()
        step = self._hub_queue.advance
        hubs = set(self.services.hubs)
        while hubs := self._advance(hubs, step, failed):
            step = self._hub_queue.follow_up
            if time.monotonic() + settings.schedules.job_poll_seconds > end:
                break
            time.sleep(settings.schedules.job_poll_seconds)
        if failed:
            raise TemporaryError(f"could not be advanced: {', '.join(sorted(failed))}; see the log")

    def on_sweep(self) -> None:
        """Look for what no event and no job brings about, a part of it each time.

        Raises:
            TemporaryError: a part of it did not work; the others were done.
        """
        self._note_run(SWEEP)
        if self.publisher:
            for hub in self.services.claims.hubs() - self.services.hubs.keys():
                self.publisher.look(hub)
        self._sweeper.sweep()

    def _note_run(self, timer: str) -> None:
        """Note that a timer runs, at most once a minute: health tells when it is late."""
        now = self.services.clock()
        last = self._noted.get(timer)
        if last is not None and abs(now - last) < NOTE_INTERVAL:
            return
        try:
            self._queries.note_run(timer, now)
        except Exception as error:
            # The run itself says what is wrong, if it lasts.
            log.warning("it cannot be noted that %s runs: %s", timer, first_line(error))
        else:
            self._noted[timer] = now

    def close(self) -> None:
        self._pool.shutdown()
        if self.publisher:
            self.publisher.close()
        self.reader.close()
        self.services.storage.close()
        for hub in self.services.hubs.values():
            hub.close()

    def _advance(self, hubs: set[str], step: Callable[[str], bool], failed: set[str]) -> set[str]:
        """Advance hubs side by side; adds to those that failed, returns those to ask again soon."""
        run = in_this_invocation(_at_hub(step))
        begun = {hub: self._pool.submit(run, hub) for hub in hubs if hub not in self._advancing}
        self._advancing |= begun
        wait(begun.values(), PATIENCE)
        soon = set()
        for hub, future in list(self._advancing.items()):
            if not future.done():
                with logs.log_context(logs.LogContext(hub=hub)):
                    log.warning("the hub takes long; the others go on without it")
                continue
            del self._advancing[hub]
            try:
                if future.result():
                    soon.add(hub)
            except Exception:
                with logs.log_context(logs.LogContext(hub=hub)):
                    log.exception("not advanced")
                failed.add(hub)
        return soon


def _publisher(
    services: Services, transport: Callable[[], HttpTransport[Any, Any]]
) -> EventPublisher | None:
    """Who sends the events of imports that end; nobody unless the settings name a receiver."""
    settings = services.settings
    if settings.events.url is None:
        return None
    # A topic is met with the identity that the app has for its hubs, else that for its storage.
    client_id = settings.hub.client_id or settings.storage.connection.client_id
    webhook = Webhook(
        settings.events.url,
        settings.events.key,
        lambda: settings.credential(client_id),
        transport(),
    )
    return EventPublisher(services, webhook)


def _at_hub(step: Callable[[str], bool]) -> Callable[[str], bool]:
    """A step of a hub's tick. Mostly there is nothing to do, and nobody wants a trace of that."""

    def run(hub: str) -> bool:
        with logs.log_context(logs.LogContext(hub=hub)), telemetry.suppress_sdk_spans():
            return step(hub)

    return run


_lock = threading.Lock()
_importer: Importer | None = None


def importer() -> Importer:
    """The importer of this process, made at its first use. Safe to call from several threads.

    Raises:
        SettingsError: at each use until the settings are right.
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
