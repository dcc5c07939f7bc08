"""Imports that were compared with the registry, as the commands show them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.cli.conftest import Shell

NAME = "pumps.ndjson"


@pytest.fixture
def planned(app: App) -> ImportRecord:
    """An import that is `planning`: one line to create, 29 unchanged, one that would fail."""
    app.configure(APPLY="changes")
    certificates = {"type": "certificateAuthority"}
    for number in range(29):
        app.hub.registry.put(device(f"pump-{number}", authentication=certificates))
    app.upload(
        NAME,
        *(device(f"pump-{number}", authentication=certificates) for number in range(30)),
        device("ghost", importMode="delete"),
    )
    app.deliver(NAME)
    record = app.record(NAME)
    assert record.state == "planning"
    return record


def test_while_it_is_planned(planned: ImportRecord, shell: Shell) -> None:
    assert "planning" in shell("list").out
    done = shell("show", planned.id)
    assert "  devices   31 to import (1 delete)\n" in done.out
    assert "  planning  " in done.out
    assert f"  device-importer cancel {planned.id}  " in done.out


def test_after_its_end(app: App, planned: ImportRecord, shell: Shell) -> None:
    app.finish()
    done = shell("show", planned.id)
    for text in (
        "  devices   1 imported, 1 failed, 29 unchanged\n",
        "  plan      1 to send, 1 would fail; registry as of 2",
        "\nFailed lines\n  rejected 404001 DeviceNotFound\n",
        f"  device-importer show {planned.id} --file plan.csv ",
    ):
        assert text in done.out
    head, line = shell("list").out.splitlines()
    assert head.split()[3:6] == ["IMPORTED", "UNCHANGED", "FAILED"]
    assert line.split()[5:8] == ["1", "29", "1"]
    [item] = shell.json("list")
    assert item["imports"][0]["unchanged"] == 29
    [detail] = shell.json("show", planned.id)
    assert detail["plan"]["sent"] == 1
    assert "29 unchanged, 1 failed" in shell("watch", planned.id).out


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (80, ["IMPORTED", "FAILED"]),
        (90, ["IMPORTED", "UNCHANGED", "FAILED"]),
        (100, ["IMPORTED", "UNCHANGED", "FAILED", "TOOK"]),
    ],
)
def test_list_on_narrow_terminals(
    app: App,
    planned: ImportRecord,
    shell: Shell,
    terminal: None,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    titles: list[str],
) -> None:
    app.finish()
    monkeypatch.setenv("COLUMNS", str(width))
    head, line, _ = re.sub(r"\x1b\[\d*m", "", shell("list").out).splitlines()
    assert head.split()[3:] == titles
    assert "…" not in line


def test_its_files(app: App, planned: ImportRecord, shell: Shell, tmp_path: Path) -> None:
    done = shell("show", planned.id, "--file", "plan.json")
    assert done.status == 3
    app.finish()
    targets = {name: tmp_path / name for name in ("plan.json", "plan.csv")}
    for name, target in targets.items():
        done = shell("show", planned.id, "--file", name, "--output", str(target))
        assert done.status == 0
    plan = json.loads(targets["plan.json"].read_text())
    assert plan["counts"]["unchanged"] == 29
    with targets["plan.csv"].open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 31


def test_when_all_lines_are_sent(app: App, planned: ImportRecord, shell: Shell) -> None:
    app.configure(MAX_ATTEMPTS="1")
    app.hub.wait_idle()
    [name] = [item.name for item in app.blobs.list_containers(f"import-{planned.id}-snapshot-")]
    app.blobs.get_blob_client(name, "devices.txt").delete_blob()
    app.hub.occupy_slot()
    while not app.record(NAME).plan.missing:
        app.tick()
    reason = app.record(NAME).plan.missing
    assert f"  plan      {reason}\n" in shell("show", planned.id).out
    app.hub.free_slot()
    app.pass_minutes(5)
    app.finish()
    assert app.record(NAME).state.is_final
    out = shell("show", planned.id).out
    assert out.count("all of its lines are sent") == 1
    assert "UNCHANGED" not in shell("list").out
