"""Commands that are suggested work when they are pasted; ids may be abbreviated."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from cli.output import Output
from shared.imports.store.claims import CLAIMS
from tests.app import App, device
from tests.cli.conftest import Done, Shell, queued
from tests.web.support import share_job

#: As a shell has to quote it.
SETTINGS = "my settings.json"


def suggested(done: Done) -> list[list[str]]:
    """The arguments of every command in an output, as a shell reads them."""
    lines = (done.out + done.err).splitlines()
    commands = [
        line[line.index("device-importer ") :] for line in lines if "device-importer" in line
    ]
    return [shlex.split(command, comments=True)[1:] for command in commands]


@pytest.fixture
def settings(tmp_path: Path) -> str:
    (tmp_path / SETTINGS).write_text('{"Values": {}}')
    return SETTINGS


def test_all_have_the_settings_of_the_command(app: App, shell: Shell, settings: str) -> None:
    Path("a file.ndjson").write_text(json.dumps(device("x")) + "\n")
    options = ("--settings", settings)
    uploaded = shell("upload", "a file.ndjson", *options)
    [check, show] = suggested(uploaded)
    # The check needs no settings.
    assert check == ["check", "a file.ndjson"]
    assert show[0] == "show"
    assert shell(*check).status == 0
    app.hub.occupy_slot()
    app.deliver("a file.ndjson")
    done = shell(*show)
    assert done.status == 0
    commands = suggested(done)
    assert {command[0] for command in commands} == {"watch", "cancel", "show", "list"}
    assert all(command[-2:] == [*options] for command in commands)
    [cancel] = [command for command in commands if command[0] == "cancel"]
    assert shell(*cancel).status == 0
    [watch] = suggested(shell("retry", cancel[1], *options))
    assert watch == ["watch", app.records()[0].id, *options]


def test_without_settings_they_are_short(app: App, shell: Shell) -> None:
    [import_id] = queued(app, "a.ndjson")
    assert ["watch", import_id] in suggested(shell("show", import_id))


def test_a_program_that_is_not_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [".venv/bin/device-importer", "list"])
    assert Output("text").command("list") == ".venv/bin/device-importer list"
    monkeypatch.setattr("sys.argv", ["/x/cli/__main__.py", "list"])
    assert Output("text").command("list") == "device-importer list"


def test_commands_are_not_cut_on_a_narrow_terminal(
    app: App, shell: Shell, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    [import_id] = queued(app, "a.ndjson")
    monkeypatch.setenv("COLUMNS", "40")
    lines = re.sub(r"\x1b\[[\d;]*m", "", shell("show", import_id).out).splitlines()
    assert f"  device-importer watch {import_id}" in lines
    assert "  # follow it" in lines


def test_ids_may_be_abbreviated(app: App, shell: Shell) -> None:
    first, second = queued(app, "a.ndjson", "b.ndjson")
    short = first[:6]
    assert shell("show", short.upper()).out.startswith(f"{first}  ")
    # Given twice, it is cancelled once.
    done = shell("cancel", short, first, second[:8])
    assert done.out == f"{first}  a.ndjson  cancelled\n{second}  b.ndjson  cancelled\n"
    assert (done.status, done.err) == (0, "")
    [retried] = shell.json("retry", short)
    assert retried["retryOf"] == first
    # Retries have claims, too.
    assert shell("show", retried["id"][:12]).status == 0
    assert shell("watch", first[:8], second[:8], first).status == 1


def test_an_abbreviated_job(app: App, shell: Shell) -> None:
    first, _ = share_job(app, "a.ndjson", "b.ndjson")
    assert shell("cancel", first.id[:8], "--job", first.job_record[:8]).status == 0
    assert app.record("a.ndjson").cancel_reason is not None


def test_an_ambiguous_id(app: App, shell: Shell) -> None:
    [real] = queued(app, "a.ndjson")
    prefix = real[:5]
    others = [f"{prefix}{number:019d}" for number in range(11)]
    for other in others:
        app.table.create_entity({"PartitionKey": CLAIMS, "RowKey": other, "file": f"{other}.csv"})
    done = shell("show", prefix)
    assert (done.status, done.out) == (3, "")
    head, *lines = done.err.splitlines()
    assert head == f"error: The import id '{prefix}' is ambiguous. Use more of its digits:"
    assert len(lines) == 11
    assert lines[-1] == "  and more"
    ids = sorted([real, *others])[:10]
    assert [line.split()[0] for line in lines[:-1]] == ids
    assert f"  {others[0]}  unknown  {others[0]}.csv" in lines
    # A full id is no prefix.
    assert shell("show", real).status == 0


def test_a_full_id_without_a_claim(app: App, shell: Shell) -> None:
    app.upload("a.ndjson", device("a"))
    app.deliver("a.ndjson")
    import_id = app.record("a.ndjson").id
    app.table.delete_entity(CLAIMS, import_id)
    assert shell("show", import_id).status == 0
    assert shell("cancel", import_id[:8]).status == 3
