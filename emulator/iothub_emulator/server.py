"""The emulator's address, and the thread that serves HTTP."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from aiohttp import web

#: The emulator listens here only, independent of its host name.
LOOPBACK = "127.0.0.1"
#: Environment variables that make clients trust the certificate; all but Node's replace the
#: machine's trust store.
TRUST_VARIABLES = {
    "REQUESTS_CA_BUNDLE": "Python",
    "NODE_EXTRA_CA_CERTS": "Node.js",
    "SSL_CERT_FILE": "Go and .NET on Linux",
    "CURL_CA_BUNDLE": "curl",
}
_HTTPS_PORT = 443
#: Of a request line or header; HTTP.sys of Windows, which hubs name in their answers, has 16 KiB.
_MAX_LINE_BYTES = 16 * 1024
#: Seconds for requests in progress when the server stops.
_GRACE = 0.5


@dataclass
class Address:
    """The host name and port that clients use; the port is final after the start."""

    host_name: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """Host name and port for connection strings, without the default port of HTTPS.

        The official clients for Node.js and C# support no other port.
        """
        if self.tls and self.port == _HTTPS_PORT:
            return self.host_name
        return f"{self.host_name}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def names(self) -> frozenset[str]:
        """The names that are valid in tokens."""
        return frozenset({self.host_name, f"{self.host_name}:{self.port}"})


class ServerThread:
    """Runs an event loop in a thread and serves an application on a loopback port."""

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

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> int:
        """Start serving and return the port; raises OSError if the port is not available."""
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
        runner = web.AppRunner(
            self._app,
            access_log=None,
            logger=_LOG,
            shutdown_timeout=_GRACE,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
        )
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


def _without_request(record: logging.LogRecord) -> bool:
    """Remove what aiohttp quotes of malformed requests, which may be tokens and keys."""
    record.msg, record.args = "a request could not be read", ()
    record.exc_info = record.exc_text = None
    return True


_LOG = logging.getLogger(f"{__name__}.requests")
_LOG.addFilter(_without_request)


async def _settle() -> None:
    """Let connections start or end, which takes some iterations of the event loop.

    TLS connections would also wait half a minute for a close by clients that keep them open, so
    the caller aborts them.
    """
    for _ in range(5):
        await asyncio.sleep(0)
