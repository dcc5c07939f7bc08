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


def start_planned(app: App, changed: int) -> None:
    """An import of two unchanged devices, one that would fail, and some that change."""
    app.configure(APPLY="changes")
    for number in range(31):
        app.hub.registry.put(keyed(f"pump-{number}"))
    app.upload(
        "pumps.ndjson",
        *(keyed(f"pump-{number}") for number in range(2)),
        *(keyed(f"pump-{number}", tags={"a": 1}) for number in range(2, 2 + changed)),
        keyed("ghost", importMode="update"),
    )
    app.deliver("pumps.ndjson")


def test_unchanged_devices_are_counted_separately(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    start_planned(app, 3)
    app.finish()
    record = app.record("pumps.ndjson")
    assert captured_telemetry.metrics()["deviceimporter.devices"] == {
        ("imported",): 3,
        ("failed",): 1,
        ("unchanged",): 2,
    }
    [root] = [span for span in captured_telemetry.spans(record) if span.name == "import"]
    assert root.attributes
    assert root.attributes["deviceimporter.devices.unchanged"] == 2
    assert root.attributes["deviceimporter.plan.sent"] == 3
    assert {"plan", "export"} <= {*captured_telemetry.names(record)}


def test_only_what_was_sent_has_unknown_results(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    start_planned(app, 3)
    app.hub.wait_idle()
    app.hub.faults.add("hangJob")
    while app.record("pumps.ndjson").state != "running":
        app.tick()
    app.importer.actions.cancel(app.record("pumps.ndjson"))
    app.tick()
    app.finish()
    assert captured_telemetry.metrics()["deviceimporter.devices"] == {
        ("unknown",): 3,
        ("unchanged",): 2,
        ("failed",): 1,
    }


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
