"""Spans and metrics by OpenTelemetry's SDK.

A key's trace and root span have ids that follow from the key, so that processes hours apart add to
one trace and nothing about it is kept. The SDK's public place for that is `IdGenerator`. A provider
takes one when it is made, and Azure Monitor's is made by others; so the tracer gets it, which
nobody else uses.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TracerProvider,
)

from shared.redaction import redact
from shared.telemetry.facade import Attributes, Instrument, Kind, Span

__all__ = ["Backend", "trace_ids"]

SCOPE = "deviceimporter"

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
#: In OpenTelemetry's context: the span of the host's invocation, which `quiet` hides.
_INVOCATION = contexts.create_key("deviceimporter-invocation")
#: Trace and span id of the next span of this thread.
_chosen: ContextVar[tuple[int, int] | None] = ContextVar("chosen", default=None)


def trace_ids(key: str) -> tuple[int, int]:
    """Ids of the key's trace and of its root span: the first 32 and the next 16 hex digits."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return int(digest[:32], 16), int(digest[32:48], 16)


class _Ids(IdGenerator):
    """The ids that a root span has to have; those of another generator for all other spans."""

    def __init__(self, others: IdGenerator) -> None:
        self._others = others

    def generate_trace_id(self) -> int:
        chosen = _chosen.get()
        return chosen[0] if chosen else self._others.generate_trace_id()

    def generate_span_id(self) -> int:
        chosen = _chosen.get()
        return chosen[1] if chosen else self._others.generate_span_id()

    def is_trace_id_random(self) -> bool:
        return self._others.is_trace_id_random()


class _Step(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(_redacted(attributes))

    def fail(self, kind: str, message: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR, redact(message))


class Backend:
    """Makes spans and metrics with these providers. Safe to use from several threads."""

    def __init__(self, tracers: TracerProvider, meters: MeterProvider) -> None:
        self._tracer = tracers.get_tracer(SCOPE)
        if isinstance(self._tracer, Tracer):
            self._tracer.id_generator = _Ids(self._tracer.id_generator)
            if not os.environ.get("OTEL_TRACES_SAMPLER"):
                # The worker made the provider, with a bound on spans. These are few.
                self._tracer.sampler = ALWAYS_ON
        self._meter = meters.get_meter(SCOPE)
        self._lock = threading.Lock()
        self._instruments: dict[str, Callable[[float, dict[str, Any]], None]] = {}

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        put = self._instruments.get(instrument.name)
        if put is None:
            with self._lock:
                put = self._instruments.setdefault(instrument.name, _made(self._meter, instrument))
        put(value, dict(attributes))

    @contextmanager
    def span(self, key: str, name: str, attributes: Attributes) -> Iterator[Span]:
        links = [Link(found)] if (found := _invocation()) else []
        with self._tracer.start_as_current_span(
            name,
            context=trace.set_span_in_context(NonRecordingSpan(_root(key))),
            attributes=_redacted(attributes),
            links=links,
            # Texts of exceptions go through `fail`, which knows what must not be told.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _Step(span)

    @contextmanager
    def quiet(self, key: str) -> Iterator[None]:
        found = _invocation()
        if key:
            trace_id, span_id = trace_ids(key)
        elif found:
            trace_id, span_id = found.trace_id, found.span_id
        else:
            ids = RandomIdGenerator()
            trace_id, span_id = ids.generate_trace_id(), ids.generate_span_id()
        # Samplers drop what is below a local span that is not recorded.
        silent = SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags())
        context = contexts.set_value(_INVOCATION, found)
        token = contexts.attach(trace.set_span_in_context(NonRecordingSpan(silent), context))
        try:
            yield
        finally:
            contexts.detach(token)

    def emit_root(
        self,
        key: str,
        name: str,
        start: datetime,
        end: datetime,
        attributes: Attributes,
        problem: str,
    ) -> None:
        token = _chosen.set(trace_ids(key))
        try:
            span = self._tracer.start_span(
                name,
                context=contexts.Context(),
                # A request in Application Insights; the steps are its dependencies.
                kind=SpanKind.CONSUMER,
                attributes=_redacted(attributes),
                start_time=_nanoseconds(start),
            )
        finally:
            _chosen.reset(token)
        if problem:
            span.set_status(StatusCode.ERROR, redact(problem))
        span.end(_nanoseconds(end))


def _redacted(attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {
        name: redact(value) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def _made(meter: Meter, instrument: Instrument) -> Callable[[float, dict[str, Any]], None]:
    names = (instrument.name, instrument.unit, instrument.description)
    match instrument.kind:
        case Kind.COUNTER:
            return meter.create_counter(*names).add
        case Kind.GAUGE:
            return meter.create_gauge(*names).set
        case Kind.HISTOGRAM:
            buckets = instrument.buckets
            return meter.create_histogram(
                *names, explicit_bucket_boundaries_advisory=buckets
            ).record


def _root(key: str) -> SpanContext:
    """The key's root span as its steps name it, before it was emitted and after."""
    trace_id, span_id = trace_ids(key)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=_SAMPLED)


def _invocation() -> SpanContext | None:
    """The host's span of this invocation, if the worker has told of one."""
    hidden = contexts.get_value(_INVOCATION)
    if isinstance(hidden, SpanContext):
        return hidden
    current = trace.get_current_span().get_span_context()
    return current if current.is_valid and current.is_remote else None


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000_000)
