"""Blob triggers of an app, in the background or driven by tests."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from azure.core.exceptions import AzureError

from local.host.delivery import BlobDelivery
from local.host.discovery import BlobScanner
from local.host.errors import UsageError
from local.host.invocation import Invoker
from local.host.messages import (
    BlobTriggerMessage,
    MessageLease,
    function_id,
    quoted,
    trigger_queue_name,
)
from local.host.settings import HostConfig
from local.host.storage import Outages, StorageClients
from local.host.triggers import BlobSource, BlobTrigger, HostedFunction

__all__ = ["BlobTriggers"]

logger = logging.getLogger(__name__)

_QUEUE_INTERVAL: Final = 0.1  # seconds between polls of an empty queue

Entry = tuple[HostedFunction, BlobTrigger]


class BlobTriggers:
    """Discovery and delivery of blobs for all functions, through the internal queue."""

    def __init__(
        self,
        functions: Mapping[str, HostedFunction],
        clients: StorageClients,
        invoker: Invoker,
        config: HostConfig,
        host_id: str,
        outages: Outages,
    ) -> None:
        self._functions: dict[str, Entry] = {
            name: (function, function.trigger)
            for name, function in functions.items()
            if isinstance(function.trigger, BlobTrigger)
        }
        self._clients = clients
        self._host_id = host_id
        self._outages = outages
        self._parallelism = config.max_degree_of_parallelism
        self._scanner = BlobScanner(clients, host_id)
        self._delivery = BlobDelivery(
            self._functions, clients, invoker, host_id, config.poison_blob_threshold
        )

    def loops(self, scan_interval: float) -> list[Callable[[threading.Event], None]]:
        """Functions that the host runs in threads until the event is set."""
        loops: list[Callable[[threading.Event], None]] = []
        if self._functions:
            loops.append(self._deliver_until)
        if self._of_source(BlobSource.SCAN):
            loops.append(lambda stop: self._scan_until(stop, scan_interval))
        return loops

    @property
    def connections(self) -> set[str]:
        """Storage connections of the triggers."""
        return {trigger.connection for _, trigger in self._functions.values()}

    def scan_once(self) -> int:
        """List every scanned container once; return how many messages were queued."""
        return sum(
            self._scanner.scan(name, trigger)
            for name, (_, trigger) in self._of_source(BlobSource.SCAN).items()
        )

    def drain(self) -> int:
        """Scan and deliver until the queue is empty; return the number of invocations."""
        invocations = 0
        if not self._functions:
            return invocations
        self.scan_once()
        while lease := self._next():
            invocations += self._delivery.handle(lease)
        return invocations

    def invoke(self, container: str, blob: str, function: str | None) -> Any:
        """Deliver once, without the queue; exceptions of the function propagate."""
        named = {
            name: entry
            for name, entry in self._functions.items()
            if entry[1].path.container == container or name == function
        }
        hosted, trigger = _choose(named, function, f"blob function on container '{container}'")
        return self._delivery.invoke(hosted, trigger, container, blob)

    def announce(
        self, container: str, blob: str, function: str | None, etag: str, blob_type: str
    ) -> None:
        """Queue a message for an event; as in Azure, the trigger's path does not filter events."""
        events = self._of_source(BlobSource.EVENT_GRID)
        hosted, _ = _choose(events, function, "blob function with source EventGrid")
        message = BlobTriggerMessage(
            function_id(hosted.name), blob_type, container, blob, quoted(etag)
        )
        self._clients.queue(trigger_queue_name(self._host_id)).send_message(message.to_json())

    def _next(self) -> MessageLease | None:
        """Return the next message; if the queue is empty, scan for blobs first."""
        lease = self._delivery.receive()
        if lease is None and self.scan_once():
            lease = self._delivery.receive()
        return lease

    def _of_source(self, source: BlobSource) -> dict[str, Entry]:
        return {name: entry for name, entry in self._functions.items() if entry[1].source is source}

    def _scan_until(self, stop: threading.Event, interval: float) -> None:
        while True:
            with contextlib.suppress(AzureError):
                self._outages.outlast(self.scan_once)
            if stop.wait(interval):
                return

    def _deliver_until(self, stop: threading.Event) -> None:
        """Run messages in a pool; receive one only when a thread is free."""
        free = threading.Semaphore(self._parallelism)
        with ThreadPoolExecutor(self._parallelism, "functions-blob") as pool:
            while not stop.is_set():
                if not free.acquire(timeout=_QUEUE_INTERVAL):
                    continue
                lease = None
                with contextlib.suppress(AzureError):
                    lease = self._outages.outlast(self._delivery.receive)
                if lease is None:
                    free.release()
                    stop.wait(_QUEUE_INTERVAL)
                else:
                    pool.submit(self._handle, lease).add_done_callback(lambda _: free.release())

    def _handle(self, lease: MessageLease) -> None:
        try:
            with contextlib.suppress(AzureError):
                self._outages.outlast(lambda: self._delivery.handle(lease))
        except Exception:
            logger.exception("handling a message failed; it will be delivered again")


def _choose(candidates: Mapping[str, Entry], function: str | None, kind: str) -> Entry:
    if function is not None:
        candidates = {name: entry for name, entry in candidates.items() if name == function}
    if len(candidates) != 1:
        expected = kind if function is None else f"{kind} named '{function}'"
        names = ", ".join(sorted(candidates)) or "none"
        raise UsageError(f"expected exactly one {expected}, found: {names}")
    return next(iter(candidates.values()))
