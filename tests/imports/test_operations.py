"""Operators cancel an import, whatever it is doing."""

from __future__ import annotations

import pytest

from shared.imports.operations import NotPossibleError
from shared.imports.record import ImportRecord
from tests.app import NO_ECHO, App, device

NAME = "pumps.ndjson"
BEFORE_A_JOB = "An operator cancelled the import before it had a job. No device was touched."
BY_AN_OPERATOR = (
    "An operator cancelled the import, and so its job. Some devices may have been imported. "
    "Retry the import or upload the file again."
)
TOO_LATE = "An operator cancelled the import, but its job had run to its end."


def start(app: App, name: str = NAME, *lines: object) -> ImportRecord:
    app.upload(name, *(lines or (device("pump-1"),)))
    app.deliver(name)
    return app.record(name)


def cancel(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.operations.cancel(record)


def test_cancel_while_the_file_is_read(app: App) -> None:
    app.upload(NAME, *(device(f"pump-{n}", tags={"pad": "x" * 2000}) for n in range(2500)))
    reads: list[str] = []

    def cancel_in_between(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}/{NAME}":
            reads.append(request)
            if len(reads) == 2:
                assert cancel(app, app.record(NAME)).state == "cancelled"

    app.before_request = cancel_in_between
    app.deliver(NAME)
    app.before_request = lambda _: None
    assert len(reads) >= 2
    app.deliver(NAME)
    app.sweep()
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.failure_reason) == ("cancelled", BEFORE_A_JOB)
    assert len(app.hub.jobs) == 0


def test_cancel_in_the_queue(app: App) -> None:
    app.hub.occupy_slot()
    start(app, "first.ndjson")
    record = cancel(app, start(app))
    assert (record.state, record.failure_reason) == ("cancelled", BEFORE_A_JOB)
    assert record.place is None
    app.hub.free_slot()
    app.finish()
    assert app.record("first.ndjson").state == "completed"
    assert len(app.hub.jobs) == 2


def test_cancel_of_the_head_lets_the_next_one_start(app: App) -> None:
    app.configure(BACKOFF_SECONDS="600", MAX_BACKOFF_SECONDS="600")
    app.hub.occupy_slot()
    head = start(app, "first.ndjson")
    start(app)
    app.hub.free_slot()
    cancel(app, head)
    app.finish()
    assert app.record("first.ndjson").state == "cancelled"
    assert app.record(NAME).state == "completed"


def test_cancel_of_a_start_that_never_reached_the_hub(app: App) -> None:
    app.hub.faults.add("refuse", operation="createJob")
    record = start(app)
    assert record.state == "starting"
    assert cancel(app, record).state == "starting"
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.failure_reason) == ("cancelled", BEFORE_A_JOB)
    assert len(app.hub.jobs) == 0


def test_cancel_of_a_start_whose_answer_was_lost(app: App) -> None:
    app.hub.faults.add("hangJob")
    app.hub.faults.add("dropReply", operation="createJob")
    record = start(app)
    assert record.state == "starting"
    cancel(app, record)
    app.tick()
    assert app.record(NAME).state == "running"
    app.tick()
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.job_status) == ("cancelled", "cancelled")
    assert record.failure_reason == BY_AN_OPERATOR


def test_cancel_at_the_moment_of_the_start(app: App) -> None:
    def cancel_at_creation(request: str) -> None:
        if request.endswith("/jobs/create"):
            assert cancel(app, app.record(NAME)).state == "starting"

    app.hub.faults.add("hangJob")
    app.before_request = cancel_at_creation
    start(app)
    app.before_request = lambda _: None
    app.clock.ahead_minutes(6)
    for _ in range(2):
        app.tick()
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.job_status) == ("cancelled", "cancelled")
    assert len(app.hub.jobs) == 1


@pytest.mark.parametrize("hub", [{"choices": NO_ECHO}], indirect=True)
def test_cancel_of_an_import_whose_job_turns_out_to_be_another_s(app: App) -> None:
    app.hub.faults.add("refuse", operation="createJob")
    record = start(app)
    app.start_foreign_import(device("theirs"))
    app.hub.wait_idle()
    cancel(app, record)
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.failure_reason) == ("cancelled", BEFORE_A_JOB)
    assert len(app.hub.jobs) == 1


def test_cancel_of_a_running_import_waits_for_the_hub(app: App) -> None:
    app.hub.faults.add("hangJob")
    record = start(app)
    for _ in range(2):
        assert cancel(app, record).state == "running"
    assert app.hub.jobs[0]["status"] == "running"
    app.tick()
    assert app.hub.jobs[0]["status"] == "cancelled"
    record = app.record(NAME)
    assert record.state == "running"
    assert record.failure_reason == (
        "An operator cancelled the import; waits for the hub to end its job."
    )
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.job_status) == ("cancelled", "cancelled")
    assert record.failure_reason == BY_AN_OPERATOR
    assert app.hub.requests["cancelJob"] == 1


@pytest.mark.parametrize("fault", ["dropReply", "refuse", "throttle"])
def test_cancel_survives_trouble_at_the_hub(app: App, fault: str) -> None:
    app.hub.faults.add("hangJob")
    app.hub.faults.add(fault, operation="cancelJob")
    cancel(app, start(app))
    app.tick()
    record = app.record(NAME)
    assert record.state == "running"
    assert record.failure_reason.startswith("The job runs, but the hub does not tell how it goes")
    app.tick()
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.failure_reason) == ("cancelled", BY_AN_OPERATOR)


def test_cancel_that_comes_too_late(app: App) -> None:
    record = start(app)
    app.hub.wait_idle()
    assert cancel(app, record).state == "running"
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.imported) == ("completed", 1)
    assert record.failure_reason == TOO_LATE
    assert app.hub.requests["cancelJob"] == 0


def test_what_is_final_cannot_be_cancelled(app: App) -> None:
    record = start(app)
    app.finish()
    with pytest.raises(NotPossibleError, match=r"is completed, which is final\.$"):
        cancel(app, record)
