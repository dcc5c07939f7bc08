"""`python -m local up`: ports, kept data, and what the screen shows."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from local import up
from local.ports import PortInUseError, Ports
from local.stack import ROOT, Stack
from local.state import StateError, check_state

GOOD_LINE = (
    '{"id":"pump-17","importMode":"create","status":"enabled","authentication":{"type":"sas"}}\n'
)
DEADLINE = 60


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A stack on free ports, and its banner."""
    command = [sys.executable, "-m", "local", "up", *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            banner = ""
            while not re.search(r"--settings \S+\n", banner):
                line = process.stdout.readline()
                assert line, process.stderr and process.stderr.read()
                banner += line
            yield process, banner
        finally:
            process.kill()


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


def free_base() -> int:
    """The first of five ports that are free, below those that systems give to connections."""
    for base in range(20_000 + os.getpid() % 10_000, 32_000, 5):
        with suppress(PortInUseError):
            Ports.from_base(base).check()
            return base
    raise AssertionError("no free ports")


def child_of(pid: int) -> int:
    """The process of Azurite, the only child of a stack."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_settings_for_commands_are_those_of_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"APPROVAL": "destructive", "VALIDATION_POLICY": "", "EVENTS_KEY": "secret"}
    for name, value in {**changes, "POLL_SCHEDULE": "replaced", "HOME": "/root"}.items():
        monkeypatch.setenv(name, value)
    stack = Stack(ports=Ports.from_base(0))
    stack.settings = {"POLL_SCHEDULE": "*/5 * * * * *"}
    stack.write_settings(tmp_path / "local.settings.json")
    values = json.loads((tmp_path / "local.settings.json").read_text())["Values"]
    assert values == {"APPROVAL": "destructive", "POLL_SCHEDULE": "*/5 * * * * *"}


@pytest.mark.skipif(sys.platform != "linux", reason="finds the child by /proc")
def test_shows_changes_writes_a_log_and_ends_with_a_part_that_dies(tmp_path: Path) -> None:
    file = tmp_path / "pumps.ndjson"
    file.write_text(GOOD_LINE)
    with running("--port-base", "0", "--job-seconds", "0") as (stack, banner):
        settings, log = found(r"--settings (\S+)", banner), found(r"log +(\S+)", banner)
        upload = [sys.executable, "-m", "cli", "upload", str(file), "--watch"]
        done = subprocess.run(
            [*upload, "--settings", settings], cwd=ROOT, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0
        assert stack.stdout is not None
        lines: list[str] = []
        while not any("completed" in line for line in lines):
            lines.append(stack.stdout.readline())
            assert lines[-1], lines
        os.kill(child_of(stack.pid), signal.SIGKILL)
        rest, errors = stack.communicate(timeout=DEADLINE)
    assert stack.returncode == 1
    assert "Azurite (storage) has ended unexpectedly, exit status -9. The stack stops.\n" in errors
    assert f"The log is in {log}\n" in errors
    # The screen has the changes of the import, the file has everything.
    shown = "".join([*lines, rest]).strip().splitlines()
    assert not [line for line in shown if "pumps.ndjson" not in line]
    assert "Executed 'Functions.import_upload' (Succeeded" in Path(log).read_text()


def test_keeps_data(tmp_path: Path) -> None:
    options = (
        "--port-base",
        str(free_base()),
        "--state",
        str(tmp_path / "state"),
        "--job-seconds",
        "0",
    )
    file = tmp_path / "pumps.ndjson"
    file.write_text(GOOD_LINE)
    with running(*options) as (stack, banner):
        command = [sys.executable, "-m", "cli", "upload", str(file), "--watch", "--settings"]
        command.append(found(r"--settings (\S+)", banner))
        first = subprocess.run(command, cwd=ROOT, timeout=DEADLINE, check=False)
        stack.send_signal(signal.SIGINT)
        stack.communicate(timeout=DEADLINE)
    assert (first.returncode, stack.returncode) == (0, 0)
    with running(*options):
        again = subprocess.run(
            [*command, "--name", "again.ndjson"],
            cwd=ROOT,
            timeout=DEADLINE,
            check=False,
            capture_output=True,
            text=True,
        )
    # The hub still has the device.
    assert again.returncode == 1
    assert "DeviceAlreadyExists" in again.stdout


def test_ports_in_use_are_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        used = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"^Port in use: {used} \(blob storage\)\. "):
            Ports(0, 0, used, 0, 0).check()
        Ports(used, 0, 0, 0, 0).check(with_app=False)
        assert up.main(["--port-base", str(used)]) == 1
    error = capsys.readouterr().err
    assert f"{used} (app)" in error
    assert "--port-base N" in error
    assert error.count("\n") == 1


def test_kept_data_belongs_to_the_ports(tmp_path: Path) -> None:
    settings = tmp_path / "local.settings.json"
    with pytest.raises(StateError, match="--state needs fixed ports"):
        check_state(settings, Ports.any_free())
    check_state(settings, Ports.from_base(9000))
    settings.write_text('{"Values": {"IOTHUB": "HostName=127.0.0.1:9001;SharedAccessKeyName=x"}}')
    check_state(settings, Ports.from_base(9000))
    with pytest.raises(StateError, match="port 9001, not 8081"):
        check_state(settings, Ports.from_base(None))


@pytest.mark.parametrize("base", ["-1", "65532", "x", "", "1e3"])
def test_invalid_port_bases(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        up.main(["--port-base", base])
    assert "must be a port from 0 to 65531" in capsys.readouterr().err
