"""`device-importer plan --registry`: offline, for an exported registry."""

from __future__ import annotations

import ast
import gzip
import io
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from tests.cli.conftest import Done
from tests.cli.fleet import KEYS, ROOT, change, line, ndjson

OTHER_KEYS = ("b3RoZXItb25lLW9mLXRoZS1kZXZpY2U=", "b3RoZXItdHdvLW9mLXRoZS1kZXZpY2U=")
NOTE = b"The keys of the devices are not part of this export.\n"

Plan = Callable[..., Done]


def entry(device_id: str, **members: Any) -> dict[str, Any]:
    etags = {"eTag": "MQ==", "twinETag": "AAAAAAAAAAE="}
    return {**line(device_id), **etags, **members}


REGISTRY = ndjson(*(entry(f"d{number}") for number in range(1, 6)))
FILE = ndjson(
    line("d1"),
    line("d2", tags={"site": "west", "hall": 7}),
    line("d3", OTHER_KEYS, status="disabled"),
    change("d4", "delete"),
    line("new"),
    change("gone", "delete"),
)
SUMMARY = (
    "Plan: 1 to create, 2 to update (1 get new keys), 1 unchanged, 1 to delete, 0 left out, "
    "1 would fail"
)


@pytest.fixture
def plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Plan:
    """Plan a file for a registry in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run(file: bytes, registry: bytes, *options: str, name: str = "fleet.ndjson") -> Done:
        Path(name).write_bytes(file)
        Path("export.txt").write_bytes(registry)
        status = main(["plan", name, "--registry", "export.txt", *options])
        return Done(status, *capsys.readouterr())

    return run


def test_text(plan: Plan) -> None:
    Path("export.txt").touch()
    done = plan(FILE, REGISTRY)
    assert done.status == 1
    assert "\x1b" not in done.out
    texts = done.out.splitlines()
    assert texts[0].startswith("Plan of fleet.ndjson for the registry in export.txt (5 devices), ")
    assert texts[-1] == SUMMARY
    for text in (
        "To create: 1",
        "  + line 5 (new)",
        "To update: 2 (1 with new keys, 1 to be disabled)",
        "  ~ line 2 (d2): tags.site, tags.hall",
        "To delete: 1",
        "  - line 4 (d4)",
        "Would fail: 1",
        "  ! 404001 DeviceNotFound",
        "    line 6 (gone)",
    ):
        assert text in texts
    [update] = [text for text in texts if "(d3)" in text]
    assert update.startswith("  ~ line 3 (d3): status, authentication.symmetricKey; new keys: ")
    # Updates with new keys are the first of theirs.
    assert texts.index(update) < texts.index("  ~ line 2 (d2): tags.site, tags.hall")


def test_the_time_is_that_of_the_file(plan: Plan) -> None:
    plan(FILE, REGISTRY)
    modified_at = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    os.utime("export.txt", (modified_at.timestamp(),) * 2)
    seen = subprocess.run(
        [sys.executable, "-m", "cli", "plan", "fleet.ndjson", "--registry", "export.txt"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TZ": "UTC"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert "last modified 2026-11-23 09:30:00 +00:00" in seen.stdout.splitlines()[0]


def test_detail_shows_values_but_no_key(plan: Plan) -> None:
    done = plan(FILE, REGISTRY, "--detail")
    texts = done.out.splitlines()
    for text in (
        '      tags.site: "east" -> "west"',
        "      tags.hall: (none) -> 7",
        '      status: "enabled" -> "disabled"',
        "      authentication.symmetricKey: changed",
    ):
        assert text in texts
    assert texts[-1] == SUMMARY
    for form in ("text", "json"):
        done = plan(FILE, REGISTRY, "--detail", "--format", form)
        assert not any(key in done.out + done.err for key in (*KEYS, *OTHER_KEYS))


def test_first_lines_and_all_lines(plan: Plan) -> None:
    lines = [line(f"n{number}") for number in range(1, 31)]
    done = plan(ndjson(*lines), REGISTRY)
    assert done.out.count("  + line ") == 10
    assert "    and 20 more (--detail shows all)" in done.out.splitlines()
    assert plan(ndjson(*lines), REGISTRY, "--detail").out.count("  + line ") == 30


def test_json(plan: Plan) -> None:
    [value] = plan(FILE, REGISTRY, "--format", "json").objects
    assert value["counts"]["update"] == 2
    assert value["counts"]["newKeys"] == value["counts"]["create"] == value["counts"]["fail"] == 1
    assert (value["file"], value["policy"], value["importable"]) == ("fleet.ndjson", "reject", True)
    assert value["validation"]["valid"] == 6
    assert (value["source"], value["keysCompared"], value["hubDevices"]) == ("export", True, 5)
    # What destroys something comes first; with all details, the order is that of the file.
    assert [change["line"] for change in value["changes"]] == [3, 4, 2, 5, 6]
    [detailed] = plan(FILE, REGISTRY, "--format", "json", "--detail").objects
    in_order = sorted(value["changes"], key=lambda change: change["line"])
    assert {**detailed, "asOf": value["asOf"]} == {**value, "changes": in_order}


def test_json_with_detail_lists_all(plan: Plan) -> None:
    file = ndjson(*(line(f"n{number}") for number in range(1500)))
    [value] = plan(file, REGISTRY, "--format", "json").objects
    assert (len(value["changes"]), value["truncated"]) == (1000, True)
    [value] = plan(file, REGISTRY, "--format", "json", "--detail").objects
    assert (len(value["changes"]), value["truncated"]) == (1500, False)


@pytest.mark.parametrize(
    ("file", "options", "status"),
    [
        (ndjson(line("d1")), [], 0),
        (ndjson(line("d1", status="disabled")), [], 10),
        (ndjson(line("new")), [], 10),
        (ndjson(change("d1", "delete")), [], 10),
        (ndjson(change("gone", "delete")), [], 1),
        (ndjson(change("d1", "create"), line("new")), [], 1),
        (ndjson(line("d1"), {"id": "b"}), [], 1),
        (ndjson(line("d1"), {"id": "b"}), ["--policy", "partial"], 1),
        (ndjson(change("d1", "delete")), ["--max-deletes", "0"], 1),
        (ndjson(change("d1", "delete")), ["--max-deletes", "0", "--confirm-deletes", "1"], 10),
        (ndjson(line("d1")), ["--hub", "fleet"], 2),
    ],
)
def test_exit_status(plan: Plan, file: bytes, options: list[str], status: int) -> None:
    assert plan(file, REGISTRY, *options).status == status


def test_a_file_with_errors_has_no_plan(plan: Plan) -> None:
    file = ndjson(line("d1"), {"id": "b"})
    done = plan(file, REGISTRY)
    assert "error status-missing" in done.out
    assert "Plan" not in done.out
    assert done.err.startswith("error: ")
    [value] = plan(file, REGISTRY, "--format", "json").objects
    assert value["importable"] is False
    assert value["validation"]["problems"][0]["code"] == "status-missing"
    assert "counts" not in value
    # The registry is not read.
    assert plan(file, b"[", "--format", "json").status == 1


def test_left_out_lines_and_line_numbers(plan: Plan) -> None:
    system_module = {"id": "d1", "moduleId": "$edgeAgent", "status": "enabled"}
    file = b"\n\n" + ndjson({"id": "b"}, system_module, line("new"))
    done = plan(file, REGISTRY, "--policy", "partial")
    assert "  + line 5 (new)" in done.out.splitlines()
    assert ", 2 left out, " in done.out.splitlines()[-1]
    [value] = plan(file, REGISTRY, "--policy", "partial", "--format", "json").objects
    assert value["counts"]["leftOut"] == 2


def test_csv_with_defaults(plan: Plan) -> None:
    file = b"id\nd1\nd2\n"
    done = plan(
        file,
        REGISTRY,
        *("--default-status", "enabled", "--default-import-mode", "delete"),
        name="fleet.csv",
    )
    assert "2 to delete" in done.out
    assert "  - line 2 (d1)" in done.out.splitlines()


def test_gzipped_registry_and_one_without_keys(plan: Plan) -> None:
    assert plan(FILE, gzip.compress(REGISTRY)).out.splitlines()[-1] == SUMMARY
    blank = {"type": "sas", "symmetricKey": {"primaryKey": None, "secondaryKey": None}}
    registry = NOTE + ndjson(*(entry(f"d{n}", authentication=blank) for n in range(1, 6)))
    done = plan(FILE, registry)
    assert "3 lines: keys are not compared" in done.out
    assert "device-importer export --keys " in done.out
    assert "(0 get new keys)" in done.out
    [value] = plan(FILE, registry, "--format", "json").objects
    assert value["keysCompared"] is False


@pytest.mark.parametrize(
    "registry", [b"", NOTE, gzip.compress(b"", mtime=0)], ids=["empty", "note", "gzip"]
)
def test_a_registry_without_devices(plan: Plan, registry: bytes) -> None:
    """It may be that of an empty hub, or a file that was never written."""
    done = plan(ndjson(line("new")), registry)
    assert (done.status, "1 to create" in done.out) == (10, True)
    assert "warning: export.txt contains no devices" in done.err
    assert "device-importer export -o export.txt" in done.err
    assert plan(ndjson(line("new")), REGISTRY).err == ""


@pytest.mark.parametrize(
    ("registry", "where"),
    [
        (REGISTRY[:-40], "Line 5 "),
        (NOTE + b"id,status\n", "Line 2 "),
        (b'[{"deviceId":"d1"}]', "Line 1 "),
        (ndjson({"deviceId": "d1", "status": "enabled"}), "Line 1 "),
        (gzip.compress(REGISTRY)[:-20], "gzip"),
    ],
)
def test_a_registry_that_is_no_export(plan: Plan, registry: bytes, where: str) -> None:
    done = plan(FILE, registry)
    assert (done.status, done.out) == (2, "")
    assert "error: export.txt: " in done.err
    assert where in done.err
    assert "Export the registry again." in done.err


def test_files_that_cannot_be_read(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    plan(FILE, REGISTRY)
    for file, registry, missing in (
        ("nothing", "export.txt", "nothing"),
        ("fleet.ndjson", "nothing", "nothing"),
        ("fleet.ndjson", ".", "."),
    ):
        assert main(["plan", file, "--registry", registry]) == 2
        assert f"error: {missing}: " in capsys.readouterr().err


def test_standard_input(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(FILE, REGISTRY)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(FILE)))
    assert main(["plan", "-", "--registry", "export.txt"]) == 1
    texts = capsys.readouterr().out.splitlines()
    assert (texts[0][:23], texts[-1]) == ("Plan of standard input ", SUMMARY)
    assert main(["plan", "fleet.ndjson", "--registry", "-"]) == 2
    assert "--registry must be a file" in capsys.readouterr().err


def test_control_characters_are_replaced(plan: Plan) -> None:
    file = ndjson(line("d1", statusReason="\x1b[2J", tags={"a": "\x9b1m"}))
    for options in ([], ["--detail"], ["--format", "json", "--detail"]):
        done = plan(file, REGISTRY, *options)
        assert done.status == 10
        assert not any(char in done.out for char in "\x1b\x9b")


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal(plan: Plan, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    plan(FILE, REGISTRY)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32m+\x1b[0m" in plan(FILE, REGISTRY).out
    monkeypatch.setenv("NO_COLOR", "1")
    done = plan(FILE, REGISTRY)
    assert "\x1b[3" not in done.out
    plain = done.out.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert max(map(len, plain.splitlines())) <= columns
    assert SUMMARY in " ".join(plain.split())


def test_a_closed_pipe_keeps_the_exit_status(plan: Plan) -> None:
    plan(ndjson(*(line(f"n{number}") for number in range(5000))), REGISTRY)
    command = f"{sys.executable} -m cli plan fleet.ndjson --registry export.txt --detail"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (10, "")
    assert len(done.stdout.splitlines()) == 1


def test_azure_is_not_imported(plan: Plan) -> None:
    plan(FILE, REGISTRY)
    modules = (
        "import sys; from cli.__main__ import main; main(sys.argv[1:]);"
        "print(sorted(name for name in sys.modules if name.startswith(('azure', 'shared.'))))"
    )
    command = [sys.executable, "-c", modules, "plan", "fleet.ndjson", "--registry", "export.txt"]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    imported = ast.literal_eval(done.stdout.splitlines()[-1])
    assert "shared.plan.planner" in imported
    assert "shared.settings" not in imported
    assert not [name for name in imported if name.startswith("azure")]
