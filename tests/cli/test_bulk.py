"""`device-importer cancel` and `retry` with filters."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from cli import bulk
from tests.app import App, device
from tests.cli.conftest import Shell, meanwhile, queued, tick_until_final
from tests.web.guarded import guard, hold_deletes
from tests.web.support import share_job


def pasted(err: str) -> list[str]:
    """The arguments of the command in the last line."""
    _, _, command = err.splitlines()[-1].partition(": device-importer ")
    return shlex.split(command)


def test_the_number_has_to_be_confirmed(app: App, shell: Shell) -> None:
    ids = queued(app, "pump-1.ndjson", "pump-2.ndjson", "meter.ndjson")
    done = shell("cancel", "--state", "waiting", "--file", "PUMP-*")
    assert done.status == 3
    assert sorted(done.out.splitlines()) == sorted(
        f"{id}  queued  pump-{number}.ndjson" for number, id in zip((1, 2), ids[:2], strict=True)
    )
    error, hint = done.err.splitlines()
    assert error == "error: 2 imports would be cancelled; nothing was done."
    assert hint.endswith("--count 2")
    assert shell("cancel", "--file", "pump-*", "--count", "1").status == 3
    assert {record.state for record in app.records()} == {"queued"}
    # A file that is uploaded later is not one of them.
    app.clock.ahead_minutes(1)
    done = shell(*pasted(done.err))
    assert done.status == 0
    assert sorted(done.out.splitlines()) == sorted(
        f"{id}  pump-{number}.ndjson  cancelled" for number, id in zip((1, 2), ids[:2], strict=True)
    )
    assert done.err == "2 cancelled.\n"
    assert app.record("meter.ndjson").state == "queued"
    done = shell("cancel", "--file", "pump")
    assert (done.status, done.out, done.err) == (0, "", "No imports to cancel.\n")


def test_retry_what_somebody_cancelled(app: App, shell: Shell) -> None:
    first, second = queued(app, "a.ndjson", "b.ndjson")
    shell("cancel", first, second)
    [asked] = shell.json("retry", "--who", "account")
    assert (asked["action"], asked["count"]) == ("retry", 2)
    assert {item["id"] for item in asked["imports"]} == {first, second}
    retried = shell.json("retry", "--who", "account", "--count", "2")
    assert {item["retryOf"] for item in retried} == {first, second}
    assert shell("retry", "--state", "attention", "--state", "cancelled").err == (
        "No imports to retry.\n"
    )


@pytest.mark.parametrize("hub", [{"job_seconds": 30}], indirect=True)
def test_follow_to_the_end(app: App, shell: Shell) -> None:
    app.upload("a.ndjson", device("a"))
    app.deliver("a.ndjson")
    queued(app, "b.ndjson")
    with meanwhile(lambda: tick_until_final(app)):
        done = shell("cancel", "--state", "open", "--count", "2", "--watch", "--interval", "0.2")
    assert done.status == 0
    assert "a.ndjson  running 0 %: the app cancels its job as soon as it can" in done.out
    assert {record.state for record in app.records()} == {"cancelled"}


def test_what_is_not_included(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_LISTED", 1)
    first, *_ = share_job(app, "a.ndjson", "b.ndjson")
    done = shell("cancel", "--file", "a.ndjson", "--state", "open")
    assert (done.status, done.out) == (0, "")
    assert f"See: device-importer show {first.id}\n" in done.err
    done = shell("cancel", "--state", "open")
    assert done.out.splitlines()[1:] == ["and 1 more"]
    assert shell(*pasted(done.err)).err == "2 ending with their jobs.\n"
    app.tick()
    app.finish()
    guard(app)
    held = hold_deletes(app, "held.ndjson")
    done = shell("cancel", "--state", "open")
    assert done.status == 0
    assert "wait for approval (1 at these hubs)" in done.err
    # It waits, too, though it is not in the group of that name.
    for state in ("waiting", "queued"):
        assert "wait for approval (1 at these hubs)" in shell("cancel", "--state", state).err
    assert "wait for approval" not in shell("cancel", "--state", "running").err
    assert app.record(held.file).state == "held"


def test_settings_are_part_of_the_command(app: App, shell: Shell) -> None:
    queued(app, "a.ndjson")
    Path("my settings.json").write_text('{"Values": {}}')
    done = shell("cancel", "--state", "queued", "--settings", "my settings.json")
    assert pasted(done.err)[-2:] == ["--settings", "my settings.json"]
    assert shell(*pasted(done.err)).status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either by their ids or by filters"),
        (["0" * 24, "--state", "queued"], "either by their ids or by filters"),
        (["0" * 24, "--count", "1"], "--count confirms what filters select"),
        (["--state", "queued", "--job", "0" * 24], "--job needs the ids"),
        (["--state", "lost"], "unknown state 'lost'"),
        (["--hub", "mars"], "'mars'"),
        (["--state", "queued", "--count", "-1"], "must be a whole number from 0 to 1000"),
        (["--state", "queued", "--count", "1001"], "must be a whole number from 0 to 1000"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: list[str], message: str) -> None:
    done = shell("cancel", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
