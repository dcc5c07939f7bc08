"""Devices that an import touched a short time ago: an export may not show them as they are."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.rows import to_row
from shared.imports.workflow import registry_reading
from tests.app import App
from tests.imports.plans import (
    NAME,
    actions,
    counts,
    plan_job,
    pump,
    put_pumps,
    rows_of,
    send,
    site,
    use_lookups,
)
from tests.records import import_record

FIRST = "first.ndjson"
COUNT = 30


def export_as_before(app: App) -> list[bytes]:
    """What an export shows now."""
    found = (app.hub.registry.get(f"pump-{number}") for number in range(COUNT))
    return [json.dumps(item).encode() for item in found if item]


def let_export_lag(app: App, lines: list[bytes]) -> None:
    """Replace the export that is complete by an older one."""
    app.hub.wait_idle()
    container = app.blobs.get_container_client(plan_job(app).staged.container)
    container.upload_blob("devices.txt", b"\n".join(lines) + b"\n", overwrite=True)


def import_first(app: App, *lines: object, minutes: float = 0) -> list[bytes]:
    """Import a file, and let some time pass; returns the export from before."""
    put_pumps(app, COUNT)
    before = export_as_before(app)
    send(app, *lines, name=FIRST)
    app.finish()
    assert app.record(FIRST).state == "completed"
    app.pass_minutes(minutes)
    return before


def test_recent_devices_are_looked_up(planning: App) -> None:
    use_lookups(planning)
    before = import_first(planning, pump(1, "b"), pump(2, "b"))
    send(planning, *map(pump, range(COUNT)))
    let_export_lag(planning, before)
    planning.finish()
    assert counts(planning.record(NAME)) == ("completed", 2, 0, COUNT - 2)
    assert (site(planning, 1), site(planning, 2)) == ("a", "a")


def test_recent_devices_that_cannot_be_looked_up_are_sent_under_their_guard(
    planning: App,
) -> None:
    """The policy does not allow that twins are read. Nothing is overwritten, and it is told."""
    before = import_first(planning, pump(1, "b"))
    send(planning, *map(pump, range(COUNT)))
    let_export_lag(planning, before)
    planning.finish()
    record = planning.record(NAME)
    assert counts(record) == ("completedWithErrors", 0, 1, COUNT - 1)
    assert actions(planning, record).count("update") == 1
    assert site(planning, 1) == "b"


def test_recent_devices_beyond_the_lookups_are_sent_under_their_guard(
    planning: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_reading, "LONGEST_REFRESH", timedelta())
    use_lookups(planning)
    import_first(planning, *(pump(number, "b") for number in range(20)))
    lines = [pump(number, "b" if number < 20 else "a") for number in range(COUNT)]
    # This export is current.
    send(planning, *lines)
    planning.finish()
    record = planning.record(NAME)
    state, imported, failed, unchanged = counts(record)
    assert (state, failed) == ("completed", 0)
    assert imported
    assert imported < 20
    assert imported + (unchanged or 0) == COUNT


def test_devices_that_an_import_did_not_send_are_not_recent(planning: App) -> None:
    use_lookups(planning)
    put_pumps(planning, COUNT)
    for name, changed in (("first.ndjson", 1), (NAME, 2)):
        lines = [
            pump(number, "b" if number <= changed and number else "a") for number in range(COUNT)
        ]
        planning.upload(name, *lines)
        planning.deliver(name)
        planning.finish()
        assert counts(planning.record(name)) == ("completed", 1, 0, COUNT - 1)


@pytest.mark.parametrize("is_there", [False, True])
def test_create_of_a_device_that_an_export_still_shows(
    planning: App, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """It is sent as it is, and overwrites nothing if the device is there."""
    monkeypatch.setattr(registry_reading, "LONGEST_REFRESH", timedelta())
    monkeypatch.setattr(registry_reading, "BURST", 0)
    others = [pump(n, importMode="create") for n in range(COUNT, 2 * COUNT)]
    delete = {"id": "pump-1", "status": "enabled", "importMode": "delete"}
    before = import_first(planning, delete, *others)
    send(planning, pump(1, importMode="create"), *(pump(n) for n in range(2, COUNT)))
    let_export_lag(planning, before)
    if is_there:
        planning.hub.registry.put(pump(1, "other"))
    planning.finish()
    record = planning.record(NAME)
    if is_there:
        assert counts(record) == ("completedWithErrors", 0, 1, COUNT - 2)
        assert site(planning, 1) == "other"
    else:
        assert counts(record) == ("completed", 1, 0, COUNT - 2)


def test_create_of_a_device_that_was_imported_before(planning: App) -> None:
    """The policy does not allow lookups, and the export is current."""
    import_first(planning, pump(1, "b"))
    send(planning, pump(1, importMode="create"), *(pump(n) for n in range(2, COUNT)))
    planning.finish()
    assert counts(planning.record(NAME)) == ("completedWithErrors", 0, 1, COUNT - 2)
    assert site(planning, 1) == "b"


def test_after_half_an_hour_an_export_is_trusted(planning: App) -> None:
    import_first(planning, pump(1, "b"), minutes=45)
    send(planning, *(pump(number, "b" if number == 1 else "a") for number in range(COUNT)))
    planning.finish()
    assert counts(planning.record(NAME)) == ("completed", 0, 0, COUNT)


def test_deleted_device_that_an_export_still_shows(planning: App) -> None:
    use_lookups(planning)
    before = import_first(planning, pump(1, importMode="delete"))
    send(planning, *map(pump, range(COUNT)))
    let_export_lag(planning, before)
    planning.finish()
    assert counts(planning.record(NAME)) == ("completed", 1, 0, COUNT - 1)
    assert site(planning, 1) == "a"


@pytest.mark.parametrize("change", ["footprint", "container"])
def test_import_of_which_little_is_known(planning: App, change: str) -> None:
    """Without a footprint its lines are read; without its lines, all devices may have changed."""
    import_first(planning, pump(1, "b"))
    first = planning.record(FIRST)
    if change == "container":
        planning.container_of(first).delete_container()
    else:
        [row] = rows_of(planning, "import")
        row.pop("footprint", None)
        planning.table.update_entity(row, mode=UpdateMode.REPLACE)
    send(planning, *(pump(number, "b" if number == 1 else "a") for number in range(COUNT)))
    planning.finish()
    imported = 1 if change == "footprint" else COUNT
    assert counts(planning.record(NAME)) == ("completed", imported, 0, COUNT - imported)


def put_record(app: App, number: int, **columns: Any) -> ImportRecord:
    """A record of an import that had a job; a greater number is older."""
    now = app.clock()
    at = (now - timedelta(minutes=number)).replace(microsecond=0)
    state = columns.get("state", ImportState.COMPLETED)
    defaults = {
        "state": state,
        "job_record": "0" * 24,
        "updated_at": at,
        "finished_at": at if state.is_final else None,
    }
    record = import_record(
        app.hub.address, f"{number}.ndjson", f"{number}", at, **{**defaults, **columns}
    )
    app.table.upsert_entity(to_row(record))
    return record


def recent(app: App) -> tuple[list[str], bool]:
    time = app.clock() - timedelta(minutes=30)
    found, are_all = app.importer.services.queries.imports_since(app.hub.address, time)
    return [record.file for record in found], are_all


def import_one(app: App) -> None:
    """The first import creates the table."""
    send(app, pump(0), name="x.ndjson")
    app.finish()


def test_imports_that_ended_or_are_ending(app: App) -> None:
    import_one(app)
    app.pass_minutes(60)
    now = app.clock()
    # Cancelled early, before older ones ended.
    put_record(app, 1, state=ImportState.CANCELLED, finished_at=now - timedelta(minutes=45))
    put_record(app, 2, job_record="")
    put_record(app, 3)
    # Its job has ended; its row was last written when the job began.
    put_record(app, 200, state=ImportState.STARTING)
    put_record(app, 300, finished_at=now - timedelta(minutes=5))
    put_record(app, 400)
    assert recent(app) == (["3.ndjson", "200.ndjson", "300.ndjson"], True)


def test_more_imports_than_are_read(app: App) -> None:
    import_one(app)
    now = app.clock()
    rows = []
    for number in range(200):
        at = (now + timedelta(minutes=1 + number)).replace(microsecond=0)
        record = import_record(
            app.hub.address,
            f"{number}.ndjson",
            str(number),
            at,
            state=ImportState.COMPLETED,
            job_record="0" * 24,
            finished_at=now,
        )
        rows.append(("create", to_row(record)))
    for start in (0, 100):
        app.table.submit_transaction(rows[start : start + 100])
    found, are_all = recent(app)
    assert (len(found), are_all) == (200, False)


def test_row_that_cannot_be_read(app: App) -> None:
    """One that was written lately may be that of an import that ended."""
    import_one(app)
    record = put_record(app, 3)
    row = {"PartitionKey": record.hub, "RowKey": record.row_key, "schema": 99}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    assert recent(app)[1] is False
    app.pass_minutes(60)
    assert recent(app)[1] is True
