"""Whose log lines these are: the invocation of a function, carried into the threads it starts.

The Functions worker drops what a thread logs that it does not know, unless the thread says which
invocation it works for (learn: "Azure Functions Python developer guide", log from created threads).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, ParamSpec, Protocol, TypeVar

from shared.redaction import redact_error

__all__ = ["Invocation", "in_this_invocation", "invocation"]

P = ParamSpec("P")
R = TypeVar("R")


class Invocation(Protocol):
    """The part of the worker's `Context` that matters here."""

    @property
    def invocation_id(self) -> str: ...

    @property
    def thread_local_storage(self) -> Any: ...


_invocation: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


@contextmanager
def invocation(context: Invocation) -> Iterator[None]:
    """What is done within the block is done for this invocation.

    The platform logs an exception that leaves the block, so it is redacted.
    """
    token = _invocation.set(context)
    try:
        yield
    except Exception as error:
        if (redacted := redact_error(error)) is error:
            raise
        raise redacted from redacted.__cause__
    finally:
        _invocation.reset(token)


def in_this_invocation(function: Callable[P, R]) -> Callable[P, R]:
    """The function as another thread has to call it: with this thread's context variables.

    What it returns may be called any number of times, also at the same time.
    """
    captured = copy_context()

    def adopted(*args: P.args, **kwargs: P.kwargs) -> R:
        context = _invocation.get()
        if context is not None:
            context.thread_local_storage.invocation_id = context.invocation_id
        return function(*args, **kwargs)

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # No two threads can be in one context at the same time.
        return captured.copy().run(adopted, *args, **kwargs)

    return run
