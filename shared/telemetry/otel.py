"""Spans and metrics with the OpenTelemetry SDK.

The ids of a key's trace and of its root span are derived from the key, so that processes hours
apart add to one trace without shared state. OpenTelemetry's way to choose ids is an `IdGenerator`,
which a provider accepts only when it is created. That is why these spans have a provider of their
own; the spans of the Azure SDK, their children, use the global one.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from shared.redaction import redact
from shared.telemetry import Attributes, Backend, Instrument, InstrumentKind, Span

__all__ = ["OpenTelemetryBackend", "trace_ids"]

SCOPE = "deviceimporter"

#: In OpenTelemetry's context: the host's span of this invocation, hidden by `suppress_sdk_spans`.
_INVOCATION = contexts.create_key("deviceimporter-invocation")
#: Trace id and span id of the root span that this thread is creating.
_root_ids: ContextVar[tuple[int, int] | None] = ContextVar("root_ids", default=None)


def trace_ids(key: str) -> tuple[int, int]:
    """Ids of the key's trace and root span: the first 32 and the next 16 digits of its SHA-256."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return int(digest[:32], 16), int(digest[32:48], 16)


class _IdGenerator(RandomIdGenerator):
    """The derived ids for root spans; random ids for all others."""

    def generate_trace_id(self) -> int:
        ids = _root_ids.get()
        return ids[0] if ids else super().generate_trace_id()

    def generate_span_id(self) -> int:
        ids = _root_ids.get()
        return ids[1] if ids else super().generate_span_id()


class _Step(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(_redacted(attributes))

    def fail(self, kind: str, message: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR, redact(message))


class OpenTelemetryBackend(Backend):
    """Creates them with the SDK. Safe to use from several threads.

    Args:
        processor: receives the spans; None drops them.
        sampler: None keeps all spans, which are few.
    """

    def __init__(
        self,
        processor: SpanProcessor | None,
        meters: MeterProvider,
        resource: Resource | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        provider = TracerProvider(sampler or ALWAYS_ON, resource, id_generator=_IdGenerator())
        if processor:
            provider.add_span_processor(processor)
        self._tracer = provider.get_tracer(SCOPE)
        self._meter = meters.get_meter(SCOPE)
        self._lock = threading.Lock()
        self._instruments: dict[str, Callable[[float, dict[str, Any]], None]] = {}

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        add = self._instruments.get(instrument.name)
        if add is None:
            with self._lock:
                add = self._instruments.setdefault(
                    instrument.name, _create(self._meter, instrument)
                )
        add(value, dict(attributes))

    @contextmanager
    def span(self, key: str, name: str, attributes: Attributes) -> Iterator[Span]:
        invocation = _invocation()
        with self._tracer.start_as_current_span(
            name,
            context=trace.set_span_in_context(NonRecordingSpan(_root(key))),
            attributes=_redacted(attributes),
            links=[Link(invocation)] if invocation else [],
            # `fail` redacts messages of exceptions.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _Step(span)

    @contextmanager
    def suppress_sdk_spans(self, key: str) -> Iterator[None]:
        invocation = _invocation()
        if key:
            ids = trace_ids(key)
        elif invocation:
            ids = invocation.trace_id, invocation.span_id
        else:
            random = RandomIdGenerator()
            ids = random.generate_trace_id(), random.generate_span_id()
        # Samplers drop the children of a local span that is not sampled.
        unsampled = SpanContext(*ids, is_remote=False, trace_flags=TraceFlags())
        context = contexts.set_value(_INVOCATION, invocation)
        token = contexts.attach(trace.set_span_in_context(NonRecordingSpan(unsampled), context))
        try:
            yield
        finally:
            contexts.detach(token)

    def emit_root_span(
        self,
        key: str,
        name: str,
        start: datetime,
        end: datetime,
        attributes: Attributes,
        problem: str,
    ) -> None:
        token = _root_ids.set(trace_ids(key))
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
            _root_ids.reset(token)
        if problem:
            span.set_status(StatusCode.ERROR, redact(problem))
        span.end(_nanoseconds(end))


def _redacted(attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {
        name: redact(value) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def _create(meter: Meter, instrument: Instrument) -> Callable[[float, dict[str, Any]], None]:
    names = (instrument.name, instrument.unit, instrument.description)
    match instrument.kind:
        case InstrumentKind.COUNTER:
            return meter.create_counter(*names).add
        case InstrumentKind.GAUGE:
            return meter.create_gauge(*names).set
        case InstrumentKind.HISTOGRAM:
            bounds = instrument.buckets
            return meter.create_histogram(*names, explicit_bucket_boundaries_advisory=bounds).record


def _root(key: str) -> SpanContext:
    """The key's root span as the parent of its steps, also before it is emitted."""
    return SpanContext(*trace_ids(key), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _invocation() -> SpanContext | None:
    """The host's span of this invocation, if the worker passed it on."""
    hidden = contexts.get_value(_INVOCATION)
    if isinstance(hidden, SpanContext):
        return hidden
    current = trace.get_current_span().get_span_context()
    return current if current.is_valid and current.is_remote else None


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000_000)
