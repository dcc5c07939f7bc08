"""Completed jobs without an error log: only the log contains the results of the devices."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from azure.core.exceptions import HttpResponseError

from shared.imports.model.record import ImportRecord
from tests.app import App, device

NAME = "pumps.ndjson"
LOG = "importErrors.log"


def start(app: App, *lines: object) -> ImportRecord:
    app.upload(NAME, *(lines or (device("pump-1"),)))
    app.deliver(NAME)
    app.hub.wait_idle()
    return app.record(NAME)


def write_log(app: App, content: bytes) -> None:
    app.container_of(app.record(NAME)).upload_blob(LOG, content, overwrite=True)


def assert_not_known(record: ImportRecord) -> None:
    assert record.state == "completedWithErrors"
    assert (record.imported, record.failed) == (None, None)
    assert "not known which devices were applied" in record.failure_reason
    assert not record.is_fully_imported


def test_import_waits_for_a_missing_log(app: App) -> None:
    app.hub.faults.add("noLog")
    start(app)
    for minutes in (0, 9):
        app.clock.ahead_minutes(minutes)
        app.tick()
        record = app.record(NAME)
        assert record.state == "running"
        assert LOG in record.failure_reason
    app.clock.ahead_minutes(11)
    app.tick()
    assert_not_known(app.record(NAME))
    report = app.report(app.record(NAME))
    assert report["state"] == "completedWithErrors"
    assert report["devices"]["imported"] is None
    assert report["devices"]["failed"] is None


def test_the_reason_says_what_becomes_of_a_cancelled_import(app: App) -> None:
    app.hub.faults.add("noLog")
    start(app)
    app.tick()
    assert app.record(NAME).failure_reason.endswith("Waiting up to 10 min for it.")
    app.importer.actions.cancel(app.record(NAME))
    app.clock.ahead_minutes(1)
    app.tick()
    record = app.record(NAME)
    assert record.state == "running"
    assert record.failure_reason.endswith(
        "Waiting up to 10 min for it. An operator cancelled the import: it ends after this wait."
    )
    app.clock.ahead_minutes(11)
    app.tick()
    assert_not_known(app.record(NAME))
    assert "but its job had already completed" in app.record(NAME).failure_reason


def test_missing_log_of_a_job_that_ended_long_ago(app: App) -> None:
    """The deadline starts when the app first sees the end of the job."""
    app.hub.faults.add("noLog")
    start(app)
    app.clock.ahead_hours(3)
    app.tick()
    assert app.record(NAME).state == "running"
    app.clock.ahead += timedelta(minutes=9)
    app.tick()
    assert app.record(NAME).state == "running"
    app.clock.ahead += timedelta(minutes=2)
    app.tick()
    assert_not_known(app.record(NAME))


def test_late_log(app: App) -> None:
    app.hub.faults.add("lateLog")
    start(app, device("pump-1"), device("gone", importMode="delete"))
    app.tick()
    assert app.record(NAME).state == "running"
    app.clock.ahead_minutes(9)
    app.hub.write_late_logs()
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", 1, 1)
    assert record.back_off.unresolved_since is None


def test_log_written_after_the_import_is_final_is_ignored(app: App) -> None:
    app.hub.faults.add("lateLog")
    start(app)
    app.tick()
    app.clock.ahead_minutes(11)
    app.tick()
    ended = app.record(NAME)
    assert_not_known(ended)
    app.hub.write_late_logs()
    app.tick()
    app.sweep()
    assert app.record(NAME) == ended


def test_queued_imports_wait_for_a_missing_log_no_longer_than_its_deadline(app: App) -> None:
    app.hub.faults.add("noLog")
    start(app)
    app.upload("next.ndjson", device("pump-2"))
    app.deliver("next.ndjson")
    app.tick()
    assert app.record("next.ndjson").state == "queued"
    app.clock.ahead_minutes(11)
    app.tick()
    app.finish()
    assert app.record("next.ndjson").state == "completed"


def test_upload_with_a_missing_log_is_not_deleted(app: App) -> None:
    app.configure(UPLOAD_RETENTION="delete")
    app.hub.faults.add("noLog")
    start(app)
    app.tick()
    app.clock.ahead_minutes(11)
    app.tick()
    app.sweep()
    assert app.blobs.get_blob_client(app.container, NAME).exists()


def test_unknown_lines_are_not_retried(app: App) -> None:
    app.hub.faults.add("noLog")
    start(app)
    app.tick()
    app.clock.ahead_minutes(11)
    app.tick()
    detail = app.importer.reader.detail(app.record(NAME).id)
    assert "retry" not in detail.actions


def test_log_that_lists_more_failures_than_devices(app: App) -> None:
    app.hub.faults.add("noLog")
    start(app)
    lines = [{"deviceId": f"other-{n}", "errorCode": 404001} for n in range(3)]
    write_log(app, "\n".join(map(json.dumps, lines)).encode())
    app.tick()
    record = app.record(NAME)
    assert_not_known(record)
    assert "log lists 3 failures for 1 devices" in record.failure_reason


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("status", [404, 409, 416])
def test_unreadable_log(app: App, status: int) -> None:
    """The log exists, but the account denies access to it."""
    start(app)

    def refuse(request: str) -> None:
        if request.startswith("GET ") and request.endswith(f"/{LOG}"):
            error = HttpResponseError("not now")
            error.status_code = status
            raise error

    write_log(app, b'{"deviceId": "pump-1", "errorCode": 404001}\n')
    app.before_request = refuse
    for minutes in (0, 9):
        app.clock.ahead_minutes(minutes)
        app.tick()
        assert app.record(NAME).state == "running"
    app.clock.ahead_minutes(11)
    app.tick()
    app.before_request = lambda _: None
    record = app.record(NAME)
    assert_not_known(record)
    assert f"{LOG} cannot be read" in record.failure_reason


@pytest.mark.parametrize("failed", [0, 1])
def test_staged_file_edited_after_the_start(app: App, failed: int) -> None:
    """It is unknown which lines the hub read."""
    record = start(app, device("pump-1"), *[device("gone", importMode="delete")] * failed)
    staged = app.container_of(record).get_blob_client("devices.txt")
    staged.upload_blob(staged.download_blob().readall(), overwrite=True)
    app.tick()
    record = app.record(NAME)
    assert_not_known(record)
    assert "staged file was edited" in record.failure_reason


def test_deleted_staged_file_loses_only_the_line_numbers(app: App) -> None:
    app.hub.registry.put(device("pump-1"))
    record = start(app, device("pump-1", importMode="create"), device("pump-2"))
    app.container_of(record).delete_blob("devices.txt")
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", 1, 1)
    assert record.retry == ""
    assert "staged file cannot be read" in record.failure_reason
    [failure] = app.report(record)["failures"]["devices"]
    assert (failure["line"], failure["id"]) == (None, "pump-1")
    assert app.report(record)["failureReason"] == record.failure_reason


@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b"[]", b'{"validation": 5}', b"\xff", b"[" * 100_000]
)
def test_edited_validation_report(app: App, content: bytes | None) -> None:
    app.configure(VALIDATION_POLICY="partial")
    record = start(app, device("pump-1"), b"broken")
    container = app.container_of(record)
    name = record.report.rpartition("/")[2]
    if content is None:
        container.delete_blob(name)
    else:
        container.upload_blob(name, content, overwrite=True)
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", 1, 0)
    assert "report of the validation cannot be read" in record.failure_reason
    assert app.report(record)["failureReason"] == record.failure_reason
    assert app.report(record)["state"] == "completedWithErrors"
