"""The sweep: abandoned work, inconsistent queue rows, queue positions, and request counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from azure.data.tables import TableClient

from shared.errors import TemporaryError
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.workflow import upload_scan as uploads
from shared.imports.workflow.registration import Upload, register
from tests.app import App, device, fail_writes


def table(app: App) -> TableClient:
    return app.table


def terminate(request: str) -> None:
    """Terminate the process while it stages a file."""
    if request.endswith("/devices.txt"):
        raise KeyboardInterrupt


def start(app: App, *names: str) -> None:
    for name in names:
        app.upload(name, device(name))
        app.deliver(name)


def start_and_terminate(app: App, name: str) -> None:
    app.before_request = terminate
    with pytest.raises(KeyboardInterrupt):
        start(app, name)
    app.before_request = lambda _: None


def queue_positions(app: App) -> list[tuple[str, int | None]]:
    return sorted((record.file, record.queue_position) for record in app.records())


def test_validation_of_a_terminated_process_is_taken_over(app: App) -> None:
    start_and_terminate(app, "pumps.ndjson")
    app.sweep()
    assert app.record("pumps.ndjson").state == "validating"
    app.clock.ahead_minutes(6)
    app.sweep()
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.validation_attempts, record.imported) == ("completed", 2, 1)
    assert record.staged.container == f"import-{record.id}-2"


def test_sweep_of_a_terminated_process_is_taken_over(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    app.before_request = terminate
    with pytest.raises(KeyboardInterrupt):
        app.sweep()
    app.before_request = lambda _: None
    app.clock.ahead_minutes(6)
    app.sweep()
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.validation_attempts) == ("completed", 2)


def test_file_that_terminates_every_process_fails_eventually(app: App) -> None:
    app.configure(MAX_ATTEMPTS="2")
    start_and_terminate(app, "pumps.ndjson")
    app.clock.ahead_minutes(6)
    app.before_request = terminate
    with pytest.raises(KeyboardInterrupt):
        app.sweep()
    app.before_request = lambda _: None
    app.clock.ahead_minutes(12)
    start(app, "next.ndjson")
    assert app.record("next.ndjson").state == "queued"
    app.sweep()
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.imported, record.failed) == ("failed", 0, 0)
    for expected in ("failed 2 times", "terminated", "functionTimeout"):
        assert expected in record.failure_reason
    assert app.record("next.ndjson").state == "completed"


def test_error_is_reported_until_an_attempt_succeeds(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    app.before_request = fail_writes
    app.sweep()
    record = app.record("pumps.ndjson")
    assert (record.state, record.validation_attempts, record.lease.owner) == ("validating", 1, "")
    assert "RuntimeError: the disk is on fire" in record.failure_reason
    app.before_request = lambda _: None
    app.sweep()
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.validation_attempts, record.failure_reason) == ("completed", 2, "")


def test_error_before_a_terminated_attempt_is_reported_with_it(app: App) -> None:
    app.configure(MAX_ATTEMPTS="2")
    app.upload("pumps.ndjson", device("pump-1"))
    app.before_request = fail_writes
    app.sweep()
    app.before_request = terminate
    with pytest.raises(KeyboardInterrupt):
        app.sweep()
    app.before_request = lambda _: None
    app.clock.ahead_minutes(6)
    app.sweep()
    record = app.record("pumps.ndjson")
    assert record.state == "failed"
    assert "failed 2 times" in record.failure_reason
    assert "RuntimeError: the disk is on fire" in record.failure_reason


def test_unreadable_file_does_not_block_later_uploads(app: App) -> None:
    app.upload("1.ndjson", device("pump-1"))
    app.upload("2.ndjson", device("pump-2"))
    failed: list[str] = []

    def fail_once(request: str) -> None:
        if request.endswith("/devices.txt") and not failed:
            failed.append(request)
            raise RuntimeError("the disk is on fire")

    app.before_request = fail_once
    app.sweep()
    assert {record.file: record.state.value for record in app.records()} == {
        "1.ndjson": "validating",
        "2.ndjson": "queued",
    }


def test_queue_row_without_a_record_is_deleted(app: App) -> None:
    app.hub.occupy_slot()
    start(app, "1.ndjson", "2.ndjson")
    deleted = app.record("1.ndjson")
    table(app).delete_entity(deleted.hub, deleted.row_key)
    app.hub.free_slot()
    app.sweep()
    app.finish()
    assert app.record("2.ndjson").state == "completed"
    assert queue_rows(app, deleted.hub) == []


def test_queue_row_of_a_final_import_is_deleted(app: App) -> None:
    start(app, "1.ndjson")
    app.finish()
    final = app.record("1.ndjson")
    app.importer.services.queue_rows.restore(final)
    app.upload("2.ndjson", device("pump-2"))
    app.sweep()
    app.finish()
    assert app.record("2.ndjson").state == "completed"
    assert app.record("1.ndjson") == final
    assert queue_rows(app, final.hub) == []


@pytest.mark.parametrize("state", ["validating", "queued", "running"])
def test_missing_queue_row_is_restored(app: App, state: str) -> None:
    if state == "validating":
        app.before_request = fail_writes
        app.upload("pumps.ndjson", device("pump-1"))
        app.sweep()
        app.before_request = lambda _: None
    else:
        if state == "queued":
            app.hub.occupy_slot()
        start(app, "pumps.ndjson")
        app.hub.free_slot()
    record = app.record("pumps.ndjson")
    assert record.state == state
    table(app).delete_entity(record.hub, record.queue_key)
    app.tick()
    if state == "validating":
        assert app.record("pumps.ndjson") == record
    app.sweep()
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"
    assert queue_rows(app, record.hub) == []


def test_queue_positions_are_stored_on_entry_and_updated_by_the_sweep(app: App) -> None:
    app.configure(JOB_FILES="1")
    app.hub.occupy_slot()
    start(app, "1.ndjson", "2.ndjson", "3.ndjson", "4.ndjson")
    assert queue_positions(app) == [
        ("1.ndjson", 1),
        ("2.ndjson", 2),
        ("3.ndjson", 3),
        ("4.ndjson", 4),
    ]
    cancel(app, app.record("2.ndjson"))
    assert queue_positions(app) == [
        ("1.ndjson", 1),
        ("2.ndjson", None),
        ("3.ndjson", 3),
        ("4.ndjson", 4),
    ]
    app.sweep()
    assert queue_positions(app) == [
        ("1.ndjson", 1),
        ("2.ndjson", None),
        ("3.ndjson", 2),
        ("4.ndjson", 3),
    ]
    app.hub.free_slot()
    app.finish()
    assert [position for _, position in queue_positions(app)] == [None] * 4


def test_concurrent_record_change_overrides_queue_position_update(app: App) -> None:
    app.configure(JOB_FILES="1")
    app.hub.occupy_slot()
    start(app, "1.ndjson", "2.ndjson", "3.ndjson")
    cancel(app, app.record("1.ndjson"))

    batches: list[str] = []

    def interfere(request: str) -> None:
        if request.endswith("$batch"):
            batches.append(request)
            # The first one counts the final state of 1.ndjson.
            if len(batches) == 2:
                app.before_request = lambda _: None
                cancel(app, app.record("2.ndjson"))

    app.before_request = interfere
    app.sweep()
    assert len(batches) == 2
    assert app.record("2.ndjson").state == "cancelled"
    assert app.record("3.ndjson").queue_position == 3
    app.sweep()
    assert app.record("3.ndjson").queue_position == 1


def test_failing_task_does_not_block_other_tasks(app: App) -> None:
    start_and_terminate(app, "pumps.ndjson")
    app.clock.ahead_minutes(6)

    def refuse(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}":
            raise RuntimeError("the listing is on fire")

    app.before_request = refuse
    with pytest.raises(TemporaryError, match=r"^could not be swept: uploads; see the log$"):
        app.sweep()
    app.before_request = lambda _: None
    assert app.record("pumps.ndjson").validation_attempts == 2
    app.sweep()
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"


def test_each_failing_task_is_named(app: App) -> None:
    """Everything but the uploads fails: tables cannot be queried, containers cannot be listed."""
    app.configure(UPLOAD_RETENTION="delete", RECORD_RETENTION_DAYS="30")
    start(app, "pumps.ndjson")
    app.finish()
    app.sweep()
    hub = next(iter(app.importer.services.hubs))

    def refuse(request: str) -> None:
        if request.endswith("()") or request == "GET /devstoreaccount1/":
            raise RuntimeError("on fire")

    app.before_request = refuse
    with pytest.raises(TemporaryError) as caught:
        app.sweep()
    assert str(caught.value) == (
        "could not be swept: queue rows, daily counts, upload tickets, "
        f"queue of {hub}, containers, records; see the log"
    )


def test_request_count_of_a_sweep_does_not_grow_with_the_history(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Uploads appear a few seconds old.
    monkeypatch.setattr(uploads, "MARGIN", timedelta(seconds=-60))
    start(app, *(f"{number}.ndjson" for number in range(5)))
    app.finish()
    app.sweep()
    with app.counting() as requests_before:
        app.sweep()
    for number in range(5, 50):
        app.upload(f"{number}.ndjson", b"broken")
    for blob in app.blobs.get_container_client(app.container).list_blobs():
        record, is_new = register(app.importer.services, Upload.of(blob))
        if is_new:
            rejected = ImportState.REJECTED
            app.importer.services.store.end(replace(record, imported=0, failed=0), rejected)
    assert len(app.records()) == 50
    # It adds finished imports to the counts of their day.
    app.sweep()
    with app.counting() as requests_after:
        app.sweep()
    print(*requests_after, sep="\n")
    assert len(requests_before) == len(requests_after) <= 11


def queue_rows(app: App, hub: str) -> list[str]:
    rows = table(app).query_entities(f"PartitionKey eq '{hub}' and RowKey ge 'queue-'")
    return [row["RowKey"] for row in rows]


def cancel(app: App, record: ImportRecord) -> None:
    app.importer.actions.cancel(record)
