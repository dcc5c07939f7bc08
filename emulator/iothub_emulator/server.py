"""Where the emulator is, and serving its routes from an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from aiohttp import web

#: The emulator is for its own machine, whatever name it goes by.
LOOPBACK = "127.0.0.1"
_HTTPS_PORT = 443
#: Seconds that requests in progress get when the server stops.
_GRACE = 0.5


@dataclass
class Address:
    """What clients call the hub; the port is known once it has started."""

    host_name: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """As in connection strings: without the port that clients assume themselves.

        The official clients for Node and C# know no other port.
        """
        if self.tls and self.port == _HTTPS_PORT:
            return self.host_name
        return f"{self.host_name}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def names(self) -> frozenset[str]:
        """What tokens may call the hub."""
        return frozenset({self.host_name, f"{self.host_name}:{self.port}"})


class ServerThread:
    """Runs an application on one port of this machine until it is stopped."""

    def __init__(
        self, app: web.Application, port: int, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._app = app
        self._port = port
        self._ssl_context = ssl_context
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="hub emulator", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._stop_requested: asyncio.Event

    def start(self) -> int:
        """Start serving; returns the port, raises what kept the server from it."""
        self._thread.start()
        return self._started.result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop_requested.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_requested = asyncio.Event()
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=_GRACE)
        try:
            await runner.setup()
            site = web.TCPSite(runner, LOOPBACK, self._port, ssl_context=self._ssl_context)
            await site.start()
        except Exception as error:
            await runner.cleanup()
            self._started.set_exception(error)
            return
        self._started.set_result(runner.addresses[0][1])
        await self._stop_requested.wait()
        await _settle()
        connections = runner.server.connections if runner.server else []
        transports = [connection.transport for connection in connections]
        await runner.cleanup()
        for transport in transports:
            if transport is not None:
                transport.abort()
        await _settle()


async def _settle() -> None:
    """Let connections that begin or end get on with it, which takes rounds of the event loop.

    Those under TLS would also wait half a minute for the goodbye of clients that keep them open,
    so what the server closes is aborted in the end.
    """
    for _ in range(5):
        await asyncio.sleep(0)
