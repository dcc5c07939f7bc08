"""The commands as processes of their own, and what all of them have in common."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.times import moment, when
from shared.text import format_duration
from tests.app import App, device
from tests.cli.conftest import Shell

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In the environment of the test, with warnings as errors."""
    return subprocess.run(
        f"{sys.executable} -W error -m cli {command}",
        shell=True,
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_a_reader_that_goes_away(app: App) -> None:
    for number in range(3):
        app.upload(f"{number}.ndjson", {"id": "x"})
        app.deliver(f"{number}.ndjson")
    done = run("list | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ID ")
    done = run("list --format json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count('"state": "rejected"') + done.stdout.count('"state":"rejected"') == 3


def test_help_lists_all_and_needs_nothing_of_azure(tmp_path: Path) -> None:
    for name in ("azure", "rich"):
        (tmp_path / f"{name}.py").write_text("raise ImportError")
    done = run("--help", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("check", "list", "show", "watch", "cancel", "retry", "upload"):
        assert re.search(rf"^    {name} +[a-z]", done.stdout, re.MULTILINE)
    done = run("upload --help", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Exit status: 0 " in done.stdout


def test_without_rich(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    done = shell("list")
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith("pip install rich\n")


def test_no_command_tells_a_secret(app: App, shell: Shell) -> None:
    secrets = [
        *re.findall(r"SharedAccessKey=([^;]+)", app.settings["IOTHUB"]),
        *re.findall(r"AccountKey=([^;]+)", app.settings["ImporterStorage"]),
    ]
    assert len(secrets) == 2
    app.upload("a.ndjson", device("a"))
    app.deliver("a.ndjson")
    app.finish()
    record = app.record("a.ndjson")
    for command in ("list", "show", "watch", "cancel", "retry"):
        for form in ("text", "json"):
            ids = [] if command == "list" else [record.id]
            done = shell(command, *ids, "--format", form)
            assert not any(secret in done.out + done.err for secret in secrets)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("5 min", timedelta(minutes=5)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_ages(text: str, ago: timedelta) -> None:
    assert abs(datetime.now(UTC) - ago - when(text)) < timedelta(seconds=5)


def test_times() -> None:
    assert when("2026-11-23T09:30:00Z") == NOW
    assert when("2026-11-23") == datetime(2026, 11, 23).astimezone()
    for text in ("soon", "2026-13-01", "999999w", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            when(text)
    local = NOW.astimezone()
    assert moment(NOW, NOW) == f"{local:%H:%M:%S}"
    assert moment(NOW, NOW + timedelta(days=3)) == f"{local:%m-%d %H:%M}"
    assert moment(NOW, NOW + timedelta(days=300)) == f"{local:%Y-%m-%d}"
    assert moment(NOW, NOW, in_full=True) == f"{local:%Y-%m-%d %H:%M:%S}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (3599, "59 min 59 s"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 30, "30 d"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text
