"""The ``context`` that a function may ask for."""

from __future__ import annotations

import threading
from typing import Any

import azure.functions as func
from azure.functions import _abc as abstract

__all__ = ["InvocationContext", "invocation_id_of_thread"]

#: One for the process, as in the worker: each thread tells here for which invocation it works.
_THREADS = threading.local()


def invocation_id_of_thread() -> str | None:
    """The invocation that a log line of this thread is of; the worker drops lines of none."""
    return getattr(_THREADS, "invocation_id", None)


class _NoRetry(abstract.RetryContext):
    """State of an invocation that is not a retry by a function-level policy."""

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
    """What the Python worker passes as ``context`` (azure-functions-python-worker, Context)."""

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
