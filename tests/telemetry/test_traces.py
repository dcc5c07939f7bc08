"""One trace per import: spans of its steps, from upload to final state."""

from __future__ import annotations

import pytest
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from shared import telemetry
from shared.telemetry.otel import trace_ids
from tests.app import App
from tests.telemetry.support import SAS, CapturedTelemetry, attributes, keyed


def test_import_is_one_trace_from_upload_to_final_state(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    app.upload("pumps.ndjson", keyed("pump-1"), keyed("pump-2"))
    app.deliver("pumps.ndjson")
    app.finish()
    record = app.record("pumps.ndjson")
    *steps, root = captured_telemetry.spans(record)
    assert len(captured_telemetry.spans()) == len(steps) + 1
    # The root span is emitted within the last step.
    assert [span.name for span in (*steps, root)] == ["validate", "start", "import", "end"]
    root, end = steps.pop(), root
    trace_id, span_id = trace_ids(record.id)
    assert (root.context.trace_id, root.context.span_id) == (trace_id, span_id)
    assert (root.parent, root.kind) == (None, SpanKind.CONSUMER)
    for step in (*steps, end):
        assert step.parent is not None
        assert (step.parent.span_id, step.kind) == (span_id, SpanKind.INTERNAL)
        assert attributes(step)["import.id"] == record.id
        assert step.status.status_code is StatusCode.UNSET
    assert [attributes(step)["import.state"] for step in steps] == ["queued", "running"]
    assert root.start_time == int(record.uploaded_at.timestamp()) * 10**9
    assert record.finished_at is not None
    assert root.end_time == int(record.finished_at.timestamp() * 10**9)
    assert attributes(root) == {
        "import.id": record.id,
        "import.state": "completed",
        "import.attempts": 1,
        "hub": record.hub,
        "file.name": "pumps.ndjson",
        "file.size": record.size,
        "file.format": "ndjson",
        "job.id": record.job.id,
        "job.status": "completed",
        "devices.given": 2,
        "devices.imported": 2,
        "devices.failed": 0,
        "lines.invalid": 0,
    }
    assert root.status.status_code is StatusCode.UNSET


def test_idle_tick_creates_no_span(app: App, captured_telemetry: CapturedTelemetry) -> None:
    app.hub.faults.add("hangJob")
    app.upload("pumps.ndjson", keyed("pump-1"))
    app.deliver("pumps.ndjson")
    app.tick()
    before = len(captured_telemetry.spans())
    app.tick()
    app.sweep()
    app.tick()
    assert len(captured_telemetry.spans()) == before


def test_retry_is_a_trace_linked_to_the_original(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    app.hub.faults.add("failJob")
    app.upload("pumps.ndjson", keyed("pump-1"))
    app.deliver("pumps.ndjson")
    app.finish()
    old = app.record("pumps.ndjson")
    new = app.importer.actions.retry(old)
    assert new.state == "queued"
    app.importer.actions.cancel(new)
    root, cancel = captured_telemetry.spans(new)[-2:]
    assert captured_telemetry.names(new) == ["retry", "import", "cancel"]
    assert attributes(root)["import.retry_of"] == old.id
    assert attributes(cancel)["import.state"] == "cancelled"


def test_failed_step_records_the_error(app: App, captured_telemetry: CapturedTelemetry) -> None:
    app.upload("pumps.ndjson", keyed("pump-1"))

    def fail(request: str) -> None:
        if request.endswith("devices.txt"):
            raise OSError(f"no way to {SAS}")

    app.before_request = fail
    with pytest.raises(OSError, match="no way"):
        app.deliver("pumps.ndjson")
    [validate] = captured_telemetry.spans()
    assert attributes(validate)["error.type"] == "OSError"
    assert validate.status.status_code is StatusCode.ERROR
    assert "sig=REDACTED" in str(validate.status.description)


def test_step_links_to_the_invocation(app: App, captured_telemetry: CapturedTelemetry) -> None:
    host = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    app.upload("pumps.ndjson", keyed("pump-1"))
    token = contexts.attach(trace.set_span_in_context(NonRecordingSpan(host)))
    try:
        app.deliver("pumps.ndjson")
        app.finish()
    finally:
        contexts.detach(token)
    for span in captured_telemetry.spans(app.record("pumps.ndjson")):
        assert [link.context for link in span.links] == ([] if span.name == "import" else [host])


def test_azure_sdk_creates_no_spans_between_steps(captured_telemetry: CapturedTelemetry) -> None:
    """Samplers drop all children of a local span that is not recorded."""
    tracer = captured_telemetry.tracers.get_tracer("azure")
    with telemetry.suppress_sdk_spans():
        tracer.start_span("idle").end()
        with telemetry.span("some import", "start", {}):
            tracer.start_span("request").end()
        tracer.start_span("idle").end()
    assert [span.name for span in captured_telemetry.spans()] == ["request", "start"]
