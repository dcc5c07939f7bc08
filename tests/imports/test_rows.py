"""The record tells the truth: the whole row of each end, as an operator reads it in the table."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest
from azure.data.tables import TableServiceClient

from tests.app import App, device

NAME = "fleet.ndjson"
CA = {"type": "certificateAuthority"}
GOOD = device("pump-1", authentication=CA)


def row(app: App) -> dict[str, Any]:
    """The one import's row; what differs from run to run is replaced by what it is."""
    settings = app.settings
    with TableServiceClient.from_connection_string(settings["ImporterStorage"]) as service:
        table = service.get_table_client(settings["IMPORTS_TABLE"])
        [entity] = table.query_entities("RowKey ge 'import-' and RowKey lt 'import.'")
        markers = list(table.query_entities("RowKey ge 'queue-' and RowKey lt 'queue.'"))
    assert markers == []
    hub, import_id, job_id = entity["hub"], entity["id"], entity.get("jobId", "")
    assert hub == next(iter(app.importer.services.hubs), None) or hub == "(none)"
    assert not job_id or job_id in [job["jobId"] for job in app.hub.jobs]
    return {name: _known(name, value, hub, import_id) for name, value in sorted(entity.items())}


def _known(name: str, value: Any, hub: str, import_id: str) -> Any:
    if isinstance(value, datetime):
        return "<time>"
    if name == "history":
        return [state for state, time in json.loads(value) if datetime.fromisoformat(time).tzinfo]
    if name == "validation":
        return json.loads(value)
    if not isinstance(value, str):
        return value
    if name in ("jobId", "stamp", "uploadEtag"):
        return f"<{name}>"
    return re.sub(r"-\d{13}", "-<time>", value.replace(import_id, "<id>").replace(hub, "<hub>"))


#: What every row has.
UPLOAD = {
    "PartitionKey": "<hub>",
    "RowKey": "import-<time>-<id>",
    "createdAt": "<time>",
    "fences": 0,
    "file": NAME,
    "finishedAt": "<time>",
    "hasLineMap": False,
    "hub": "<hub>",
    "id": "<id>",
    "jobIsPresumed": False,
    "stamp": "<stamp>",
    "tries": 0,
    "updatedAt": "<time>",
    "uploadEtag": "<uploadEtag>",
    "uploadedAt": "<time>",
}
OPENED = {**UPLOAD, "attempts": 1, "marker": "queue-<time>-<time>-<id>"}
COUNTS = {
    "authenticationTypes": {"certificateAuthority": 1},
    "codes": {},
    "format": "ndjson",
    "importModes": {"createOrUpdate": 1},
    "lines": 1,
    "severities": {"error": 0, "info": 0, "warning": 0},
    "truncated": False,
    "valid": 1,
}
#: The file that holds `GOOD` alone.
STAGED = {
    **OPENED,
    "container": "import-<id>",
    "devices": 1,
    "invalidLines": 0,
    "lines": 1,
    "size": 89,
    "validation": COUNTS,
}
RAN = {
    **STAGED,
    "endTimeUtc": "<time>",
    "jobId": "<jobId>",
    "lastStartAt": "<time>",
    "report": "import-<id>/report.json",
    "startTimeUtc": "<time>",
}


def start(app: App, *lines: object) -> None:
    app.upload(NAME, *(lines or (GOOD,)))
    app.deliver(NAME)


def break_down(request: str) -> None:
    if request.endswith("/devices.txt"):
        raise RuntimeError("the disk is on fire")


def cancel(app: App) -> None:
    record = app.record(NAME)
    app.importer.operations.cancel(record)


