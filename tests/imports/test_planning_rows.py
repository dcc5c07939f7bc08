"""Comparisons whose rows, containers or settings are changed, and whose processes stall."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.settings import load_settings
from tests.app import App, ObservedTransport
from tests.imports.plans import (
    NAME,
    counts,
    exports,
    imports,
    plan_job,
    pump,
    put_pumps,
    rows_of,
    send,
    site,
    use_lookups,
)

LINES = (pump(0), pump(1, "b"))
CHANGED = ("completed", 1, 0, 1)
NEXT = "next.ndjson"


def begin(app: App) -> ImportRecord:
    """An import that is being planned from an export, and another one behind it."""
    put_pumps(app, 2)
    record = send(app, *LINES)
    assert record.state == "planning"
    send(app, pump(7, "z"), name=NEXT)
    return record


def edit(app: App, of: str, **columns: object) -> None:
    [row] = [row for row in rows_of(app, of) if row["RowKey"].endswith(app.record(NAME).id)]
    app.table.update_entity({**row, **columns}, mode=UpdateMode.REPLACE)


def delete_row(app: App, kind: str) -> None:
    [row] = [row for row in rows_of(app, kind) if row["RowKey"].endswith(app.record(NAME).id)]
    app.table.delete_entity(row["PartitionKey"], row["RowKey"])


def finish(app: App) -> ImportRecord:
    """End all; the next import is never held up."""
    for _ in range(12):
        app.hub.wait_idle()
        app.tick()
        app.pass_minutes(2)
    record = app.record(NAME)
    assert record.state.is_final
    assert app.record(NEXT).state == "completed"
    assert site(app, 7) == "z"
    assert not rows_of(app, "job")
    assert not rows_of(app, "queue")
    return record


@pytest.mark.parametrize("is_ended", [False, True])
@pytest.mark.parametrize("kind", ["job", "queue"])
def test_row_was_deleted(planning: App, kind: str, is_ended: bool) -> None:
    begin(planning)
    if is_ended:
        planning.hub.wait_idle()
    delete_row(planning, kind)
    if kind == "queue":
        # The sweep writes it again.
        planning.sweep()
    assert counts(finish(planning)) == CHANGED


def test_record_was_deleted(planning: App) -> None:
    begin(planning)
    row = rows_of(planning, "import")
    [own] = [item for item in row if item["file"] == NAME]
    planning.table.delete_entity(own["PartitionKey"], own["RowKey"])
    for _ in range(6):
        planning.hub.wait_idle()
        planning.tick()
    record = planning.record(NAME)
    assert record.state == "failed"
    assert "record of the import was deleted" in record.failure_reason
    assert planning.record(NEXT).state == "completed"
    assert site(planning, 1) == "a"
    assert not rows_of(planning, "job")


@pytest.mark.parametrize(
    "columns",
    [
        {"kind": "nonsense"},
        {"kind": ""},
        {"state": "preparing"},
        {"state": "asked"},
        {"state": "ended"},
        {"attempts": "many"},
        {"attempts": 1000},
        {"stagedContainer": ""},
        {"jobId": "another"},
        {"members": "[]"},
    ],
    ids=str,
)
def test_row_of_the_job_was_edited(planning: App, columns: dict[str, Any]) -> None:
    """It ends once, and holds up nobody."""
    begin(planning)
    edit(planning, "job", **columns)
    for _ in range(8):
        planning.hub.wait_idle()
        planning.tick()
        planning.pass_minutes(6)
    record = finish(planning)
    assert record.state in ("completed", "completedWithErrors", "failed", "cancelled")
    assert len(imports(planning)) <= 2


@pytest.mark.parametrize("state", ["queued", "starting", "running", "validating", "completed"])
def test_record_was_edited(planning: App, state: str) -> None:
    begin(planning)
    edit(planning, "import", state=state)
    for _ in range(8):
        planning.hub.wait_idle()
        planning.tick()
        planning.pass_minutes(6)
    if state == "completed":
        # As by hand.
        assert planning.record(NEXT).state == "completed"
        return
    finish(planning)
    assert len(imports(planning)) <= 2


def test_job_of_an_import_whose_kind_was_edited_is_no_comparison(planning: App) -> None:
    """Its container is not deleted, and it is not applied twice."""
    use_lookups(planning)
    put_pumps(planning, 2)
    record = send(planning, *LINES)
    assert record.state == "running"
    send(planning, pump(7, "z"), name=NEXT)
    edit(planning, "job", kind="plan")
    record = finish(planning)
    assert len(imports(planning)) == 2
    assert site(planning, 1) == "b"
    assert planning.container_of(record).exists()


def test_container_of_the_import_was_deleted(planning: App) -> None:
    begin(planning)
    planning.container_of(planning.record(NAME)).delete_container()
    record = finish(planning)
    assert record.state == "failed"
    assert site(planning, 1) == "a"


@pytest.mark.parametrize("change", ["edited", "deleted"])
def test_staged_file_was_changed(planning: App, change: str) -> None:
    begin(planning)
    container = planning.container_of(planning.record(NAME))
    if change == "edited":
        container.upload_blob("devices.txt", b"{}", overwrite=True)
    else:
        container.delete_blob("devices.txt")
    record = finish(planning)
    assert counts(record) == ("failed", 0, 0, None)
    # Not made again and again.
    assert len(exports(planning)) <= 2
    assert "changed after it was validated" in record.failure_reason


def test_planned_file_was_edited(planning: App) -> None:
    """What the hub would get is not what was planned."""
    use_lookups(planning)
    put_pumps(planning, 2)
    planning.hub.occupy_slot()
    record = send(planning, *LINES)
    assert record.planned.name.startswith("planned-")
    container = planning.container_of(record)
    container.upload_blob(record.planned.name, b'{"id": "x"}', overwrite=True)
    send(planning, pump(7, "z"), name=NEXT)
    planning.hub.free_slot()
    record = finish(planning)
    assert record.state == "failed"
    assert planning.hub.registry.get("x") is None


@pytest.mark.parametrize(("before", "after"), [("changes", "all"), ("all", "changes")])
def test_setting_was_switched(app: App, before: str, after: str) -> None:
    """What was set at the validation counts, also of a retry."""
    app.configure(APPLY=before)
    put_pumps(app, 2)
    app.hub.occupy_slot()
    send(app, *LINES)
    app.configure(APPLY=after)
    app.hub.free_slot()
    app.pass_minutes(1)
    app.finish()
    record = app.record(NAME)
    assert counts(record) == (CHANGED if before == "changes" else ("completed", 2, 0, None))


def test_newer_upload_of_the_blob(planning: App) -> None:
    """Both are planned, the newer one after the older one was applied."""
    put_pumps(planning, 2)
    old = send(planning, *LINES)
    planning.upload(NAME, pump(0), pump(1, "c"))
    planning.deliver(NAME)
    planning.finish()
    older, newer = sorted(planning.records(), key=lambda record: record.queue_key)
    assert older.id == old.id
    assert counts(older) == CHANGED
    assert counts(newer) == ("completed", 1, 0, 1)
    assert (site(planning, 0), site(planning, 1)) == ("a", "c")


def another_process(app: App) -> Importer:
    """A process of the app whose requests are not watched."""
    return Importer(
        load_settings(),
        app.clock,
        lambda: ObservedTransport(lambda _: None, lambda _: None),
    )


def overtake_at(app: App, is_moment: Callable[[str], bool]) -> list[ImportRecord]:
    """Let another process do all the work while this one stalls at a request.

    Returns:
        The import as the other process leaves it.
    """
    left: list[ImportRecord] = []

    def stall(line: str) -> None:
        if is_moment(line):
            app.before_request = lambda _: None
            app.pass_minutes(60)
            other = another_process(app)
            for _ in range(5):
                app.hub.wait_idle()
                other.on_tick()
            other.close()
            left.append(app.record(NAME))

    app.before_request = stall
    return left


@pytest.mark.parametrize("moment", ["/devices.txt", "planned-", "/plan-"])
def test_process_that_stalls_while_it_compares(planning: App, moment: str) -> None:
    """Another one takes over and ends the import; what wakes up changes nothing."""
    put_pumps(planning, 2)
    send(planning, *LINES)
    planning.hub.wait_idle()
    states = overtake_at(planning, lambda line: moment in line and "snapshot" not in line)
    planning.tick()
    planning.finish()
    assert [record.state.value for record in states] == ["completed"]
    assert planning.record(NAME) == states[0]
    assert counts(states[0]) == CHANGED
    assert len(imports(planning)) == 1
    assert len(exports(planning)) == 2


def test_process_that_stalls_while_it_looks_devices_up(planning: App) -> None:
    use_lookups(planning)
    put_pumps(planning, 2)
    planning.upload(NAME, *LINES)
    done = overtake_at(planning, lambda line: "pump-1" in line)
    planning.deliver(NAME)
    planning.finish()
    assert counts(planning.record(NAME)) == CHANGED
    assert done == [planning.record(NAME)]
    assert len(imports(planning)) == 1


def test_unexpected_error_of_lookups_leads_to_another_attempt(
    planning: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_lookups(planning)
    put_pumps(planning, 2)

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    hub = planning.importer.services.hubs[planning.hub.address]
    with monkeypatch.context() as patch:
        patch.setattr(hub, "read_identity", fail)
        record = send(planning, *LINES)
    assert plan_job(planning).attempts == 2
    assert "broken" in record.failure_reason or "unexpected" in record.failure_reason
    planning.finish()
    assert counts(planning.record(NAME)) == CHANGED
