"""Invocations: the event loop, the `context` argument, and the call of a function."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

import azure.functions as func
from azure.functions import _abc as abstract

from local.host.triggers import HostedFunction

__all__ = ["InvocationContext", "Invoker", "LoopThread", "invocation_id_of_thread"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
#: One per process, as in the worker: the invocation that each thread runs.
_THREADS = threading.local()


class LoopThread:
    """Runs coroutines on one event loop in a thread, which starts at the first call.

    The Python worker also has a single loop: here as in Azure, a coroutine function that blocks it
    stalls all others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result; must not be called from the loop."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._main, name="functions-loop", daemon=True
                )
                self._thread.start()
                self._ready.wait()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Cancel running coroutines and end the thread."""
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


def invocation_id_of_thread() -> str | None:
    """The invocation of this thread; the worker drops log lines of threads without one."""
    return getattr(_THREADS, "invocation_id", None)


class _NoRetry(abstract.RetryContext):
    """The state without a retry policy of the function."""

    @property
    def retry_count(self) -> int:
        return 0

    @property
    def max_retry_count(self) -> int:
        return 0

    @property
    def exception(self) -> Any:
        return None


class _NoTrace(abstract.TraceContext):
    """An invocation outside any distributed trace."""

    @property
    def trace_state(self) -> str:
        return ""

    @property
    def trace_parent(self) -> str:
        return ""

    @property
    def attributes(self) -> dict[str, str]:
        return {}


class InvocationContext(func.Context):
    """The ``context`` argument (azure-functions-python-worker, Context)."""

    def __init__(self, function_name: str, function_directory: str, invocation_id: str) -> None:
        self._function_name = function_name
        self._function_directory = function_directory
        self._invocation_id = invocation_id

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def function_name(self) -> str:
        return self._function_name

    @property
    def function_directory(self) -> str:
        return self._function_directory

    @property
    def thread_local_storage(self) -> Any:
        return _THREADS

    @property
    def retry_context(self) -> abstract.RetryContext:
        return _NoRetry()

    @property
    def trace_context(self) -> abstract.TraceContext:
        return _NoTrace()


def _exit_called() -> RuntimeError:
    return RuntimeError("the function called sys.exit, which ends the worker in Azure")


async def _without_exit(coroutine: Coroutine[Any, Any, T]) -> T:
    """SystemExit in a coroutine would end the loop."""
    try:
        return await coroutine
    except SystemExit as error:
        raise _exit_called() from error


class Invoker:
    """Calls functions, plain or coroutine, and logs the calls as Core Tools does; thread-safe."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop

    def invoke(self, function: HostedFunction, trigger_value: object, reason: str) -> Any:
        """Call a function with the value of its trigger; exceptions are logged and propagate."""
        invocation_id = str(uuid.uuid4())
        arguments: dict[str, Any] = {function.trigger.parameter: trigger_value}
        context = InvocationContext(function.name, function.directory, invocation_id)
        context.thread_local_storage.invocation_id = invocation_id
        if function.wants_context:
            arguments["context"] = context
        logger.info(
            "Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, invocation_id
        )
        started = time.monotonic()
        outcome = "Failed"
        try:
            try:
                result = function.call(**arguments)
                if inspect.iscoroutine(result):
                    result = self._loop.run(_without_exit(result))
            except SystemExit as error:
                raise _exit_called() from error
            outcome = "Succeeded"
            return result
        finally:
            logger.log(
                logging.INFO if outcome == "Succeeded" else logging.ERROR,
                "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)",
                function.name,
                outcome,
                invocation_id,
                (time.monotonic() - started) * 1000,
                exc_info=outcome == "Failed",
            )
