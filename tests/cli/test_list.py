"""`device-importer list`."""

from __future__ import annotations

import json
import re

import pytest

from cli.formatting import state_text
from shared.imports.model.states import ImportState
from tests.app import App, device
from tests.cli.conftest import Shell, configure_two_hubs


@pytest.fixture
def three(app: App) -> App:
    """A completed, a rejected and a queued import."""
    app.upload("good.ndjson", device("a"), device("b"))
    app.deliver("good.ndjson")
    app.finish()
    app.upload("bad.ndjson", {"id": "c"})
    app.deliver("bad.ndjson")
    app.hub.occupy_slot()
    app.upload("waits.ndjson", device("d"))
    app.deliver("waits.ndjson")
    return app


def test_no_imports(shell: Shell) -> None:
    done = shell("list")
    assert (done.status, done.out, done.err) == (0, "", "No imports.\n")
    assert shell.json("list") == [{"imports": [], "continuation": "", "searchedBackTo": None}]


def test_text_in_a_pipe(three: App, shell: Shell) -> None:
    done = shell("list")
    assert (done.status, done.err) == (0, "")
    head, *lines = done.out.splitlines()
    titles = ["ID", "UPLOADED", "STATE", "IMPORTED", "INVALID", "FAILED", "TOOK", "FILE", "REASON"]
    assert head.split() == titles
    # Ids may contain "bad".
    names = ("good", "bad", "waits")
    by_file = {name: line for line in lines for name in names if f"{name}.ndjson" in line}
    good = three.record("good.ndjson")
    uploaded = good.uploaded_at.astimezone()
    zone = uploaded.isoformat()[-6:]
    assert by_file["good"].startswith(f"{good.id}  {uploaded:%Y-%m-%d %H:%M:%S} {zone}  completed")
    assert by_file["good"].index(" 2 ") < by_file["good"].index(" 0 ")
    # Not cut.
    assert by_file["bad"].endswith(three.record("bad.ndjson").failure_reason)
    assert "queued" in by_file["waits"]
    assert "\x1b" not in done.out
    assert all(line == line.rstrip() for line in lines)


def test_json(three: App, shell: Shell) -> None:
    [page] = shell.json("list", "--limit", "2")
    assert [item["file"] for item in page["imports"]] != []
    assert {"id", "state", "uploadedAt", "actions", "files"} <= page["imports"][0].keys()
    [rest] = shell.json("list", "--continuation", page["continuation"])
    assert rest["continuation"] == ""
    ids = [item["id"] for item in (*page["imports"], *rest["imports"])]
    assert ids == [record.id for record in three.records()]


