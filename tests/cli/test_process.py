"""The program as a process, and what all commands have in common."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.__main__ import main
from cli.arguments import time_or_age
from cli.errors import Exit
from cli.program import COMMANDS
from cli.times import full_time, short_time
from shared.text import format_duration
from tests.app import App, device
from tests.cli.conftest import Shell

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with warnings as errors."""
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


def test_a_closed_pipe(app: App) -> None:
    for number in range(3):
        app.upload(f"{number}.ndjson", {"id": "x"})
        app.deliver(f"{number}.ndjson")
    done = run("list | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ID ")
    done = run("list --format json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count('"state": "rejected"') + done.stdout.count('"state":"rejected"') == 3


def test_help_lists_all_commands_and_does_not_import_azure(tmp_path: Path) -> None:
    (tmp_path / "azure.py").write_text("raise ImportError")
    done = run("--help", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: device-importer ")
    for name in COMMANDS:
        assert re.search(rf"^ +{name} +[a-z]", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(shell: Shell, command: str) -> None:
    done = shell(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"usage: device-importer {command} ")
    listed = " ".join(done.out.partition("Exit status:")[2].split())
    assert all(f"{status.value} " in listed for status in Exit)


def test_no_secret_is_shown(app: App, shell: Shell) -> None:
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
    assert abs(datetime.now(UTC) - ago - time_or_age(text)) < timedelta(seconds=5)


def test_timestamps() -> None:
    assert time_or_age("2026-11-23T09:30:00Z") == NOW
    assert time_or_age("2026-11-23") == datetime(2026, 11, 23).astimezone()
    for text in ("soon", "2026-13-01", "999999w", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            time_or_age(text)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="sets the zone of the process")
@pytest.mark.parametrize(
    ("zone", "full", "today", "this_year", "year"),
    [
        ("UTC0", "09:30:00 +00:00", "09:30:00 +00", "11-23 09:30 +00", "2026-11-23 +00"),
        ("XXX-1", "10:30:00 +01:00", "10:30:00 +01", "11-23 10:30 +01", "2026-11-23 +01"),
        (
            "XXX3:30",
            "06:00:00 -03:30",
            "06:00:00 -03:30",
            "11-23 06:00 -03:30",
            "2026-11-23 -03:30",
        ),
    ],
)
def test_times_have_a_zone(
    zone: str, full: str, today: str, this_year: str, year: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert full_time(NOW) == f"2026-11-23 {full}"
        assert short_time(NOW, NOW) == today
        assert short_time(NOW, NOW + timedelta(days=3)) == this_year
        assert short_time(NOW, NOW + timedelta(days=300)) == year
    finally:
        monkeypatch.undo()
        time.tzset()


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
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.program.main", interrupt)
    assert main(["list"]) == 130
