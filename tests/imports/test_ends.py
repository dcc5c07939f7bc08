"""Final states of an import, through the app's triggers: contents of row and report."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from azure.core.exceptions import ResourceNotFoundError

from tests.app import App, device

KEYS = {"primaryKey": "bWFkZS11cC1rZXktMDAwMQ==", "secondaryKey": "bWFkZS11cC1rZXktMDAwMg=="}
SAS = {"type": "sas", "symmetricKey": KEYS}


def test_valid_file_is_imported(app: App) -> None:
    app.upload("site/pumps.ndjson", device("pump-1", authentication=SAS), device("pump-2"))
    app.deliver("site/pumps.ndjson")
    app.finish()

    record = app.record("site/pumps.ndjson")
    assert record.state == "completed"
    assert record.failure_reason == ""
    assert (record.lines, record.invalid_lines) == (2, 0)
    assert (record.devices, record.imported, record.failed) == (2, 2, 0)
    [job] = app.hub.jobs
    assert (record.job.id, record.job.status) == (job["jobId"], "completed")
    assert record.job.failure_reason == ""
    assert record.job.progress == 100
    assert record.job.start_time_utc is not None
    assert record.job.end_time_utc is not None
    assert [state for state, _ in record.history] == [
        "validating",
        "queued",
        "starting",
        "running",
        "completed",
    ]
    assert record.finished_at == record.history[-1][1]
    assert (record.lease.owner, record.lease.until) == ("", None)
    stored = app.hub.registry.get("pump-1")
    assert stored is not None
    assert stored["authentication"]["symmetricKey"] == KEYS
    report = app.report(record)
    assert report["state"] == "completed"
    assert report["job"]["jobId"] == record.job.id
    assert report["devices"] == {
        "lines": 2,
        "invalidLines": 0,
        "valid": 2,
        "imported": 2,
        "failed": 0,
        "unchanged": None,
    }


def test_invalid_file_is_rejected(app: App) -> None:
    app.upload(
        "broken.ndjson",
        device("pump-1"),
        b"",
        {"id": "pump-2"},
        device("pump 3"),
        b'{"id":',
        device("pump-1"),
    )
    app.deliver("broken.ndjson")

    record = app.record("broken.ndjson")
    assert record.state == "rejected"
    assert (record.lines, record.invalid_lines, record.devices) == (5, 4, None)
    assert (record.imported, record.failed) == (0, 0)
    for expected in ("4 of 5 lines", "line 3: status ", "line 4: id ", "line 5: ", "problems.csv"):
        assert expected in record.failure_reason
    # Only the first three problems are quoted.
    assert "line 6" not in record.failure_reason
    report = app.report(record)
    problems = report["validation"]["problems"]
    assert [(p["line"], p["code"]) for p in problems if p["severity"] == "error"] == [
        (3, "status-missing"),
        (4, "id-characters"),
        (5, "json-invalid"),
        (6, "id-duplicate"),
    ]
    assert report["validation"]["codes"]["id-duplicate"] == 1
    assert len(app.hub.jobs) == 0
    assert len(app.hub.registry) == 0
    with pytest.raises(ResourceNotFoundError):
        app.container_of(record).download_blob("devices.txt")


def test_failed_devices_are_reported_with_their_lines(app: App) -> None:
    app.hub.registry.put(device("old-1"))
    app.hub.registry.put(device("old-2"))
    app.upload(
        "partly.ndjson",
        device("new-1", importMode="create"),
        b"",
        device("old-2", importMode="create"),
        device("old-1", importMode="create"),
        device("gone", importMode="delete"),
    )
    app.deliver("partly.ndjson")
    app.finish()

    record = app.record("partly.ndjson")
    assert record.state == "completedWithErrors"
    assert record.job.status == "completed"
    assert (record.devices, record.imported, record.failed) == (4, 1, 3)
    for expected in (
        "3 of 4 devices failed: 2 x 409001 DeviceAlreadyExists (",
        "1 x 404001 DeviceNotFound (",
        "'old-2' on line 3",
        "retry.ndjson",
    ):
        assert expected in record.failure_reason
    failures = app.report(record)["failures"]
    assert [(f["line"], f["id"], f["code"]) for f in failures["devices"]] == [
        (3, "old-2", "409001 DeviceAlreadyExists"),
        (4, "old-1", "409001 DeviceAlreadyExists"),
        (5, "gone", "404001 DeviceNotFound"),
    ]
    assert failures["codes"][0]["count"] == 2
    assert not failures["truncated"]


def test_line_that_the_hub_cannot_parse_is_reported(app: App) -> None:
    """The hub then names no device, but quotes the line including its keys.

    No known line passes the validation and has this result; other lines may.
    """
    authentication = {"type": "sas", "symmetricKey": KEYS}
    line = device("pump-2", authentication=authentication)
    app.upload("java.ndjson", device("pump-1"), line)
    refused = {**line, "authentication": {**authentication, "type": "SELF_SIGNED"}}
    app.deliver_unvalidated("java.ndjson", device("pump-1"), refused)
    app.finish()

    record = app.record("java.ndjson")
    assert record.state == "completedWithErrors"
    assert "1 x 400012 DeserializationError" in record.failure_reason
    [failure] = app.report(record)["failures"]["devices"]
    assert failure["line"] == 2
    assert "SELF_SIGNED" in failure["message"]
    assert KEYS["primaryKey"] not in str(app.report(record))


def test_failures_beyond_the_report_limit_are_counted(app: App) -> None:
    app.configure(MAX_REPORTED_PROBLEMS="2")
    app.upload("gone.ndjson", *(device(f"gone-{n}", importMode="delete") for n in range(5)))
    app.deliver("gone.ndjson")
    app.finish()

    record = app.record("gone.ndjson")
    assert (record.imported, record.failed) == (0, 5)
    failures = app.report(record)["failures"]
    assert len(failures["devices"]) == 2
    assert failures["truncated"]


def test_job_failed_by_the_hub(app: App) -> None:
    app.hub.faults.add("failJob", reason="Storage was lost.")
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.finish()

    record = app.record("pumps.ndjson")
    assert (record.state, record.job.status) == ("failed", "failed")
    assert record.job.failure_reason == "Storage was lost."
    assert (record.imported, record.failed) == (None, None)
    for expected in ("Storage was lost.", "not known", "retry the import"):
        assert expected in record.failure_reason
    assert app.report(record)["job"]["failureReason"] == "Storage was lost."


def test_job_that_fails_without_a_reason_after_its_sas_expired(app: App) -> None:
    app.hub.faults.add("failJob", reason="")
    app.configure(SAS_LIFETIME_HOURS="1", JOB_DEADLINE_HOURS="1")
    app.clock.ahead_hours(-2)
    app.upload("pumps.ndjson", device("pump-1"))
    # The hub would reject an expired SAS when the job is created.
    app.configure(JOB_STORAGE_AUTHENTICATION="identityBased")
    app.deliver("pumps.ndjson")
    app.configure(JOB_STORAGE_AUTHENTICATION="keyBased")
    app.finish()

    record = app.record("pumps.ndjson")
    assert record.state == "failed"
    assert "its SAS had expired by then. Raise SAS_LIFETIME_HOURS." in record.failure_reason


def test_job_cancelled_at_the_hub(app: App) -> None:
    app.hub.faults.add("hangJob")
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.tick()
    record = app.record("pumps.ndjson")
    assert record.state == "running"
    app.hub.jobs.cancel(record.job.id)
    app.finish()

    record = app.record("pumps.ndjson")
    assert (record.state, record.job.status) == ("cancelled", "cancelled")
    assert record.failure_reason.startswith("The job was cancelled at the hub.")


def test_job_deleted_by_the_hub_with_an_error_log(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"), device("gone", importMode="delete"))
    app.deliver("pumps.ndjson")
    app.hub.wait_idle()
    app.hub.faults.add("forgetJob")
    app.finish()

    record = app.record("pumps.ndjson")
    assert record.state == "completedWithErrors"
    assert (record.imported, record.failed) == (1, 1)


def test_job_deleted_by_the_hub_without_an_error_log(app: App) -> None:
    app.hub.faults.add("hangJob")
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.hub.faults.add("forgetJob")
    app.tick()
    record = app.record("pumps.ndjson")
    assert record.state == "running"
    assert "30 min" in record.failure_reason
    app.clock.ahead_minutes(31)
    app.tick()

    record = app.record("pumps.ndjson")
    assert (record.state, record.imported, record.failed) == ("failed", None, None)
    # However slow the machine is.
    assert re.search(r"3\d min after it was started", record.failure_reason)


def test_job_older_than_the_job_history_of_the_hub(app: App) -> None:
    app.hub.faults.add("hangJob")
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.hub.faults.add("forgetJob")
    app.clock.ahead_hours(31 * 24)
    app.tick()
    record = app.record("pumps.ndjson")
    assert record.state == "failed"
    assert "31 d after it was started" in record.failure_reason


def test_job_deleted_by_the_hub_with_a_late_error_log(app: App) -> None:
    app.hub.faults.add("hangJob")
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.hub.faults.add("forgetJob")
    app.tick()
    app.container_of(app.record("pumps.ndjson")).upload_blob("importErrors.log", b"")
    app.tick()
    assert app.record("pumps.ndjson").state == "completed"


@pytest.mark.parametrize("hub", [{"job_seconds": 0.5}], indirect=True)
def test_progress_of_a_job_is_recorded(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    seen = set()
    while not (record := app.record("pumps.ndjson")).state.is_final:
        seen.add((record.state.value, record.job.status))
        app.tick()
    assert ("running", "running") in seen


def test_final_record_does_not_change(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.finish()
    before = app.record("pumps.ndjson")
    app.deliver("pumps.ndjson")
    app.tick()
    assert app.record("pumps.ndjson") == before
    with pytest.raises(ValueError, match="is final"):
        app.importer.services.store.update(replace(before, lines=1))
