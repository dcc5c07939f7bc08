"""Carry the invocation of a function into the threads that it starts.

The Functions worker drops log lines of such threads unless they set the invocation id (learn:
"Azure Functions Python developer guide", log from created threads).
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
    """The part of the worker's `Context` that is used here."""

    @property
    def invocation_id(self) -> str: ...

    @property
    def thread_local_storage(self) -> Any: ...


_invocation: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


@contextmanager
def invocation(context: Invocation) -> Iterator[None]:
    """Run the block as part of this invocation.

    An exception that leaves the block is redacted, because the platform logs it.
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
    """Wrap a function to run in another thread with this invocation and its context variables.

    The result can be called any number of times, also concurrently.
    """
    captured = copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        context = _invocation.get()
        if context is not None:
            context.thread_local_storage.invocation_id = context.invocation_id
        return function(*args, **kwargs)

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # Two threads cannot be in one context at the same time.
        return captured.copy().run(call, *args, **kwargs)

    return run
