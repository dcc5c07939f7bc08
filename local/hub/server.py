"""Serving the emulator's routes from an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

from aiohttp import web

#: Seconds that requests in progress get when the server stops.
_GRACE = 0.5


class ServerThread:
    """Runs an application on one address until it is stopped."""

    def __init__(self, app: web.Application, host_name: str, port: int) -> None:
        self._app = app
        self._host_name = host_name
        self._port = port
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
            site = web.TCPSite(runner, self._host_name, self._port)
            await site.start()
        except Exception as error:
            await runner.cleanup()
            self._started.set_exception(error)
            return
        self._started.set_result(runner.addresses[0][1])
        await self._stop_requested.wait()
        await runner.cleanup()
