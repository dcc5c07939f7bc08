"""`device-importer show`."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.cli.conftest import Shell
from tests.web.support import share_job


@pytest.fixture
def partial(app: App) -> ImportRecord:
    """An import completed with errors: one of its two devices is in the hub already."""
    app.hub.registry.put(device("there"))
    app.upload("some.ndjson", device("new"), device("there", importMode="create"))
    app.deliver("some.ndjson")
    app.finish()
    return app.record("some.ndjson")


def test_a_partial_success(partial: ImportRecord, shell: Shell) -> None:
    done = shell("show", partial.id)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{partial.id}  completedWithErrors\n")
    for text in (
        "  devices   1 imported, 1 failed\n",
        f"  job       {partial.job.id} (completed",
        f"  reason    {partial.failure_reason}\n",
        "\nStates\n",
        "  validating  ",
        "\n  rejected 409001 DeviceAlreadyExists\n    ",
        "\n    line 2 (there): ",
        "\n  warning authentication-missing\n    ",
        f"  device-importer show {partial.id} --file retry.ndjson --output retry.ndjson  # correct",
        "  device-importer upload retry.ndjson ",
    ):
        assert text in done.out
    # The hub would reject the line again.
    assert "device-importer retry" not in done.out
    assert "\x1b" not in done.out


def test_an_import_that_shares_its_job(app: App, shell: Shell) -> None:
    first, second = share_job(app, "a.ndjson", "b.ndjson")
    app.upload("waits.ndjson", device("a.ndjson"))
    app.deliver("waits.ndjson")
    done = shell("show", first.id)
    for text in (
        "  job files  in one job with 1 other file\n",
        f"\nOther files in the job\n  {second.id}  running  b.ndjson\n",
        f"  device-importer cancel {first.id} --job {first.job_record}  # ",
    ):
        assert text in done.out
    assert "running 0 % (2 files)" in shell("list").out
    waits = app.record("waits.ndjson")
    assert "  position  job 2 in the hub's queue\n" in shell("show", waits.id).out
    before = app.record("before.ndjson")
    keys = {"PartitionKey": before.hub, "RowKey": before.row_key}
    times = {"startTimeUtc": app.clock(), "endTimeUtc": app.clock() + timedelta(hours=50)}
    app.table.update_entity({**keys, **times})
    assert re.search("\n  start     expected .*, in about 2 d", shell("show", waits.id).out)


def test_json(partial: ImportRecord, shell: Shell) -> None:
    [detail] = shell.json("show", partial.id)
    assert detail["id"] == partial.id
    assert detail["actions"] == ["retry"]
    assert [entry["state"] for entry in detail["history"]][-1] == "completedWithErrors"


def test_a_rejected_file(app: App, shell: Shell) -> None:
    app.upload("bad.ndjson", *({"id": f"x{number}"} for number in range(9)))
    app.deliver("bad.ndjson")
    done = shell("show", app.record("bad.ndjson").id)
    assert "  lines     9, 9 invalid\n" in done.out
    assert "  error status-missing x 9\n" in done.out
    assert "\n    and 4 more\n" in done.out
    assert "    line 1 (x0" in done.out
    assert "device-importer upload FILE " in done.out
    assert "device-importer retry" not in done.out


def test_commands_for_open_and_retried_imports(app: App, shell: Shell) -> None:
    app.hub.occupy_slot()
    for name in ("a.ndjson", "b.ndjson"):
        app.upload(name, device("a"))
        app.deliver(name)
    record = app.record("b.ndjson")
    out = shell("show", record.id).out
    assert f"  device-importer cancel {record.id} " in out
    assert f"  device-importer watch {record.id} " in out
    shell("cancel", record.id)
    shell("retry", record.id)
    again = next(item for item in app.records() if item.retry_of == record.id)
    assert f"  retried as  {again.id}\n" in shell("show", record.id).out
    assert f"  retry of  {record.id}\n" in shell("show", again.id).out


def test_a_deleted_container(partial: ImportRecord, app: App, shell: Shell) -> None:
    app.container_of(partial).delete_container()
    done = shell("show", partial.id)
    assert done.status == 0
    assert "\nReport\n  report.json" in done.out
    done = shell("show", partial.id, "--file", "retry.ndjson")
    assert done.status == 3
    assert "IMPORT_RETENTION_DAYS" in done.err


def test_files(partial: ImportRecord, app: App, shell: Shell, tmp_path: Path) -> None:
    retry_lines = shell("show", partial.id, "--file", "retry.ndjson").out
    assert json.loads(retry_lines)["id"] == "there"
    assert json.loads(shell("show", partial.id, "--file", "report.json", "--output", "-").out)
    target = tmp_path / "again.ndjson"
    done = shell("show", partial.id, "--file", "retry.ndjson", "--output", target)
    assert (done.status, done.out) == (0, "")
    assert target.read_text() == retry_lines
    # It contains device keys.
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["again.ndjson"]
    done = shell("show", partial.id, "--file", "retry.ndjson", "--output", tmp_path / "no" / "x")
    assert done.status == 2
    assert "No such file or directory" in done.err


def test_results_of_all_lines(partial: ImportRecord, shell: Shell, tmp_path: Path) -> None:
    done = shell("show", partial.id, "--file", "results.csv")
    rows = [*csv.DictReader(io.StringIO(done.out, newline=""))]
    assert len(rows) == partial.lines
    assert sum(row["result"] == "imported" for row in rows) == partial.imported
    target = tmp_path / "results.csv"
    written = shell("show", partial.id, "--file", "results.csv", "--output", target)
    assert written.err == f"{target}: {len(target.read_bytes()):,} bytes\n"
    assert target.read_bytes().decode() == done.out


def test_missing_imports_and_files(app: App, shell: Shell) -> None:
    done = shell("show", "0" * 24)
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("error: ")
    assert "0" * 24 in done.err
    assert "(the blobs of " in done.err
    assert shell("show", "0" * 23).status == 3
    assert shell("show", "0" * 3).status == 2
    app.upload("good.ndjson", device("a", authentication={"type": "certificateAuthority"}))
    app.deliver("good.ndjson")
    app.finish()
    done = shell("show", app.record("good.ndjson").id, "--file", "retry.ndjson")
    assert done.status == 3
    assert "has no retry.ndjson" in done.err


def test_colours_on_a_terminal(partial: ImportRecord, shell: Shell, terminal: None) -> None:
    out = shell("show", partial.id).out
    assert "\x1b[33mcompletedWithErrors" in out
    assert "\x1b[31mrejected" in out