def test_completed(app: App) -> None:
    start(app)
    app.finish()
    assert row(app) == {
        **RAN,
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
        **RAN,
        "devices": 2,
        "failed": 1,
        "failureReason": "1 of 2 devices failed: 1 x 404001 DeviceNotFound (create the device "
        "first, or use importMode createOrUpdate). The first is 'gone' on line 3. The report "
        "lists them with their lines; retry.ndjson holds these lines. 1 of 3 lines breaks a rule "
        "and was left out; problems.csv lists it.",
        "hasLineMap": True,
        "history": ["validating", "queued", "starting", "running", "completedWithErrors"],
        "imported": 1,
        "invalidLines": 1,
        "jobStatus": "completed",
        "lines": 3,
        "problems": "import-<id>/problems.csv",
        "progress": 100,
        "retry": "import-<id>/retry.ndjson",
        "size": 156,
        "state": "completedWithErrors",
        "validation": {
            **COUNTS,
            "authenticationTypes": {"certificateAuthority": 1, "notGiven": 1},
            "codes": {"json-invalid": 1},
            "importModes": {"createOrUpdate": 1, "delete": 1},
            "lines": 3,
            "severities": {"error": 1, "info": 0, "warning": 0},
            "valid": 2,
        },
    }


def test_rejected(app: App) -> None:
    start(app, GOOD, b"broken")
    assert row(app) == {
        **OPENED,
        "container": "import-<id>",
        "failureReason": "1 of 2 lines breaks a rule: line 2: the line is not JSON (expecting "
        "value at column 1); write one complete JSON object. No device was touched. Correct the "
        "file and upload it again; problems.csv lists what is wrong.",
        "history": ["validating", "rejected"],
        "invalidLines": 1,
        "lines": 2,
        "problems": "import-<id>/problems.csv",
        "report": "import-<id>/report.json",
        "size": 96,
        "state": "rejected",
        "validation": {
            **COUNTS,
            "codes": {"json-invalid": 1},
            "lines": 2,
            "severities": {"error": 1, "info": 0, "warning": 0},
        },
    }


def test_rejected_for_its_folder(app: App) -> None:
    hub = app.hub.connection_string()
    app.configure(IOTHUB=f'{{"east": "{hub}", "west": "{hub}"}}')
    start(app)
    assert row(app) == {
        **UPLOAD,
        "attempts": 0,
        "failureReason": f"The first folder of '{NAME}' names no hub. Upload the file into one of "
        "these folders: east, west.",
        "history": ["rejected"],
        "size": 89,
        "state": "rejected",
    }


def test_superseded(app: App) -> None:
    def delete(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}/{NAME}":
            app.blobs.get_blob_client(app.container, NAME).delete_blob()

    app.before_request = delete
    start(app)
    assert row(app) == {
        **OPENED,
        "failureReason": f"{NAME} was overwritten or deleted before it was read to its end; "
        "nothing was imported.",
        "history": ["validating", "superseded"],
        "size": 89,
        "state": "superseded",
    }


def test_failed_by_the_hub(app: App) -> None:
    app.hub.faults.add("failJob", reason="Storage was lost.")
    start(app)
    app.finish()
    assert row(app) == {
        **RAN,
        "failureReason": "The hub failed the job: Storage was lost. Some devices may have been "
        "imported. Retry the import or upload the file again.",
        "history": ["validating", "queued", "starting", "running", "failed"],
        "jobFailureReason": "Storage was lost.",
        "jobStatus": "failed",
        "progress": 0,
        "state": "failed",
    }


def test_failed_for_the_hub_refused(app: App) -> None:
    message = "No such thing."
    app.hub.faults.add("error", operation="createJob", status=400, code="Odd", message=message)
    start(app)
    assert row(app) == {
        **STAGED,
        "failureReason": "The hub refused the job (HTTP 400 Odd: No such thing.). Upload the file "
        "again once that is mended.",
        "history": ["validating", "queued", "starting", "failed"],
        "lastStartAt": "<time>",
        "report": "import-<id>/report.json",
        "state": "failed",
    }


def test_failed_for_the_hub_refused_too_long(app: App) -> None:
    code = "IotHubUnauthorizedAccess"
    app.hub.faults.add("error", operation="createJob", status=401, code=code, times=2)
    start(app)
    app.clock.ahead_minutes(31)
    app.tick()
    found = row(app)
    assert found.pop("failureReason").startswith(f"The hub refused the job (HTTP 401 {code}")
    assert found == {
        **STAGED,
        "history": ["validating", "queued", "starting", "queued", "starting", "failed"],
        "lastStartAt": "<time>",
        "report": "import-<id>/report.json",
        "state": "failed",
    }


