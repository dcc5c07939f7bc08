"""`device-importer approve`, `decline`, and `show` of what they decide about."""

from __future__ import annotations

import pytest

from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from shared.imports.store.import_store import ConflictError
from tests.app import App, device
from tests.cli.conftest import Shell, meanwhile, queued, tick_until_final
from tests.imports.plans import NAME, counts, pump, send, site
from tests.security.support import PRIMARY
from tests.web.guarded import guard, hold_deletes

ABSENT, OTHER = "0" * 24, "0" * 32


@pytest.fixture
def held(app: App) -> ImportRecord:
    guard(app)
    return hold_deletes(app)


def test_show_a_held_import(app: App, shell: Shell, held: ImportRecord) -> None:
    assert "held" in shell("list").out
    done = shell("show", held.id)
    assert done.status == 0
    for text in (
        "  approval  waits since 2",
        ", until 2",
        f"  digest    {held.hold.digest}\n",
        "deletes 3 devices or modules, and 2 need no approval",
        "\nPlan: 0 to create, 0 to update (0 get new keys, 0 are disabled), 3 to delete\n",
        "  line 1  delete  pump-0",
        f"  device-importer approve {held.id} --plan {held.hold.digest} ",
        f"  device-importer decline {held.id} --reason TEXT ",
    ):
        assert text in done.out, text
    assert "device-importer cancel" not in done.out
    assert "Later imports" not in done.out
    [detail] = shell.json("show", held.id)
    assert detail["hold"]["digest"] == held.hold.digest


def test_watch_ends_where_somebody_has_to_decide(
    app: App, shell: Shell, held: ImportRecord
) -> None:
    done = shell("watch", held.id, "--interval", "0.2")
    assert done.status == 11
    assert "approval" in done.out
    done = shell("watch", "--until-idle", "--interval", "0.2")
    assert done.status == 11
    assert done.err == "No open imports.\nImports that wait for approval: 1.\n"


def test_approve(app: App, shell: Shell, held: ImportRecord) -> None:
    done = shell("approve", held.id, "--plan", held.hold.digest)
    assert (done.status, done.out) == (0, f"{held.id}  {NAME}  queued\n")
    assert done.err == f"To follow: device-importer watch {held.id}\n"
    [again] = shell.json("approve", held.id, "--plan", held.hold.digest)
    assert again["state"] == "queued"
    with meanwhile(lambda: tick_until_final(app)):
        done = shell(
            *("approve", held.id, "--plan", held.hold.digest, "--watch", "--interval", "0.2")
        )
    assert done.status == 0
    assert counts(app.record(NAME)) == ("completed", 3, 0, 0)
    out = shell("show", held.id).out
    assert "\nWho did what\n" in out
    assert out.count("approve by account key (command line)") == 1
    assert "  digest " not in out


def test_another_plan(app: App, shell: Shell, held: ImportRecord) -> None:
    done = shell("approve", held.id, "--plan", OTHER)
    assert (done.status, done.out) == (3, "")
    assert held.hold.digest in done.err
    assert app.record(NAME).state == "held"


def test_later_imports(app: App, shell: Shell, held: ImportRecord) -> None:
    names = [f"{number:02}.ndjson" for number in range(22)]
    app.hub.occupy_slot()
    for name in names:
        send(app, pump(1, "c"), name=name)
    done = shell("approve", held.id, "--plan", held.hold.digest)
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("error: 22 later imports ")
    assert len(done.err.splitlines()) == 22
    assert done.err.endswith("  and 2 more\n")
    shown = shell("show", held.id).out
    assert "\nLater imports that may change its devices\n" in shown
    assert "\n  and 2 more" in shown
    assert f"approve {held.id} --plan {held.hold.digest} --later 22 " in shown
    done = shell("approve", held.id, "--plan", held.hold.digest, "--later", 22)
    assert (done.status, app.record(NAME).state) == (0, "queued")


def test_decline(app: App, shell: Shell, held: ImportRecord) -> None:
    reason = f"not\x1b[2J\nwith {PRIMARY}"
    done = shell("decline", held.id, "--reason", reason)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{held.id}  {NAME}  cancelled\n"
    out = shell("show", held.id).out
    assert "decline by account key (command line): not\ufffd[2J with REDACTED\n" in out
    assert "declined: not\ufffd[2J with REDACTED. No device was changed." in out
    assert f"  device-importer retry {held.id}  " in out
    assert site(app, 0) == "a"
    for command in (("decline",), ("approve", "--plan", held.hold.digest)):
        done = shell(command[0], held.id, *command[1:])
        assert (done.status, done.out) == (3, "")
        assert "is cancelled. Only an import that waits for approval" in done.err


def test_decline_json(shell: Shell, held: ImportRecord) -> None:
    [item] = shell.json("decline", held.id)
    assert (item["state"], item["acts"][0]["note"]) == ("cancelled", "")


def test_what_is_not_held(app: App, shell: Shell) -> None:
    [import_id] = queued(app, "a.ndjson")
    for command in (("decline", import_id), ("approve", import_id, "--plan", OTHER)):
        done = shell(*command)
        assert (done.status, done.out) == (3, "")
        assert "Only an import that waits for approval" in done.err
    done = shell("decline", ABSENT)
    assert (done.status, ABSENT in done.err) == (3, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("approve", ABSENT),
        ("approve", "x", "--plan", OTHER),
        ("approve", ABSENT, "--plan", "x"),
        ("approve", ABSENT, "--plan", OTHER.replace("0", "A")),
        ("approve", ABSENT, "--plan", OTHER, "--later", "-1"),
        ("approve", ABSENT, "--plan", OTHER, "--reason", "x"),
        ("decline", ABSENT, "--plan", OTHER),
        ("decline", ABSENT, "--watch"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: tuple[str, ...]) -> None:
    done = shell(*arguments)
    assert (done.status, done.out) == (2, "")


def test_conflicts(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(*_: object) -> None:
        raise ConflictError("changed")

    [import_id] = queued(app, "a.ndjson")
    monkeypatch.setattr("shared.imports.operate.approvals.Approvals.decline", conflict)
    done = shell("decline", import_id)
    assert (done.status, done.out) == (3, "")
    assert (
        done.err == f"error: Import {import_id} is being changed by other processes. Try again.\n"
    )


def test_four_eyes(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    guard(app, APPROVAL_FOUR_EYES="true")
    held = hold_deletes(app)
    done = shell("approve", held.id, "--plan", held.hold.digest)
    assert (done.status, "not known who approves (account key)" in done.err) == (3, True)
    assert "with Entra ID instead of a key" in done.err
    known = Actor("ada", "1", "command line")
    monkeypatch.setattr("cli.decide.caller", lambda _: known)
    done = shell("approve", held.id, "--plan", held.hold.digest)
    assert (done.status, "not known who asked" in done.err) == (3, True)


def test_names_of_a_plan_are_printable(app: App, shell: Shell) -> None:
    guard(app)
    app.configure(APPROVAL="always")
    app.upload("\u202eevil.ndjson", device("new"))
    app.deliver("\u202eevil.ndjson")
    for _ in range(3):
        app.tick()
    [record] = app.records()
    assert record.state == "held"
    assert "\u202e" not in shell("show", record.id).out
    assert "\u202e" not in shell("decline", record.id).out
