"""Edited rows block only their own import, and only until a deadline."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.imports.model.record import ImportRecord
from tests.app import App, device, fail_writes

NAME = "pumps.ndjson"


def queue_two(app: App) -> ImportRecord:
    """Queue two imports behind one with a job; return the first."""
    app.hub.occupy_slot()
    for name in ("first.ndjson", NAME, "next.ndjson"):
        app.upload(name, device(name))
        app.deliver(name)
    return app.record(NAME)


def edit(app: App, record: ImportRecord, **columns: Any) -> None:
    row = {"PartitionKey": record.hub, "RowKey": record.row_key, **columns}
    app.table.update_entity(row, mode=UpdateMode.MERGE)


def row_of(app: App, record: ImportRecord) -> dict[str, Any]:
    return dict(app.table.get_entity(record.hub, record.row_key))


def tick(app: App) -> None:
    app.hub.wait_idle()
    app.tick()


@pytest.mark.parametrize(
    "columns",
    [
        {"state": "done"},
        {"state": 5},
        {"uploadedAt": "yesterday"},
        {"devices": "many"},
        {"history": "{"},
        {"history": "[" * 5000},
        {"validation": "none"},
        {"hub": "elsewhere"},
        {"id": "another"},
    ],
    ids=lambda columns: str(columns)[:40],
)
def test_import_with_an_unreadable_row_fails_eventually(app: App, columns: dict[str, Any]) -> None:
    app.configure(MAX_ATTEMPTS="3")
    record = queue_two(app)
    edit(app, record, **columns)
    app.hub.free_slot()
    tick(app)
    for errors in (1, 2):
        tick(app)
        assert row_of(app, record)["unexpectedErrors"] == errors
        assert app.record("next.ndjson").state == "queued"
    for _ in range(3):
        tick(app)
    ended = app.record(NAME)
    assert (ended.id, ended.file, ended.state) == (record.id, NAME, "failed")
    assert "3 unexpected errors" in ended.failure_reason
    assert app.record("next.ndjson").state == "completed"
    assert app.hub.registry.get(NAME) is None
    assert app.importer.services.queue_rows.oldest(record.hub) == []


@pytest.mark.parametrize(("state", "count"), [("queued", 0), ("running", None), ("validating", 0)])
def test_counts_are_0_only_if_no_device_can_have_been_applied(
    app: App, state: str, count: int | None
) -> None:
    app.configure(MAX_ATTEMPTS="1")
    if state == "validating":
        app.configure(MAX_ATTEMPTS="2")
        app.upload(NAME, device("pump-1"))
        app.before_request = fail_writes
        app.sweep()
        app.before_request = lambda _: None
    else:
        if state == "queued":
            app.hub.occupy_slot()
        app.hub.faults.add("hangJob")
        app.upload(NAME, device("pump-1"))
        app.deliver(NAME)
    record = app.record(NAME)
    assert record.state == state
    edit(app, record, devices="many")
    if state == "running":
        app.hub.jobs.cancel(record.job.id)
    for _ in range(3):
        app.tick()
    ended = app.record(NAME)
    assert (ended.state, ended.imported, ended.failed) == ("failed", count, count)


def test_import_continues_after_its_row_is_corrected(app: App) -> None:
    record = queue_two(app)
    edit(app, record, state="done")
    app.hub.free_slot()
    for _ in range(2):
        tick(app)
    assert row_of(app, record)["unexpectedErrors"] == 1
    edit(app, record, state="queued")
    app.finish()
    ended = app.record(NAME)
    assert (ended.state, ended.back_off.unexpected_errors, ended.failure_reason) == (
        "completed",
        0,
        "",
    )
    assert app.record("next.ndjson").state == "completed"


def test_unreadable_row_is_retried_with_back_off(app: App) -> None:
    app.configure(BACKOFF_SECONDS="60", MAX_BACKOFF_SECONDS="60")
    record = queue_two(app)
    app.hub.free_slot()
    tick(app)
    app.clock.ahead_minutes(2)
    edit(app, record, state="done")
    for _ in range(3):
        tick(app)
    row = row_of(app, record)
    assert row["unexpectedErrors"] == 1
    assert timedelta(seconds=20) < row["nextTryAt"] - app.clock() <= timedelta(seconds=60)


def test_event_for_an_upload_with_an_unreadable_row_is_ignored(app: App) -> None:
    record = queue_two(app)
    edit(app, record, state="done")
    before = row_of(app, record)
    app.deliver(NAME)
    assert row_of(app, record) == before
    assert "rows of open imports" in [
        finding.name for finding in app.importer.health.examine() if not finding.is_well
    ]


def test_unreadable_final_row_does_not_block_the_queue(app: App) -> None:
    app.configure(RECORD_RETENTION_DAYS="30", UPLOAD_RETENTION="delete")
    for name in (NAME, "next.ndjson"):
        app.upload(name, device(name))
        app.deliver(name)
        app.finish()
    record = app.record(NAME)
    edit(app, record, devices="many")
    app.sweep()
    assert [record.file for record in app.records()] == ["next.ndjson"]
    uploads = list(app.blobs.get_container_client(app.container).list_blob_names())
    assert uploads == [NAME], "only what was surely imported is deleted"
    assert len(app.hub.jobs) == 2


@pytest.mark.parametrize(
    "key", ["queue-", "queue-x", "queue-1-2-3", "queue-~", "queue-0000000000000000-1-zz"]
)
def test_rows_with_invalid_queue_keys_are_ignored(app: App, key: str) -> None:
    record = queue_two(app)
    app.table.upsert_entity({"PartitionKey": record.hub, "RowKey": key})
    app.hub.free_slot()
    app.sweep()
    app.finish()
    assert [record.state for record in app.records()] == ["completed"] * 3
    assert app.table.get_entity(record.hub, key)["RowKey"] == key


@pytest.mark.parametrize("value", ["{", "", 5, "[1, {}]", "null"])
def test_edited_list_of_hubs_is_restored(app: App, value: object) -> None:
    queue_two(app)
    row = {"PartitionKey": "(app)", "RowKey": "hubs", "names": value}
    app.table.upsert_entity(row, mode=UpdateMode.REPLACE)
    app.configure()
    assert app.importer.services.known_hubs.all() <= {app.hub.address}
    app.upload("later.ndjson", device("pump-3"))
    app.deliver("later.ndjson")
    app.hub.free_slot()
    app.finish()
    assert len(app.records()) == 4
    app.configure()
    assert app.importer.services.known_hubs.all() == {app.hub.address}


def test_edited_sweep_state_is_ignored(app: App) -> None:
    app.configure(UPLOAD_RETENTION="delete")
    app.upload(NAME, device("pump-1"))
    app.sweep()
    app.finish()
    app.sweep()
    for row in list(
        app.table.query_entities("PartitionKey eq '(sweep)' or PartitionKey eq '(app)'")
    ):
        if row["RowKey"] != "hubs":
            edited = dict.fromkeys(("position", "beganAt", "doneUntil", "ranAt"), "x")
            keys = {name: row[name] for name in ("PartitionKey", "RowKey")}
            app.table.upsert_entity({**keys, **edited}, mode=UpdateMode.REPLACE)
    app.configure()
    app.upload("later.ndjson", device("pump-2"))
    app.sweep()
    app.sweep()
    app.finish()
    assert sorted(record.state for record in app.records()) == ["completed"] * 2
    assert len(app.hub.jobs) == 2
