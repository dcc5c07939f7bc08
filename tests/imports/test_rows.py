"""The complete table row of each final state."""

from __future__ import annotations

from shared.device_files.rules import Rule
from shared.imports.store.rows import to_record
from tests.app import App, device, fail_writes
from tests.imports.pinned_rows import (
    COUNTS,
    GOOD,
    HAD_JOB,
    JOB_STARTED,
    NAME,
    NOTHING_APPLIED,
    UPLOAD,
    VALIDATED,
    assert_reason,
    cancel,
    row,
    start,
)


def test_completed(app: App) -> None:
    start(app)
    app.finish()
    assert row(app) == {
        **JOB_STARTED,
        "failed": 0,
        "history": ["validating", "queued", "starting", "running", "completed"],
        "imported": 1,
        "jobStatus": "completed",
        "progress": 100,
        "state": "completed",
    }


def test_completed_with_errors(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    start(app, GOOD, b"broken", device("gone", importMode="delete"))
    app.finish()
    assert row(app) == {
        **JOB_STARTED,
        "devices": 2,
        "failed": 1,
        "failureReason": "<failureReason>",
        "hasLineMap": True,
        "history": ["validating", "queued", "starting", "running", "completedWithErrors"],
        "imported": 1,
        "invalidLines": 1,
        "jobStatus": "completed",
        "lines": 3,
        "problems": "import-<id>/problems.csv",
        "progress": 100,
        "retry": "import-<id>/retry-<hex>.ndjson",
        "size": 156,
        "stagedBytes": 150,
        "state": "completedWithErrors",
        "validation": {
            **COUNTS,
            "authenticationTypes": {"certificateAuthority": 1, "notGiven": 1},
            "codes": {"json-invalid": 1},
            "importModes": {"createOrUpdate": 1, "delete": 1},
            "lines": 3,
            "severities": {"error": 1, "info": 0, "warning": 0},
            "valid": 2,
            "leftOut": 0,
        },
    }
    assert_reason(
        app,
        "1 of 2 devices failed: 1 x 404001 DeviceNotFound (",
        "'gone' on line 3",
        "retry.ndjson",
        "1 of 3 lines",
        "problems.csv",
    )


def test_rejected(app: App) -> None:
    start(app, GOOD, b"broken")
    assert row(app) == {
        **VALIDATED,
        **NOTHING_APPLIED,
        "container": "import-<id>",
        "failureReason": "<failureReason>",
        "history": ["validating", "rejected"],
        "invalidLines": 1,
        "lines": 2,
        "problems": "import-<id>/problems.csv",
        "report": "import-<id>/report-<hex>.json",
        "size": 96,
        "state": "rejected",
        "validation": {
            **COUNTS,
            "codes": {"json-invalid": 1},
            "lines": 2,
            "severities": {"error": 1, "info": 0, "warning": 0},
        },
    }
    assert_reason(
        app,
        "1 of 2 lines",
        f"line 2: {Rule.JSON_INVALID.meaning}",
        "No device was changed",
        "problems.csv",
    )


def test_rejected_for_its_folder(app: App) -> None:
    app.route(east=app.hub)
    start(app)
    assert row(app) == {
        **UPLOAD,
        **NOTHING_APPLIED,
        "validationAttempts": 0,
        "failureReason": "<failureReason>",
        "history": ["rejected"],
        "size": 89,
        "state": "rejected",
    }
    assert_reason(app, f"'{NAME}'", "these folders: east.")


def test_superseded(app: App) -> None:
    def delete(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}/{NAME}":
            app.blobs.get_blob_client(app.container, NAME).delete_blob()

    app.before_request = delete
    start(app)
    assert row(app) == {
        **VALIDATED,
        **NOTHING_APPLIED,
        "failureReason": "<failureReason>",
        "history": ["validating", "superseded"],
        "size": 89,
        "state": "superseded",
    }
    assert_reason(app, "overwritten or deleted")


def test_failed_by_the_hub(app: App) -> None:
    app.hub.faults.add("failJob", reason="Storage was lost.")
    start(app)
    app.finish()
    assert row(app) == {
        **JOB_STARTED,
        "failureReason": "<failureReason>",
        "history": ["validating", "queued", "starting", "running", "failed"],
        "jobFailureReason": "Storage was lost.",
        "jobStatus": "failed",
        "progress": 0,
        "state": "failed",
    }
    assert_reason(app, "Storage was lost.", "not known how many devices were imported")


def test_failed_after_hub_rejection(app: App) -> None:
    message = "No such thing."
    app.hub.faults.add("error", operation="createJob", status=400, code="Odd", message=message)
    start(app)
    assert row(app) == {
        **HAD_JOB,
        **NOTHING_APPLIED,
        "failureReason": "<failureReason>",
        "history": ["validating", "queued", "starting", "failed"],
        "lastStartAt": "<time>",
        "report": "import-<id>/report-<hex>.json",
        "state": "failed",
    }
    assert_reason(app, "HTTP 400 Odd: No such thing.")


def test_failed_after_hub_rejections_until_the_deadline(app: App) -> None:
    code = "IotHubUnauthorizedAccess"
    app.hub.faults.add("error", operation="createJob", status=401, code=code, times=2)
    start(app)
    app.clock.ahead_minutes(31)
    app.tick()
    actual = row(app)
    assert_reason(app, f"HTTP 401 {code}")
    assert actual == {
        **HAD_JOB,
        **NOTHING_APPLIED,
        "failureReason": "<failureReason>",
        "history": ["validating", "queued", "starting", "failed"],
        "lastStartAt": "<time>",
        "report": "import-<id>/report-<hex>.json",
        "state": "failed",
    }


def test_failed_in_validation(app: App) -> None:
    app.configure(MAX_ATTEMPTS="2")
    app.upload(NAME, GOOD)
    app.before_request = fail_writes
    for _ in range(2):
        app.sweep()
    assert row(app) == {
        **VALIDATED,
        **NOTHING_APPLIED,
        "validationAttempts": 2,
        "failureReason": "<failureReason>",
        "history": ["validating", "failed"],
        "size": 89,
        "state": "failed",
    }
    assert_reason(app, "failed 2 times", "RuntimeError: the disk is on fire.")


def test_cancelled_before_it_was_staged(app: App) -> None:
    app.upload(NAME, GOOD)
    app.before_request = fail_writes
    app.sweep()
    app.before_request = lambda _: None
    cancel(app)
    assert row(app) == {
        **VALIDATED,
        **NOTHING_APPLIED,
        "failureReason": "<failureReason>",
        "acts": ["cancel"],
        "history": ["validating", "cancelled"],
        "size": 89,
        "state": "cancelled",
        "cancelReason": "operator",
    }
    assert_reason(app, "An operator cancelled", "No device was changed")


def test_cancelled_in_the_queue(app: App) -> None:
    app.hub.occupy_slot()
    start(app)
    cancel(app)
    assert row(app) == {
        **HAD_JOB,
        **NOTHING_APPLIED,
        "failureReason": "<failureReason>",
        "acts": ["cancel"],
        "history": ["validating", "queued", "cancelled"],
        "lastStartAt": "<time>",
        "report": "import-<id>/report-<hex>.json",
        "state": "cancelled",
        "cancelReason": "operator",
    }
    assert_reason(app, "An operator cancelled", "No device was changed")


def test_cancelled_by_an_operator_while_it_ran(app: App) -> None:
    app.hub.faults.add("hangJob")
    start(app)
    cancel(app)
    app.tick()
    app.finish()
    assert row(app) == {
        **JOB_STARTED,
        "failureReason": "<failureReason>",
        "acts": ["cancel"],
        "history": ["validating", "queued", "starting", "running", "cancelled"],
        "jobStatus": "cancelled",
        "progress": 0,
        "state": "cancelled",
        "cancelReason": "operator",
    }
    assert_reason(app, "An operator cancelled", "not known how many devices were imported")


def test_cancelled_at_the_hub(app: App) -> None:
    app.hub.faults.add("hangJob")
    start(app)
    app.hub.jobs.cancel(app.record(NAME).job.id)
    app.finish()
    assert row(app) == {
        **JOB_STARTED,
        "failureReason": "<failureReason>",
        "history": ["validating", "queued", "starting", "running", "cancelled"],
        "jobStatus": "cancelled",
        "progress": 0,
        "state": "cancelled",
    }
    assert_reason(app, "cancelled at the hub", "not known how many devices were imported")


def test_completed_retry(app: App) -> None:
    app.hub.faults.add("failJob")
    start(app)
    app.finish()
    failed = app.record(NAME)
    app.importer.actions.retry(failed)
    app.finish()
    app.table.delete_entity(failed.hub, failed.row_key)
    expected = {
        **JOB_STARTED,
        "validationAttempts": 0,
        "failed": 0,
        "acts": ["retry"],
        "history": ["queued", "starting", "running", "completed"],
        "imported": 1,
        "jobStatus": "completed",
        "progress": 100,
        "retryOf": failed.id,
        "state": "completed",
    }
    # The file was validated once, for the failed import.
    assert row(app) == {k: v for k, v in expected.items() if k != "validation"}


def test_a_null_that_storage_returns_for_a_selected_column(app: App) -> None:
    """As if the row had no such column."""
    app.upload(NAME, GOOD)
    app.deliver(NAME)
    [entity] = app.table.query_entities("RowKey ge 'import-' and RowKey lt 'import.'")
    record = to_record(entity)
    for column in ("failureReason", "report", "finishedAt", "progress", "jobRecord"):
        entity.setdefault(column, None)
    assert to_record(entity) == record
