"""Spans and metrics. Everything here does nothing, at almost no cost, until a backend is set.

This module does not import OpenTelemetry: `shared.telemetry.azure_monitor` does, and sets the
backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from enum import StrEnum

__all__ = [
    "Attributes",
    "Backend",
    "Instrument",
    "InstrumentKind",
    "Span",
    "emit_root_span",
    "set_backend",
    "span",
    "suppress_sdk_spans",
]

Attributes = Mapping[str, str | int | float | bool]


class InstrumentKind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Instrument:
    """A counter, gauge or histogram, by name and UCUM unit. Created with its first value."""

    def __init__(
        self,
        kind: InstrumentKind,
        name: str,
        unit: str,
        description: str,
        buckets: tuple[float, ...] = (),
    ) -> None:
        self.kind, self.name, self.unit, self.description = kind, name, unit, description
        #: Upper bounds of a histogram's buckets.
        self.buckets = buckets

    def record(self, value: float, attributes: Attributes) -> None:
        """Add to a counter, set a gauge, or add a value to a histogram."""
        _backend.record(self, value, attributes)


class Span:
    """A running step. This one records nothing."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes, or replace them."""

    def fail(self, kind: str, message: str) -> None:
        """Mark the step as failed."""


class Backend:
    """Creates spans and metrics. This one does nothing."""

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        pass

    def span(self, key: str, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        return _NO_SPAN

    def suppress_sdk_spans(self, key: str) -> AbstractContextManager[object]:
        return _NO_SPAN

    def emit_root_span(
        self,
        key: str,
        name: str,
        start: datetime,
        end: datetime,
        attributes: Attributes,
        problem: str,
    ) -> None:
        pass


_NO_SPAN = nullcontext(Span())
_backend = Backend()


def set_backend(backend: Backend | None) -> None:
    """Use this backend from now on; None turns telemetry off."""
    global _backend
    _backend = backend or Backend()


def span(key: str, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
    """A step in the trace of this key, which any number of processes can add to."""
    return _backend.span(key, name, attributes)


def suppress_sdk_spans(key: str = "") -> AbstractContextManager[object]:
    """Drop spans of the Azure SDK within the block, except within a `span`: ticks are frequent.

    With a key, log lines of the block belong to its trace.
    """
    return _backend.suppress_sdk_spans(key)


def emit_root_span(
    key: str, name: str, start: datetime, end: datetime, attributes: Attributes, problem: str = ""
) -> None:
    """Emit the parent span of all steps of the key's trace, once, after its end.

    Args:
        problem: why it failed; "" for success.
    """
    _backend.emit_root_span(key, name, start, end, attributes, problem)