def test_pages_and_all(three: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    done = shell("list", "--limit", "1")
    assert "--continuation " in done.err
    token = done.err.split()[-1]
    assert len(shell("list", "--continuation", token).out.splitlines()) == 3
    monkeypatch.setattr("cli.list._PAGE_SIZE", 2)
    everything = shell("list", "--all")
    assert len(everything.out.splitlines()) == 4
    assert everything.err == ""


def test_filters(three: App, shell: Shell) -> None:
    def files(*arguments: str) -> list[str]:
        [page] = shell.json("list", *arguments)
        return [item["file"] for item in page["imports"]]

    # Uploads within the same second are ordered by id.
    listed = files("--state", "queued", "--state", "rejected")
    assert sorted(listed) == ["bad.ndjson", "waits.ndjson"]
    assert len(files("--since", "1h")) == 3
    assert files("--until", "1h") == []
    assert files("--since", "2100-01-01") == []
    [hub] = three.importer.services.hubs
    assert len(files("--hub", hub)) == 3
    assert files("--state", "waiting") == files("--state", "open") == ["waits.ndjson"]
    assert files("--state", "attention", "--file", "BAD") == ["bad.ndjson"]
    assert files("--file", "*s.ndjson") == ["waits.ndjson"]
    shell("cancel", three.record("waits.ndjson").id)
    assert files("--who", "account") == ["waits.ndjson"]
    assert files("--who", "anna") == []
    done = shell("list", "--state", "failed")
    assert (done.status, done.out, len(done.err.splitlines())) == (0, "", 1)


def test_order(three: App, shell: Shell) -> None:
    def files(*arguments: str) -> list[str]:
        [page] = shell.json("list", "--sort", *arguments)
        return [item["file"].removesuffix(".ndjson") for item in page["imports"]]

    assert files("file") == ["bad", "good", "waits"]
    assert files("file", "--reverse") == ["waits", "good", "bad"]
    assert files("state") == ["good", "waits", "bad"]
    # What has no number yet is last in each order.
    assert files("failed")[-1] == files("failed", "--reverse")[-1] == "waits"
    assert files("devices", "--reverse")[0] == "good"


def test_a_search_that_ends_early(
    three: App, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.imports.operate.import_search.MAX_READ", 1)
    done = shell("list", "--file", "nothing", "--limit", "1")
    assert (done.status, done.out) == (0, "")
    searched, going_on = done.err.splitlines()
    assert searched.startswith("Searched back to 20")
    assert shell("list", "--file", "good", "--all", "--sort", "file").out.count("good.ndjson") == 1
    [page] = shell.json("list", "--file", "nothing", "--limit", "1")
    assert page["searchedBackTo"]
    assert page["continuation"] in going_on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--state", "lost"], "'lost' (expected one of: open, waiting, attention, validating"),
        (["--since", "yesterday"], "nor an age such as 30m, 2h or 3d"),
        (["--limit", "0"], "argument --limit: must be a whole number from 1 to 99999999, not '0'"),
        (["--hub", "mars"], "'mars'"),
        (["--sort", "size"], "invalid choice: 'size' (choose from"),
        (["--reverse"], "--reverse needs --sort"),
        (["--continuation", "abc"], "continuation"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: list[str], message: str) -> None:
    done = shell("list", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_control_characters_in_file_names(app: App, shell: Shell, terminal: None) -> None:
    app.upload("a\x9b2Jb.ndjson", {"id": "c"})
    app.deliver("a\x9b2Jb.ndjson")
    done = shell("list")
    assert "\x9b" not in done.out
    assert "a\N{REPLACEMENT CHARACTER}2Jb.ndjson" in done.out


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_a_terminal(
    three: App, shell: Shell, terminal: None, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    lines = shell("list").out.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert "\x1b" not in lines
    assert max(map(len, lines.splitlines())) <= columns
    assert all(record.id in lines for record in three.records())
    assert len(lines.splitlines()) == (4 if columns == 140 else 7)
    assert ("TOOK" in lines) == (columns > 80)
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[31mrejected" in shell("list").out


def test_a_narrow_terminal(
    three: App, shell: Shell, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = re.sub(r"\x1b\[[\d;]*m", "", shell("list").out).splitlines()
    assert max(map(len, lines)) <= 40
    # Each import begins with its id, whole and alone on its line.
    assert [line for line in lines if not line.startswith(" ")] == [
        record.id for record in three.records()
    ]
    good = lines.index(three.record("good.ndjson").id)
    assert lines[good + 1].startswith("  completed  ")
    assert lines[good + 2 : good + 4] == ["  good.ndjson", "  2 imported"]


def test_several_hubs(app: App, shell: Shell) -> None:
    configure_two_hubs(app)
    for name in ("east/a.ndjson", "west/b.ndjson", "c.ndjson"):
        app.upload(name, {"id": "breaks a rule"})
        app.deliver(name)
    head, *lines = shell("list").out.splitlines()
    assert "HUB" in head
    hubs = ("fleet-1 ", "fleet-2 ", "(none)")
    assert {next(hub for hub in hubs if hub in line) for line in lines} == {*hubs}
    assert shell.json("list", "--hub", "west") == shell.json("list", "--hub", "fleet-2")
    assert [q["hub"] for q in shell.json("queues", "--hub", "west")[0]["queues"]] == ["fleet-2"]
    assert shell("watch", "--hub", "west", "--until-idle").err == "No open imports.\n"
    assert "a.ndjson" not in shell("retry", "--hub", "west").out
    [page] = shell.json("list", "--hub", "fleet-2")
    assert [item["file"] for item in page["imports"]] == ["west/b.ndjson"]


def test_find_by_a_folder(app: App, shell: Shell) -> None:
    hub = app.hub.connection_string("registryReadWrite")
    app.configure(IOTHUB=json.dumps({"west": hub}))
    assert "now: not registered" in shell("find", "pump-1", "--hub", "west").out


def test_every_state_has_a_colour() -> None:
    assert all(state_text(state).style for state in ImportState)


def test_a_device_is_not_found_by_the_names_of_files(app: App, shell: Shell) -> None:
    app.upload("fleet.ndjson", device("pump-17"))
    app.deliver("fleet.ndjson")
    done = shell("list", "--file", "pump-17")
    assert (done.status, done.out) == (0, "")
    assert "To find a device: device-importer find pump-17\n" in done.err
    assert "device-importer find" not in shell("list", "--state", "failed").err
