"""What the app calls. All of it does nothing until `configure` or `use` was called.

OpenTelemetry is imported by `configure` alone: where it is off, nobody pays for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from azure.core.credentials import TokenCredential

from shared.logs import logger

if TYPE_CHECKING:
    from shared.telemetry.backend import Backend

__all__ = [
    "Attributes",
    "Instrument",
    "Kind",
    "Span",
    "configure",
    "emit_root",
    "quiet",
    "span",
    "use",
]

log = logger(__name__)

Attributes = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """What becomes of the values of an instrument."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Span:
    """A step that is under way. This one keeps nothing."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes, or replace them."""

    def fail(self, kind: str, message: str) -> None:
        """The step did not do what it set out to."""


_NOTHING = nullcontext(Span())
_backend: Backend | None = None
_lock = threading.Lock()
_was_asked = False


class Instrument:
    """A counter, gauge or histogram, by name and UCUM unit; made real by its first value."""

    def __init__(
        self, kind: Kind, name: str, unit: str, description: str, buckets: tuple[float, ...] = ()
    ) -> None:
        self.kind, self.name, self.unit, self.description = kind, name, unit, description
        #: Upper bounds of a histogram's buckets.
        self.buckets = buckets

    def record(self, value: float, attributes: Attributes) -> None:
        """Add to a counter, set a gauge, or give a histogram one more value."""
        if _backend is not None:
            _backend.record(self, value, attributes)


def span(key: str, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
    """A step in the trace that many processes add to under this key."""
    return _NOTHING if _backend is None else _backend.span(key, name, attributes)


def quiet(key: str = "") -> AbstractContextManager[object]:
    """No spans of the Azure SDK within the block, until a `span` in it: ticks are many.

    With a key, log lines of the block belong to its trace.
    """
    return _NOTHING if _backend is None else _backend.quiet(key)


def emit_root(
    key: str, name: str, start: datetime, end: datetime, attributes: Attributes, problem: str = ""
) -> None:
    """The span above all steps of the key's trace, once, when it is over.

    Args:
        problem: why it failed, if it did.
    """
    if _backend is not None:
        _backend.emit_root(key, name, start, end, attributes, problem)


def use(backend: Backend | None) -> None:
    """Take these providers from now on; None turns telemetry off."""
    global _backend
    _backend = backend


def configure(credential: Callable[[str | None], TokenCredential]) -> None:
    """Send telemetry to Azure Monitor, once in a process. Never raises: imports matter more.

    Args:
        credential: makes one for a client id, should Application Insights want Entra ID.
    """
    global _was_asked
    with _lock:
        if _was_asked:
            return
        _was_asked = True
        try:
            from shared.telemetry.azure_monitor import connect

            use(connect(credential))
        except Exception as error:
            log.warning("the app sends no spans and metrics: %s", error)
