"""The functions host for local runs and tests."""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import azure.functions as func

from local.host.blobs import BlobTriggers
from local.host.errors import HostError, UsageError
from local.host.http import Endpoints, HttpServer, body_limit
from local.host.index import index_app
from local.host.invocation import Invoker, LoopThread
from local.host.keys import Keys
from local.host.lock import TimerLock
from local.host.settings import HOST_CONNECTION, HostConfig, connection_is_set
from local.host.storage import Outages, StorageClients
from local.host.timers import TimerLoop
from local.host.triggers import HostedFunction, TimerTrigger
from local.host.webhook import BlobWebhook

__all__ = ["FunctionsHost"]

logger = logging.getLogger(__name__)

#: It is part of the name of a queue (learn: "Naming queues and metadata").
_HOST_ID: Final = re.compile(r"[a-z0-9](-?[a-z0-9]){0,36}")


class FunctionsHost:
    """Runs the functions of an app by the triggers of its decorators.

    Either ``start()`` runs the triggers in the background, or a test drives them with
    ``invoke_blob``, ``tick``, ``scan_once``, ``drain`` and ``announce``. ``stop()`` is final.
    SDK-type bindings read ``os.environ``, as in the worker, so the settings must be there too.

    Parameters
    ----------
    host_json:
        host.json or its content.
    host_id:
        Part of the names of queue, receipts and lock, so that hosts can share a storage account.
        Of hosts with the same id, one runs the timers.
    scan_interval:
        Seconds between listings of a container.
    port:
        Loopback port for HTTP; 0 for any free port.
    keys:
        Keys that callers of HTTP need; None if they need none.
    """

    def __init__(
        self,
        app: func.FunctionApp,
        settings: Mapping[str, str],
        host_json: Path | Mapping[str, Any],
        host_id: str = "local",
        scan_interval: float = 2.0,
        port: int = 0,
        keys: Keys | None = None,
    ) -> None:
        if not _HOST_ID.fullmatch(host_id):
            raise UsageError("the host id must be 1 to 37 lower-case letters, digits and hyphens")
        config = HostConfig.load(host_json, settings)
        self._functions = index_app(app, settings, config)
        self._scan_interval = scan_interval
        self._loop = LoopThread()
        self._clients = StorageClients(settings)
        invoker = Invoker(self._loop)
        self._stop = threading.Event()
        outages = Outages(self._stop, self._fail)
        self._blobs = BlobTriggers(
            self._functions, self._clients, invoker, config, host_id, outages
        )
        self._timers = {
            name: TimerLoop(function, function.trigger, invoker)
            for name, function in self._functions.items()
            if isinstance(function.trigger, TimerTrigger)
        }
        endpoints = Endpoints(
            self._functions,
            invoker,
            config.route_prefix,
            BlobWebhook(self.announce, self._fail),
            keys,
            body_limit(settings),
        )
        self._http = HttpServer(endpoints.handle, port)
        self._port = port
        self._keys = keys
        self._address: str | None = None
        self._lock = TimerLock(self._clients, host_id)
        if not connection_is_set(HOST_CONNECTION, settings):
            # There can be no other host.
            self._lock.held.set()
        self._failure: HostError | None = None
        self._threads: list[threading.Thread] = []

    @property
    def functions(self) -> Mapping[str, HostedFunction]:
        """The indexed functions by name."""
        return self._functions

    @property
    def address(self) -> str:
        """Base address of HTTP, such as ``http://127.0.0.1:7071``."""
        if self._address is None:
            raise UsageError("the host is not started")
        return self._address

    @property
    def keys(self) -> Keys | None:
        """The keys that callers of HTTP need."""
        return self._keys

    @property
    def stopping(self) -> threading.Event:
        """Set by a failure that ends the host; a program can wait for it, and set it itself."""
        return self._stop

    def link(self, path: str) -> str:
        """Address of a path that starts with "/", with the host key if callers need one."""
        query = f"?code={quote(self._keys.host, safe='')}" if self._keys else ""
        return f"{self.address}{path}{query}"

    def start(self) -> None:
        """Serve HTTP and run blob and timer triggers in the background."""
        if self._stop.is_set() or self._address is not None:
            raise UsageError("a host can start only once; create a new one")
        try:
            self._address = self._loop.run(self._http.start())
        except OSError as error:
            self.stop()
            raise UsageError(f"port {self._port} cannot be used: {error.strerror}") from error
        for connection in self._blobs.connections:
            self._clients.blobs(connection)
        loops = self._blobs.loops(self._scan_interval)
        if self._timers and not self._lock.held.is_set():
            self._lock.start()
        loops += [
            functools.partial(timer.run, turn=self._lock.held) for timer in self._timers.values()
        ]
        for loop in loops:
            thread = threading.Thread(
                target=self._guard, args=(loop,), name="functions-host", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        logger.info("host started at %s", self._address)

    def stop(self) -> None:
        """Wait for running invocations, end all threads and close all connections.

        Raises the HostError of a failure that ended the host.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._lock.close()
        if self._address is not None:
            self._loop.run(self._http.stop())
            self._address = None
        self._loop.close()
        self._clients.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _guard(self, loop: Callable[[threading.Event], None]) -> None:
        """Run a loop; an unexpected error ends the host instead of one of its triggers."""
        try:
            loop(self._stop)
        except Exception as error:
            logger.exception("the host fails")
            self._fail(HostError(f"a trigger ended by {type(error).__name__}, see the log"))

    def _fail(self, failure: HostError) -> None:
        """End the host as the real one ends its process."""
        self._failure = self._failure or failure
        self._stop.set()

    def __enter__(self) -> FunctionsHost:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def invoke_blob(self, container: str, name: str, function: str | None = None) -> Any:
        """Deliver a blob once and return the function's result; exceptions propagate."""
        return self._blobs.invoke(container, name, function)

    def announce(
        self,
        container: str,
        blob: str,
        function: str | None = None,
        etag: str = "0x0",
        blob_type: str = "BlockBlob",
    ) -> None:
        """Simulate an Event Grid event; repeat the call to simulate a repeated event."""
        self._blobs.announce(container, blob, function, etag, blob_type)

    def tick(self, function_name: str, *, past_due: bool = False) -> Any:
        """Run one tick of a timer function and return its result; exceptions propagate."""
        timer = self._timers.get(function_name)
        if timer is None:
            raise UsageError(f"unknown timer function '{function_name}'")
        return timer.tick(past_due=past_due)

    def scan_once(self) -> int:
        """List the scanned containers once; return how many messages were queued."""
        return self._blobs.scan_once()

    def drain(self) -> int:
        """Scan and deliver until the queue is empty; return the number of invocations."""
        return self._blobs.drain()
