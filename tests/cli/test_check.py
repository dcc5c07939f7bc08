"""`device-importer check`."""

from __future__ import annotations

import ast
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from shared.device_files.rules import Rule
from tests.device_files.support import device, ndjson

ROOT = Path(__file__).parents[2]
BROKEN = ndjson(
    device(id="a"), {"id": "b"}, b"", device(id="c d"), {"id": "e", "status": "enabled"}
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.ndjson"
    path.write_bytes(BROKEN)
    return path


def run(*arguments: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command in a separate process without app settings."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-m", "cli", "check", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, env=environment, check=False)


def objects(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_text(file: Path) -> None:
    done = run(file)
    assert (done.returncode, done.stderr) == (1, b"")
    text = done.stdout.decode()
    assert "\x1b" not in text
    first, *lines, last = text.splitlines()
    assert first == str(file)
    assert last == (f"{file}: 2 of 4 lines valid, 2 errors, 2 warnings; would be rejected (ndjson)")
    expected = [
        "  error status-missing",
        f"    {Rule.STATUS_MISSING.remedy}",
        "    line 2 (b, status): ",
        "  error id-characters",
        f"    {Rule.ID_CHARACTERS.remedy}",
        "    line 4 (c d, id): ",
        "  warning authentication-missing x 2",
        f"    {Rule.AUTHENTICATION_MISSING.remedy}",
        "    line 2 (b, authentication): ",
        "    line 5 (e, authentication): ",
        "  info blank-lines",
        f"    {Rule.BLANK_LINES.remedy}",
        "    blank lines were skipped (1)",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


def test_json(file: Path) -> None:
    done = run(file, "--format", "json")
    assert done.returncode == 1
    *problems, summary = objects(done.stdout)
    assert {tuple(problem) for problem in problems} == {
        ("file", "line", "id", "field", "severity", "code", "message", "remedy")
    }
    assert {
        "file": str(file),
        "line": 4,
        "id": "c d",
        "field": "id",
        "severity": "error",
        "code": "id-characters",
        "message": f"{Rule.ID_CHARACTERS.meaning} (U+0020 SPACE at character 2)",
        "remedy": Rule.ID_CHARACTERS.remedy,
    } in problems
    assert problems[0]["line"] is None
    assert summary["summary"] is True
    assert summary["severities"] == {"error": 2, "warning": 2, "info": 1}
    assert (summary["lines"], summary["valid"], summary["importable"]) == (4, 2, False)


@pytest.mark.parametrize(
    ("content", "arguments", "status"),
    [
        (ndjson(device()), [], 0),
        (ndjson({"id": "a", "status": "enabled"}), [], 0),
        (BROKEN, [], 1),
        (BROKEN, ["--policy", "partial"], 1),
        (b"", [], 1),
        (b"id,authentication.type\na,certificateAuthority\n", [], 1),
        (
            b"id,authentication.type\na,certificateAuthority\n",
            ["--default-status", "enabled", "--default-import-mode", "create"],
            0,
        ),
        (ndjson(device(importMode="delete")), ["--max-deletes", "0"], 1),
        (ndjson(device(importMode="delete")), ["--max-deletes", "0", "--confirm-deletes", "1"], 0),
        (ndjson(device(id="a"), device(id="b")), ["--max-devices", "1"], 1),
        (ndjson(device()), ["--policy", "hope"], 2),
        (ndjson(device()), ["--surprise"], 2),
    ],
)
def test_exit_status(content: bytes, arguments: list[str], status: int) -> None:
    assert run("-", *arguments, given=content).returncode == status


def test_an_unreadable_file_does_not_hide_others(file: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "missing", file, tmp_path, "--format", "json")
    assert done.returncode == 2
    assert b"missing: No such file or directory" in done.stderr
    assert b"Is a directory" in done.stderr
    assert objects(done.stdout)[-1]["lines"] == 4


def test_several_files_have_a_summary_each(file: Path) -> None:
    done = run(file, "-", "--format", "json", given=ndjson(device(id="f g")))
    lines = objects(done.stdout)
    assert [line["file"] for line in lines if "summary" in line] == [str(file), "-"]
    assert {line["file"] for line in lines if line.get("id") == "c d"} == {str(file)}
    assert {line["file"] for line in lines if line.get("id") == "f g"} == {"-"}


def test_a_file_name_that_is_not_unicode(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.ndjson")
    path.write_bytes(BROKEN)
    lines = objects(run(path, "--format", "json").stdout)
    assert {line["file"] for line in lines} == {f"{tmp_path}/caf\ufffd.ndjson"}


@pytest.mark.parametrize(
    ("option", "values", "expected"),
    [
        ("--max-delete-share", ["2", "1.01", "-0.5", "nan", "inf", "1e9", "half", ""], "from 0 to"),
        ("--max-devices", ["0", "-1", "1.5", "nan", "1_000", "\u0663", "9" * 5000], "at least 1"),
        ("--max-deletes", ["-1", "1e3", "ten"], "at least 0"),
        ("--max-problems", ["-1", "0.5", "all"], "at least 0"),
        ("--confirm-deletes", ["-1", "x"], "at least 0"),
    ],
)
def test_a_number_out_of_range(
    file: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    values: list[str],
    expected: str,
) -> None:
    for value in values:
        with pytest.raises(SystemExit) as end:
            main(["check", str(file), f"{option}={value}"])
        assert end.value.code == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert f"argument {option}: must be a " in shown.err
        assert expected in shown.err


@pytest.mark.parametrize("share", ["0", "0.25", ".5", "1", "1.0", "1e-3"])
def test_a_valid_share(file: Path, share: str) -> None:
    assert main(["check", str(file), "--max-delete-share", share]) == 1


def test_json_lists_all_problems_and_text_some(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson"
    path.write_bytes(b'{"id":"a b","status":"enabled","importMode":"create"}\n' * 1500)
    *problems, summary = objects(run(path, "--format", "json").stdout)
    assert len([problem for problem in problems if problem["code"] == "id-characters"]) == 1500
    assert summary["truncated"] is False
    text = run(path).stdout.decode()
    assert "error id-characters x 1,500" in text
    assert "and 1,495 more" in text


def test_a_closed_pipe(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson"
    path.write_bytes(b"{}\n" * 50_000)
    command = f"{sys.executable} -m cli check --format json {path} | head -1"
    done = subprocess.run(
        command, shell=True, capture_output=True, check=False, cwd=ROOT, text=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_control_characters_are_replaced() -> None:
    done = run("-", given=ndjson({"id": "\x1b[2Jx", "status": "enabled", "\x1b]0;t\x07": 1}))
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colour_on_a_terminal(file: Path, no_color: str) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "check", file],
        stdout=slave,
        stderr=slave,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": no_color},
    )
    process.wait(30)
    os.close(slave)
    output = b""
    try:
        while piece := os.read(master, 65536):
            output += piece
    except OSError:
        pass  # the end of a terminal
    os.close(master)
    assert (b"\x1b[31merror" in output) == (not no_color)


def test_progress(
    monkeypatch: pytest.MonkeyPatch, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["check", str(file), "--format", "json"]) == 1
    shown = terminal.getvalue()
    assert str(file)[:20] in shown
    # The bar is removed and the cursor shown again.
    assert shown.endswith("\x1b[2K")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_azure_is_not_imported(file: Path, tmp_path: Path) -> None:
    modules = (
        "import sys; from cli.__main__ import main; main(sys.argv[1:]);"
        "print(sorted(name for name in sys.modules if name.startswith(('azure', 'shared.'))))"
    )
    command = [sys.executable, "-c", modules, "check", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    imported = ast.literal_eval(done.stdout.splitlines()[-1])
    assert "shared.device_files.validation" in imported
    assert "shared.settings" not in imported
    assert not [name for name in imported if name.startswith("azure")]
