"""Metrics and daily counts of imports that wait for approval."""

from __future__ import annotations

from typing import Any

from shared.imports.model.states import ImportState
from tests.app import App, device
from tests.imports.guards import approve, decline, held
from tests.telemetry.support import CapturedTelemetry

FILE = (device("pump-1", importMode="create"),)


def gauge(captured: CapturedTelemetry, name: str) -> Any:
    return captured.metrics().get(f"deviceimporter.{name}", {}).get(())


def test_held_imports_and_their_age(app: App, captured_telemetry: CapturedTelemetry) -> None:
    app.configure(APPROVAL="always")
    first = held(app, *FILE)
    app.pass_minutes(10)
    second = held(app, device("pump-2"), name="second.ndjson")
    app.pass_minutes(50)
    app.sweep()
    assert gauge(captured_telemetry, "held.imports") == 2
    assert 3600 <= gauge(captured_telemetry, "held.age") < 3700
    # They are in no queue.
    assert gauge(captured_telemetry, "queue.length") == 0
    decline(app, first)
    app.sweep()
    assert gauge(captured_telemetry, "held.imports") == 1
    assert 3000 <= gauge(captured_telemetry, "held.age") < 3100
    approve(app, second)
    app.sweep()
    assert gauge(captured_telemetry, "held.imports") == 0
    assert gauge(captured_telemetry, "held.age") == 0
    app.finish()
    assert captured_telemetry.metrics()["deviceimporter.imports"] == {
        ("cancelled",): 1,
        ("completed",): 1,
    }


def test_nothing_is_measured_where_nothing_was_ever_held(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    app.upload("pumps.ndjson", *FILE)
    app.deliver("pumps.ndjson")
    app.finish()
    app.sweep()
    assert "deviceimporter.held.imports" not in captured_telemetry.metrics()


def test_decision_is_in_the_trace_of_the_import(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    app.configure(APPROVAL="always")
    record = held(app, *FILE)
    approve(app, record)
    app.finish()
    names = captured_telemetry.names(app.record(record.file))
    assert names.index("plan") < names.index("approve") < names.index("start")


def test_held_imports_are_counted_once_they_have_ended(app: App) -> None:
    app.configure(APPROVAL="always")
    record = held(app, *FILE)
    app.sweep()
    first = app.clock().date()
    daily = app.importer.services.daily_counts
    assert [day.imports for day in daily.since(record.hub, first) if day.imports] == []
    decline(app, record)
    app.sweep()
    [day] = [day for day in daily.since(record.hub, first) if day.imports]
    assert day.imports == {ImportState.CANCELLED: 1}
    assert (day.imported, day.failed, day.unknown) == (0, 0, 0)
