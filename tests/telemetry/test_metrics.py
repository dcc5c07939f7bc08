"""Metrics of imports and of rejected requests."""

from __future__ import annotations

from opentelemetry.trace import (
    StatusCode,
)

from tests.app import App, device
from tests.telemetry.support import CapturedTelemetry, keyed
from tests.web.support import cancel_at_the_hub


def test_results_of_imports_are_counted(app: App, captured_telemetry: CapturedTelemetry) -> None:
    app.hub.registry.put(device("exists"))
    app.upload("good.ndjson", keyed("pump-1"), keyed("pump-2"))
    app.deliver("good.ndjson")
    app.finish()
    app.upload("broken.ndjson", keyed("pump 1"), keyed("pump-3"))
    app.deliver("broken.ndjson")
    app.upload("partly.ndjson", keyed("exists", importMode="create"), keyed("pump-4"))
    app.deliver("partly.ndjson")
    app.finish()
    # Repeated events and ticks do not count twice.
    app.deliver("good.ndjson")
    app.tick()
    metrics = captured_telemetry.metrics()
    assert metrics["deviceimporter.imports"] == {
        ("completed",): 1,
        ("rejected",): 1,
        ("completedWithErrors",): 1,
    }
    assert metrics["deviceimporter.devices"] == {("imported",): 3, ("failed",): 1, ("rejected",): 1}
    assert metrics["deviceimporter.queue.length"] == {(): 0}
    assert metrics["deviceimporter.queue.age"] == {(): 0}
    jobs, total = metrics["deviceimporter.job.duration"][("completed",)]
    assert jobs == 2
    assert 0 <= total < 60
    assert {
        key: count for key, (count, _) in metrics["deviceimporter.import.duration"].items()
    } == {
        ("completed",): 1,
        ("rejected",): 1,
        ("completedWithErrors",): 1,
    }
    rejected = app.record("broken.ndjson")
    root, validate = captured_telemetry.spans(rejected)
    assert (root.name, validate.name) == ("import", "validate")
    assert root.status.status_code is StatusCode.ERROR
    assert root.status.description == rejected.failure_reason


def test_devices_with_unknown_results_are_counted_separately(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    cancel_at_the_hub(app)
    assert captured_telemetry.metrics()["deviceimporter.devices"] == {("unknown",): 3}
    [root] = [span for span in captured_telemetry.spans() if span.name == "import"]
    assert root.attributes
    assert root.attributes["deviceimporter.devices.given"] == 3
    known = {"deviceimporter.devices.imported", "deviceimporter.devices.failed"}
    assert not known & root.attributes.keys()


def test_throttled_and_busy_responses_are_counted(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    app.hub.faults.add("error", operation="createJob", status=429, times=2)
    app.upload("pumps.ndjson", keyed("pump-1"))
    app.deliver("pumps.ndjson")
    app.tick()
    app.hub.occupy_slot()
    app.tick()
    app.clock.ahead_minutes(10)
    app.tick()
    metrics = captured_telemetry.metrics()
    assert metrics["deviceimporter.hub.throttled"] == {(): 2}
    assert metrics["deviceimporter.hub.busy"] == {(): 2}
    assert metrics["deviceimporter.queue.length"] == {(): 1}
    assert metrics["deviceimporter.queue.age"][()] >= 600
    assert "deviceimporter.imports" not in metrics
    app.hub.free_slot()
    app.finish()
    record = app.record("pumps.ndjson")
    assert captured_telemetry.names(record) == ["validate", *["start"] * 5, "import", "end"]
