"""One event loop in one thread, for coroutine functions and the HTTP server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for threads that are not asynchronous; starts when first needed.

    The Python worker also has a single loop: a coroutine function that blocks it stalls all the
    others, here as in Azure.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result; never call this from the loop itself."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._main, name="functions-loop", daemon=True
                )
                self._thread.start()
                self._ready.wait()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Cancel what still runs and end the thread."""
        with self._lock:
            if self._thread is not None:
                self._loop.call_soon_threadsafe(self._ended.set)
                self._thread.join()
                self._thread = None
                self._ready.clear()

    def _main(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._ready.set()
        await self._ended.wait()
