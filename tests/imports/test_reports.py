"""A record's report agrees with the record, also if other processes wrote reports."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError

from shared.errors import NotPossibleError
from shared.imports.app import Importer
from shared.settings import load_settings
from tests.app import App, ObservedTransport, device

NAME = "pumps.ndjson"


def another_process(app: App) -> Importer:
    no_hook = lambda _: None  # noqa: E731
    return Importer(load_settings(), app.clock, lambda: ObservedTransport(no_hook, no_hook))


def assert_report_agrees(app: App) -> None:
    record = app.record(NAME)
    report = app.report(record)
    assert report["state"] == record.state
    assert report["failureReason"] == record.failure_reason
    devices = report["devices"]
    assert (devices["imported"], devices["failed"]) == (record.imported, record.failed)


def test_cancel_after_the_import_completed_keeps_the_report_of_the_import(app: App) -> None:
    """The process is suspended before it writes a report while another one completes the import."""
    app.hub.occupy_slot()
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.hub.free_slot()
    other_importer = another_process(app)
    overtaken: list[str] = []

    def overtake(request: str) -> None:
        if request.startswith("PUT") and "/report" in request and not overtaken:
            overtaken.append(request)
            other_importer.on_tick()
            app.hub.wait_idle()
            other_importer.on_tick()

    app.before_request = overtake
    with pytest.raises(NotPossibleError):
        app.importer.actions.cancel(app.record(NAME))
    app.before_request = lambda _: None
    other_importer.close()
    assert overtaken
    assert app.record(NAME).state == "completed"
    assert_report_agrees(app)


def test_cancel_before_the_import_completed_writes_its_own_report(app: App) -> None:
    app.hub.occupy_slot()
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.hub.free_slot()
    code = {"status": 400, "code": "ArgumentInvalid"}
    app.hub.faults.add("error", operation="createJob", **code)
    other_importer = another_process(app)

    def overtake(request: str) -> None:
        if request.startswith("PUT") and "/report" in request:
            app.before_request = lambda _: None
            other_importer.actions.cancel(app.record(NAME))

    app.before_request = overtake
    app.tick()
    assert app.record(NAME).state == "starting"
    # The suspended process keeps its lease.
    app.clock.ahead_minutes(6)
    app.tick()
    # It may have sent its request, so the import waits for the job.
    assert app.record(NAME).state == "starting"
    app.pass_minutes(11)
    app.finish()
    other_importer.close()
    assert app.record(NAME).state == "cancelled"
    assert_report_agrees(app)


@pytest.mark.usefixtures("no_waiting")
def test_import_becomes_final_without_a_report(app: App) -> None:
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.hub.wait_idle()

    def refuse(request: str) -> None:
        if request.startswith("PUT") and "/report" in request:
            error = HttpResponseError("a policy forbids it")
            error.status_code = 409
            raise error

    app.before_request = refuse
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.imported, record.report) == ("completed", 1, "")
    assert "report could not be written" in record.failure_reason


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "rejected"])
def test_report_agrees_with_every_final_record(app: App, end: str) -> None:
    if end == "failed":
        app.hub.faults.add("failJob")
    if end == "cancelled":
        app.hub.occupy_slot()
    app.upload(NAME, b"broken" if end == "rejected" else device("pump-1"))
    app.deliver(NAME)
    if end == "cancelled":
        app.importer.actions.cancel(app.record(NAME))
    app.finish()
    assert app.record(NAME).state == end
    assert_report_agrees(app)


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_validation_report_is_not_the_final_report(app: App, end: str) -> None:
    """It was written by the validation, which had a warning."""
    if end == "cancelled":
        app.hub.occupy_slot()
    else:
        app.hub.faults.add("error", operation="createJob", status=400)
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    if end == "cancelled":
        assert app.report(app.record(NAME))["state"] == "queued"
        app.importer.actions.cancel(app.record(NAME))
    assert app.record(NAME).state == end
    assert_report_agrees(app)
