"""Cancel an import in each state."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iothub_emulator import HubEmulator
from shared.errors import NotPossibleError
from shared.imports.model.record import ImportRecord
from tests.app import NO_ECHO, App, device, fail_writes

NAME = "pumps.ndjson"


def start(app: App, name: str = NAME, *lines: object) -> ImportRecord:
    app.upload(name, *(lines or (device("pump-1"),)))
    app.deliver(name)
    return app.record(name)


def cancel(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.actions.cancel(record)


def assert_nothing_was_applied(record: ImportRecord) -> None:
    assert (record.state, record.imported, record.failed) == ("cancelled", 0, 0)
    assert "An operator cancelled the import before it had a job" in record.failure_reason


def assert_counts_are_unknown(record: ImportRecord) -> None:
    assert (record.state, record.imported, record.failed) == ("cancelled", None, None)
    assert "An operator cancelled the import" in record.failure_reason


def test_cancel_during_validation(app: App) -> None:
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
    assert_nothing_was_applied(app.record(NAME))
    assert len(app.hub.jobs) == 0


def test_cancel_of_a_queued_import(app: App) -> None:
    app.hub.occupy_slot()
    start(app, "first.ndjson")
    record = cancel(app, start(app))
    assert_nothing_was_applied(record)
    assert record.queue_position is None
    app.hub.free_slot()
    app.finish()
    assert app.record("first.ndjson").state == "completed"
    assert len(app.hub.jobs) == 2


def test_cancel_of_the_first_queued_import_starts_the_next(app: App) -> None:
    app.configure(BACKOFF_SECONDS="600", MAX_BACKOFF_SECONDS="600")
    app.hub.occupy_slot()
    head = start(app, "first.ndjson")
    start(app)
    app.hub.free_slot()
    cancel(app, head)
    app.finish()
    assert app.record("first.ndjson").state == "cancelled"
    assert app.record(NAME).state == "completed"


def test_cancel_of_a_starting_import_whose_request_was_lost(app: App) -> None:
    app.hub.faults.add("refuse", operation="createJob")
    record = start(app)
    assert record.state == "starting"
    assert cancel(app, record).state == "starting"
    app.tick()
    # A job of the lost request may still appear and must then be cancelled.
    assert app.record(NAME).state == "starting"
    app.pass_minutes(11)
    app.finish()
    assert_counts_are_unknown(app.record(NAME))
    assert len(app.hub.jobs) == 0
    assert app.hub.requests["createJob"] == 1


def test_cancel_of_a_queued_import_after_a_lost_response(app: App) -> None:
    """The lost request may still arrive: a tick checks for its job before the final state."""
    app.hub.faults.add("refuse", operation="createJob")
    start(app)
    app.hub.occupy_slot()
    app.tick()
    app.pass_minutes(11)
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.staged.generation) == ("queued", 1)
    assert (cancel(app, record).state, cancel(app, record).cancel_reason) == ("queued", "operator")
    app.hub.free_slot()
    app.finish()
    assert_counts_are_unknown(app.record(NAME))
    assert len(app.hub.registry) == 0


def test_cancel_of_a_queued_import_whose_job_was_created(app: App) -> None:
    app.hub.faults.add("hangJob")
    app.hub.faults.add("dropReply", operation="createJob")
    app.hub.job_answers.list_lag = timedelta(hours=1)
    start(app)
    app.tick()
    app.pass_minutes(11)
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.staged.generation) == ("queued", 1)
    assert cancel(app, record).state == "queued"
    app.hub.job_answers.list_lag = timedelta()
    for _ in range(4):
        app.tick()
    record = app.record(NAME)
    assert record.job.status == "cancelled"
    assert_counts_are_unknown(record)
    assert len(app.hub.jobs) == 1


def test_cancel_of_a_starting_import_after_a_lost_response(app: App) -> None:
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
    assert record.job.status == "cancelled"
    assert_counts_are_unknown(record)


def test_cancel_while_the_job_is_created(app: App) -> None:
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
    assert (record.state, record.job.status) == ("cancelled", "cancelled")
    assert len(app.hub.jobs) == 1


@pytest.mark.parametrize("hub", [{"choices": NO_ECHO}], indirect=True)
def test_cancel_of_an_import_whose_job_is_ambiguous(app: App) -> None:
    """The job has ended, and it is unknown whether it belonged to this import."""
    app.hub.faults.add("refuse", operation="createJob")
    record = start(app)
    app.start_foreign_import(device("theirs"))
    app.hub.wait_idle()
    cancel(app, record)
    app.tick()
    assert app.record(NAME).state == "starting"
    app.pass_minutes(11)
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.imported, record.failed) == ("failed", None, None)
    assert "It is not known whether the devices were applied" in record.failure_reason
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
    assert "An operator cancelled the import" in record.failure_reason
    app.tick()
    record = app.record(NAME)
    assert record.job.status == "cancelled"
    assert_counts_are_unknown(record)
    assert app.hub.requests["cancelJob"] == 1


@pytest.mark.parametrize("fault", ["dropReply", "refuse", "throttle"])
def test_cancel_is_retried_after_a_hub_error(app: App, fault: str) -> None:
    app.hub.faults.add("hangJob")
    app.hub.faults.add(fault, operation="cancelJob")
    cancel(app, start(app))
    app.tick()
    record = app.record(NAME)
    assert record.state == "running"
    assert record.failure_reason
    app.tick()
    app.finish()
    assert_counts_are_unknown(app.record(NAME))


def test_cancel_after_the_job_completed(app: App) -> None:
    record = start(app)
    app.hub.wait_idle()
    assert cancel(app, record).state == "running"
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.imported) == ("completed", 1)
    assert "its job had already completed" in record.failure_reason
    assert app.hub.requests["cancelJob"] == 0


def test_final_import_cannot_be_cancelled(app: App) -> None:
    record = start(app)
    app.finish()
    with pytest.raises(NotPossibleError, match=r"is completed, which is final\.$"):
        cancel(app, record)


@pytest.mark.parametrize("state", ["validating", "queued", "running"])
def test_cancel_of_an_import_whose_hub_was_removed(
    app: App, other_hub: HubEmulator, state: str
) -> None:
    """The hub cannot be queried: the import becomes final immediately, with unknown counts."""
    app.route(east=app.hub, west=other_hub)
    app.upload("west/pumps.ndjson", device("pump-1"))
    if state == "validating":
        app.before_request = fail_writes
        app.sweep()
        app.before_request = lambda _: None
    else:
        if state == "queued":
            other_hub.occupy_slot()
        other_hub.faults.add("hangJob")
        app.deliver("west/pumps.ndjson")
    app.route(east=app.hub)
    [record] = app.records(other_hub.address)
    assert record.state == state
    cancelled = cancel(app, record)
    assert cancelled.state == "cancelled"
    if state == "running":
        assert_counts_are_unknown(cancelled)
        assert other_hub.address in cancelled.failure_reason
    else:
        assert_nothing_was_applied(cancelled)
    app.route(east=app.hub, west=other_hub)
    app.tick()
    assert app.records(other_hub.address) == [cancelled]
    assert other_hub.requests["cancelJob"] == 0
