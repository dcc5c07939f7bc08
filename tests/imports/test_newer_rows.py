"""Rows of a newer app version: both versions use one table during a deployment."""

from __future__ import annotations

from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.rows import SCHEMA
from shared.imports.workflow.registration import Upload, record_of
from tests.app import App, device

NAME = "pumps.ndjson"


def write_newer(app: App, hub: str, key: str, schema: int = SCHEMA + 1) -> None:
    row = {"PartitionKey": hub, "RowKey": key, "schema": schema, "novel": "column"}
    app.table.update_entity(row, mode=UpdateMode.MERGE)


def row_of(app: App, record: ImportRecord) -> dict[str, Any]:
    return dict(app.table.get_entity(record.hub, record.row_key))


def queue_two(app: App) -> ImportRecord:
    """Queue two imports, the first in a row of a newer version."""
    app.hub.occupy_slot()
    for name in (NAME, "next.ndjson"):
        app.upload(name, device(name))
        app.deliver(name)
    record = app.record(NAME)
    write_newer(app, record.hub, record.row_key)
    app.hub.free_slot()
    return record


def tick(app: App, times: int = 3) -> None:
    for _ in range(times):
        app.hub.wait_idle()
        app.tick()


def test_queue_waits_for_a_newer_row_until_a_deadline(app: App) -> None:
    record = queue_two(app)
    before = row_of(app, record)
    app.clock.ahead_minutes(9)
    app.sweep()
    tick(app)
    assert app.record("next.ndjson").state == "queued"
    app.clock.ahead_minutes(11)
    tick(app)
    app.sweep()
    assert app.record("next.ndjson").state == "completed"
    assert row_of(app, record) == before
    [queue_row] = app.importer.services.queue_rows.oldest(record.hub)
    assert queue_row.record_key == record.row_key


def test_newer_row_is_continued_by_its_version(app: App) -> None:
    record = queue_two(app)
    app.clock.ahead_minutes(11)
    tick(app)
    write_newer(app, record.hub, record.row_key, schema=1)
    app.finish()
    assert [item.state for item in app.records()] == ["completed"] * 2


@pytest.mark.parametrize("minutes", [9, 11])
def test_later_uploads_wait_for_an_upload_that_cannot_be_registered(app: App, minutes: int) -> None:
    app.tick()  # creates the table
    app.upload(NAME, device("pump-1"))
    blob = app.blobs.get_blob_client(app.container, NAME).get_blob_properties()
    claim = record_of(app.importer.services, Upload.of(blob)).id
    app.table.create_entity({"PartitionKey": "(claims)", "RowKey": claim, "schema": SCHEMA + 1})
    app.upload("younger.ndjson", device("pump-2"))
    app.deliver("younger.ndjson")
    tick(app)
    assert app.record("younger.ndjson").state == "queued"
    app.clock.ahead_minutes(minutes)
    tick(app)
    is_passed_over = app.record("younger.ndjson").state != "queued"
    assert is_passed_over == (minutes > 10)
    app.table.delete_entity("(claims)", claim)
    app.finish()
    app.sweep()
    app.finish()
    assert [record.state for record in app.records()] == ["completed"] * 2


def test_app_does_not_change_newer_rows(app: App) -> None:
    app.configure(UPLOAD_RETENTION="delete", RECORD_RETENTION_DAYS="30", IMPORT_RETENTION_DAYS="1")
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.finish()
    record = app.record(NAME)
    write_newer(app, record.hub, record.row_key)
    before = row_of(app, record)
    app.configure()
    app.deliver(NAME)
    app.clock.ahead_hours(24 * 40)
    for _ in range(2):
        app.sweep()
        app.tick()
    assert row_of(app, record) == before
    assert app.blobs.get_blob_client(app.container, NAME).exists()
    assert app.container_of(record).exists()
    assert len(app.hub.jobs) == 1


def test_upload_claimed_by_a_newer_version_is_skipped(app: App) -> None:
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.finish()
    record = app.record(NAME)
    write_newer(app, "(claims)", record.id)
    app.table.delete_entity(record.hub, record.row_key)
    app.deliver(NAME)
    app.sweep()
    assert app.records() == []
    assert len(app.hub.jobs) == 1


@pytest.mark.parametrize("schema", [SCHEMA + 1, 99])
def test_lists_omit_newer_rows_and_health_reports_them(app: App, schema: int) -> None:
    record = queue_two(app)
    write_newer(app, record.hub, record.row_key, schema)
    assert [item.file for item in app.records()] == ["next.ndjson"]
    [finding] = [item for item in app.importer.health.examine() if not item.is_well]
    assert record.row_key in finding.detail
    assert f"schema {schema}" in finding.detail


def test_every_row_contains_the_schema_version(app: App) -> None:
    app.configure(EVENTS_URL="http://127.0.0.1:9/hook")
    app.hub.occupy_slot()
    for name in (NAME, "next.ndjson"):
        app.upload(name, device(name))
        app.deliver(name)
    app.importer.actions.cancel(app.record(NAME))
    rows = list(app.table.list_entities())
    app.sweep()
    app.tick()
    rows += app.table.list_entities()
    kinds = {(row["PartitionKey"], row["RowKey"].split("-")[0]) for row in rows}
    assert {kind for _, kind in kinds} >= {"import", "queue", "send", "day", "hubs", "sweep"}
    assert {row.get("schema") for row in rows} == {SCHEMA}


def test_unknown_state_is_not_final(app: App) -> None:
    record = queue_two(app)
    row = {"PartitionKey": record.hub, "RowKey": record.row_key, "state": "planned"}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    assert "planned" not in list(ImportState)
    app.clock.ahead_minutes(11)
    tick(app)
    app.sweep()
    assert row_of(app, record)["state"] == "planned"
    assert app.record("next.ndjson").state == "completed"
