"""Helpers for telemetry tests."""

from __future__ import annotations

import base64
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.imports.model.record import ImportRecord
from shared.telemetry.otel import OpenTelemetryBackend, trace_ids
from tests.app import device

KEY = base64.b64encode(b"made-up telemetry key 01").decode()
SAS = "https://a.blob.core.windows.net/c?sv=1&sig=c2lnbmF0dXJl"


class CapturedTelemetry:
    """The spans and metrics of a process."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.processor = SimpleSpanProcessor(self._exporter)
        self._reader = InMemoryMetricReader()
        #: Installed as the global provider, which the Azure SDK uses.
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(self.processor)
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def backend(self) -> OpenTelemetryBackend:
        return OpenTelemetryBackend(self.processor, self.meters)

    def spans(self, record: ImportRecord | None = None) -> list[ReadableSpan]:
        """Spans in the order in which they ended: of the import's trace, or all."""
        wanted = trace_ids(record.id)[0] if record else None
        return [
            span
            for span in self._exporter.get_finished_spans()
            if wanted in (None, span.context.trace_id)
        ]

    def names(self, record: ImportRecord) -> list[str]:
        return [span.name for span in self.spans(record)]

    def metrics(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Map names and attribute values (except the hub) to a value, or to count and sum."""
        values: dict[str, dict[tuple[Any, ...], Any]] = {}
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for metric in (m for scope in resource.scope_metrics for m in scope.metrics):
                for point in metric.data.data_points:
                    labels = dict(point.attributes or {})
                    assert labels.pop("deviceimporter.hub")
                    value = getattr(point, "value", None)
                    if value is None:
                        value = (point.count, point.sum)  # type: ignore[union-attr]
                    values.setdefault(metric.name, {})[tuple(labels.values())] = value
        return values


def keyed(device_id: str, **members: object) -> dict[str, object]:
    keys = {"primaryKey": KEY, "secondaryKey": KEY}
    return device(device_id, authentication={"type": "sas", "symmetricKey": keys}, **members)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return {
        name.removeprefix("deviceimporter."): value
        for name, value in (span.attributes or {}).items()
    }