def test_failed_in_validation(app: App) -> None:
    app.configure(MAX_ATTEMPTS="2")
    app.upload(NAME, GOOD)
    app.before_request = break_down
    for _ in range(2):
        app.sweep()
    assert row(app) == {
        **OPENED,
        "attempts": 2,
        "failureReason": "Gave up after 2 attempts to read and stage the file; the last one ended "
        "with RuntimeError: the disk is on fire. Upload the file again once that is mended.",
        "history": ["validating", "failed"],
        "size": 89,
        "state": "failed",
    }


def test_cancelled_before_it_was_staged(app: App) -> None:
    app.upload(NAME, GOOD)
    app.before_request = break_down
    app.sweep()
    app.before_request = lambda _: None
    cancel(app)
    assert row(app) == {
        **OPENED,
        "failureReason": "An operator cancelled the import before it had a job. No device was "
        "touched.",
        "history": ["validating", "cancelled"],
        "size": 89,
        "state": "cancelled",
        "stop": "operator",
    }


def test_cancelled_in_the_queue(app: App) -> None:
    app.hub.occupy_slot()
    start(app)
    cancel(app)
    assert row(app) == {
        **STAGED,
        "failureReason": "An operator cancelled the import before it had a job. No device was "
        "touched.",
        "history": ["validating", "queued", "starting", "queued", "cancelled"],
        "lastStartAt": "<time>",
        "report": "import-<id>/report.json",
        "state": "cancelled",
        "stop": "operator",
    }


def test_cancelled_by_an_operator_while_it_ran(app: App) -> None:
    app.hub.faults.add("hangJob")
    start(app)
    cancel(app)
    app.tick()
    app.finish()
    assert row(app) == {
        **RAN,
        "failureReason": "An operator cancelled the import, and so its job. Some devices may have "
        "been imported. Retry the import or upload the file again.",
        "history": ["validating", "queued", "starting", "running", "cancelled"],
        "jobStatus": "cancelled",
        "progress": 0,
        "state": "cancelled",
        "stop": "operator",
    }


def test_cancelled_at_the_hub(app: App) -> None:
    app.hub.faults.add("hangJob")
    start(app)
    app.hub.jobs.cancel(app.record(NAME).job_id)
    app.finish()
    assert row(app) == {
        **RAN,
        "failureReason": "The job was cancelled at the hub. Some devices may have been imported. "
        "Retry the import or upload the file again.",
        "history": ["validating", "queued", "starting", "running", "cancelled"],
        "jobStatus": "cancelled",
        "progress": 0,
        "state": "cancelled",
    }


def test_a_retry(app: App) -> None:
    app.hub.faults.add("failJob")
    start(app)
    app.finish()
    failed = app.record(NAME)
    app.importer.operations.retry(failed)
    app.finish()
    app.importer.services.ledger._table.delete_entity(failed.hub, failed.row_key)
    expected = {
        **RAN,
        "attempts": 0,
        "failed": 0,
        "history": ["queued", "starting", "running", "completed"],
        "imported": 1,
        "jobStatus": "completed",
        "progress": 100,
        "retryOf": failed.id,
        "state": "completed",
    }
    # The file was validated once, for the import that failed.
    assert row(app) == {
        k: v for k, v in expected.items() if k not in ("invalidLines", "validation")
    }


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_the_report_tells_an_end_without_a_job(app: App, end: str) -> None:
    """Its report is there since the validation, which had a warning to tell."""
    if end == "cancelled":
        app.hub.occupy_slot()
        start(app, device("pump-1"))
        cancel(app)
    else:
        app.hub.faults.add("error", operation="createJob", status=400)
        start(app, device("pump-1"))
    record = app.record(NAME)
    assert record.state == end
    report = app.report(record)
    assert (report["state"], report["failureReason"]) == (end, record.failure_reason)
