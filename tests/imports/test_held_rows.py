"""Held imports whose rows were lost, edited or doubled: they are found again, or end."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import NotPossibleError
from shared.imports.model.keys import held_key, queue_key
from shared.imports.model.record import ImportRecord
from shared.imports.store.rows import SCHEMA
from tests.app import App
from tests.imports.guards import approve, current, decline, deletion, edit, held
from tests.imports.plans import counts, rows_of, site

FILE = [deletion(number) for number in range(3)]


def delete(app: App, record: ImportRecord, row_key: str) -> None:
    app.table.delete_entity(record.hub, row_key)


def held_keys(app: App, record: ImportRecord) -> list[str]:
    return app.importer.services.held_rows.record_keys(record.hub)


def test_deleted_row_is_written_again(guarding: App) -> None:
    record = held(guarding, *FILE)
    delete(guarding, record, held_key(record.row_key))
    guarding.sweep()
    assert held_keys(guarding, record) == [record.row_key]
    assert current(guarding, record) == record


@pytest.mark.parametrize("decision", ["approve", "decline", "cancel"])
def test_decision_without_the_row(guarding: App, decision: str) -> None:
    record = held(guarding, *FILE)
    delete(guarding, record, held_key(record.row_key))
    if decision == "approve":
        approve(guarding, record)
        guarding.finish()
        assert site(guarding, 0) is None
    elif decision == "decline":
        decline(guarding, record)
    else:
        guarding.importer.actions.cancel(record)
    assert current(guarding, record).state.is_final
    assert rows_of(guarding, "held") == []


@pytest.mark.parametrize("columns", [{"schema": SCHEMA}, {"schema": "x", "record": 5}])
def test_row_says_nothing_but_its_key(guarding: App, columns: dict[str, Any]) -> None:
    record = held(guarding, *FILE)
    row = {"PartitionKey": record.hub, "RowKey": held_key(record.row_key), **columns}
    guarding.table.upsert_entity(row)
    guarding.sweep()
    assert current(guarding, record).state == "held"
    assert counts(decline(guarding, record))[0] == "cancelled"


@pytest.mark.parametrize("key", ["held-", "held-x", "held-0000000000-x", "held-²²²²²²²²²²-x"])
def test_row_that_is_of_no_import_is_ignored(guarding: App, key: str) -> None:
    record = held(guarding, *FILE)
    guarding.table.upsert_entity({"PartitionKey": record.hub, "RowKey": key})
    guarding.sweep()
    assert held_keys(guarding, record) == [record.row_key]


def test_row_of_an_import_that_is_decided_is_removed(guarding: App) -> None:
    record = held(guarding, *FILE)
    decline(guarding, record)
    guarding.importer.services.held_rows.restore(record)
    guarding.sweep()
    assert held_keys(guarding, record) == []


def test_queue_row_of_a_held_import_is_removed(guarding: App) -> None:
    record = held(guarding, *FILE)
    key = queue_key(record.uploaded_at, record.created_at, record.id)
    guarding.table.upsert_entity({"PartitionKey": record.hub, "RowKey": key})
    guarding.tick()
    assert rows_of(guarding, "queue") == []
    assert current(guarding, record).state == "held"
    assert site(guarding, 0) == "a"


def test_import_whose_record_was_deleted_ends(guarding: App) -> None:
    record = held(guarding, *FILE)
    delete(guarding, record, record.row_key)
    guarding.sweep()
    ended = current(guarding, record)
    assert ended.state == "failed"
    assert "was deleted" in ended.failure_reason
    assert not ended.can_be_retried
    assert rows_of(guarding, "held") == []
    with pytest.raises(NotPossibleError):
        approve(guarding, record)


@pytest.mark.parametrize(
    "columns",
    [
        {"approval": "never", "approvalMaxDeletes": 1000},
        {"heldDigest": "0" * 32},
        {"heldUntil": "soon"},
        {"devices": "many"},
        {"state": "done"},
    ],
    ids=str,
)
def test_edited_record_gets_past_nobody(guarding: App, columns: dict[str, Any]) -> None:
    record = held(guarding, *FILE)
    edit(guarding, record, **columns)
    for _ in range(3):
        guarding.sweep()
        guarding.hub.wait_idle()
        guarding.tick()
    assert site(guarding, 0) == "a"


def test_edited_record_is_told_by_health(guarding: App) -> None:
    record = held(guarding, *FILE)
    edit(guarding, record, devices="many")
    findings = {finding.name: finding for finding in guarding.importer.health.examine()}
    rows = findings["rows of open imports"]
    assert not rows.is_well
    assert record.row_key in rows.detail


def test_record_of_a_newer_version_is_left_alone(guarding: App) -> None:
    record = held(guarding, *FILE)
    edit(guarding, record, schema=SCHEMA + 1)
    guarding.pass_minutes(8 * 24 * 60)
    guarding.sweep()
    row = guarding.table.get_entity(record.hub, record.row_key)
    assert row["state"] == "held"
    assert held_keys(guarding, record) == [record.row_key]


def test_health_counts_what_is_held(guarding: App) -> None:
    def detail() -> str:
        findings = {finding.name: finding for finding in guarding.importer.health.examine()}
        assert findings["rows of open imports"].is_well
        return findings["rows of open imports"].detail

    record = held(guarding, *FILE)
    assert detail() == f"Imports that wait for approval: {record.hub}: 1."
    decline(guarding, record)
    assert detail() == ""
