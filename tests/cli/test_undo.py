"""`device-importer undo`, and `show` of what it undoes."""

from __future__ import annotations

import json

import pytest

from shared.imports.store.import_store import ConflictError
from tests.app import App, device
from tests.cli.conftest import Shell, meanwhile, queued, tick_until_final
from tests.cli.fleet import leftovers
from tests.imports.plans import NAME, keys, pump, site
from tests.web.guarded import back_up

ABSENT = "0" * 24


def test_show_what_can_be_undone(app: App, shell: Shell) -> None:
    record = back_up(app)
    out = shell("show", record.id).out
    assert "  undo      possible until 2" in out
    assert "The undo makes up to 1 again, changes up to 1 back, deletes up to 1 that" in out
    assert "3 imported (1 delete), 0 failed" in out
    assert "  modes     createOrUpdate 2, delete 1\n" in out
    assert f"  device-importer undo {record.id} --plan " in out
    assert f"  device-importer undo {record.id} --deletes 1 " in out
    [detail] = shell.json("show", record.id)
    undo = detail["undo"]
    assert (undo["recreates"], undo["restores"], undo["deletes"]) == (1, 1, 1)


def test_undo(app: App, shell: Shell) -> None:
    record = back_up(app)
    done = shell("undo", record.id)
    assert (done.status, done.out) == (3, "")
    assert "deletes=1" in done.err
    done = shell("undo", record.id, "--deletes", 1)
    [made] = [new for new in app.records() if new.undo_of]
    assert (done.status, done.out) == (0, f"{record.id}  undone by {made.id}, queued #1\n")
    assert done.err == f"To follow: device-importer watch {made.id}\n"
    [again] = shell.json("undo", record.id, "--deletes", 1)
    assert (again["id"], again["undoOf"]) == (made.id, record.id)
    done = shell("undo", record.id, "--deletes", 1, "--also-changed")
    assert (done.status, made.id in done.err) == (3, True)
    with meanwhile(lambda: tick_until_final(app)):
        done = shell("undo", record.id, "--deletes", 1, "--watch", "--interval", "0.2")
    assert done.status == 0
    assert (site(app, 0), site(app, 1), app.hub.registry.get("new-1")) == ("a", "a", None)
    assert f"  undone as  {made.id}\n" in shell("show", record.id).out
    out = shell("show", made.id).out
    assert f"  undo of   {record.id}\n" in out
    assert f"  file      undo of {NAME} " in out
    _, *watched = done.out.splitlines()
    assert all(f" undo of {NAME}" in line for line in watched)
    times = [line[:19] for line in watched]
    assert times == sorted(times)
    head, *_, old = shell("list").out.splitlines()
    assert ("DELETES" in head, old.split()[4:7]) == (True, ["completed", "3", "1"])
    assert "undo by account key (command line)" in out
    assert f"device-importer retry {made.id}" not in out


def test_plan(app: App, shell: Shell) -> None:
    """It changes nothing, and leaves nothing behind."""
    record = back_up(app, pump(0, "b"), pump(1, "b"), device("new-1"))
    app.hub.registry.put(pump(1, "theirs"))
    before = [app.hub.registry.get(f"pump-{number}") for number in range(4)]
    done = shell("undo", record.id, "--plan")
    assert done.status == 10, done.err
    assert f"the undo of import {record.id}" in done.out
    assert "pump-0" in done.out
    assert "new-1" in done.out
    out = shell("undo", record.id, "--plan", "--format", "json").out
    plan = json.loads(out)
    assert (plan["counts"]["update"], plan["counts"]["delete"]) == (1, 1)
    assert plan["counts"]["leftOut"] == 1
    plan = json.loads(shell("undo", record.id, "--plan", "--also-changed", "--format", "json").out)
    assert (plan["counts"]["update"], plan["counts"]["leftOut"]) == (2, 0)
    secrets = keys(0)["symmetricKey"], keys(1)["symmetricKey"]
    for key in (key for pair in secrets for key in dict(pair).values()):  # type: ignore[call-overload]
        assert key not in done.out + out
    assert [app.hub.registry.get(f"pump-{number}") for number in range(4)] == before
    assert [new for new in app.records() if new.undo_of] == []
    assert [name for name in leftovers(app) if "snapshot" in name or "plan" in name] == []


def test_a_plan_without_changes(app: App, shell: Shell) -> None:
    record = back_up(app, pump(1, "b"))
    app.hub.registry.put(pump(1, "a"))
    assert shell("undo", record.id, "--plan").status == 0


def test_also_changed(app: App, shell: Shell) -> None:
    record = back_up(app, pump(1, "b"))
    app.hub.registry.put(pump(1, "theirs"))
    assert shell("undo", record.id).status == 0
    app.finish()
    assert site(app, 1) == "theirs"
    assert shell("undo", record.id, "--also-changed").status == 0
    app.finish()
    assert site(app, 1) == "a"


@pytest.mark.parametrize("plan", [(), ("--plan",)], ids=["undo", "plan"])
def test_what_cannot_be_undone(app: App, shell: Shell, plan: tuple[str, ...]) -> None:
    [import_id] = queued(app, "a.ndjson")
    done = shell("undo", import_id, *plan)
    assert (done.status, done.out) == (3, "")
    assert "Only an import that has ended" in done.err
    shell("cancel", import_id)
    done = shell("undo", import_id, *plan)
    assert (done.status, "Set BACKUP" in done.err) == (3, True)
    done = shell("undo", ABSENT, *plan)
    assert (done.status, ABSENT in done.err) == (3, True)
    app.hub.free_slot()
    record = back_up(app)
    app.blobs.delete_container(record.backup.container)
    done = shell("undo", record.id, "--deletes", 1, *plan)
    assert (done.status, done.out) == (3, "")
    assert "IMPORT_RETENTION_DAYS" in done.err


@pytest.mark.parametrize(
    "arguments", [("x",), (), (ABSENT, "--deletes", "-1"), (ABSENT, "--deletes", "x")]
)
def test_wrong_usage(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell("undo", *arguments).status == 2


def test_conflicts(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(*_: object, **__: object) -> None:
        raise ConflictError("changed")

    record = back_up(app, name=NAME)
    monkeypatch.setattr("shared.imports.operate.actions.Actions.undo", conflict)
    done = shell("undo", record.id, "--deletes", 1)
    assert (done.status, done.out) == (3, "")
    assert "Try again" in done.err
