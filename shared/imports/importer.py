"""The workflow wired to its services: what the triggers call."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from azure.core.pipeline.transport import HttpTransport, RequestsTransport

from shared.errors import TemporaryError
from shared.hub.client import HubClient
from shared.identity import entra_credential
from shared.imports.intake import Intake
from shared.imports.ledger import ConflictError, Ledger
from shared.imports.poller import Poller
from shared.imports.queue import Queue
from shared.imports.record import ImportState
from shared.imports.services import Services
from shared.settings import Settings, load_settings
from shared.storage import Storage

__all__ = ["Importer", "importer"]

log = logging.getLogger(__name__)

#: Hubs that a tick advances at the same time: a slow hub must not hold up the others.
PARALLEL_HUBS = 16


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
        transport: Callable[[], HttpTransport[Any, Any]] = RequestsTransport,
    ) -> None:
        storage = Storage(
            settings.storage,
            lambda: entra_credential(settings, settings.storage.client_id),
            transport,
        )
        hub_credential = functools.cache(lambda: entra_credential(settings, settings.hub_client_id))
        self.services = Services(
            settings,
            storage,
            Ledger(storage.table(settings.imports_table), clock),
            {
                name: HubClient(hub, hub_credential, settings.hub_api_version, transport())
                for name, hub in settings.hubs.items()
            },
            clock,
        )
        self._intake = Intake(self.services)
        self._queue = Queue(self.services)
        self._poller = Poller(self.services, self._queue)

    def on_upload(self, container: str, name: str) -> None:
        """A blob was written, so an event says. It may say so again, and of any container."""
        if container != self.services.settings.upload_container:
            log.warning("an event of container %r is not of the upload container", container)
            return
        record = self._intake.take(name)
        if record is not None and record.state is ImportState.QUEUED:
            try:
                self._queue.start_if_head(record)
            except ConflictError as conflict:
                log.info("%s", conflict)

    def on_tick(self) -> None:
        """Advance every hub.

        Raises:
            TemporaryError: for at least one hub it did not work; the others were advanced.
        """
        hubs = list(self.services.hubs)
        with ThreadPoolExecutor(min(PARALLEL_HUBS, len(hubs))) as pool:
            failed = [hub for hub in pool.map(self._advance, hubs) if hub]
        if failed:
            raise TemporaryError(f"could not be advanced: {', '.join(failed)}; see the log")

    def close(self) -> None:
        self.services.storage.close()
        for hub in self.services.hubs.values():
            hub.close()

    def _advance(self, hub: str) -> str | None:
        """The hub's name if it could not be advanced."""
        try:
            self._poller.advance(hub)
        except Exception:
            log.exception("hub %s: not advanced", hub)
            return hub
        return None


@functools.cache
def importer() -> Importer:
    """The importer of this process, made at its first use.

    Raises:
        SettingsError: at each use until the settings are right.
    """
    return Importer(load_settings())
