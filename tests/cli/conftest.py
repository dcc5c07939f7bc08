"""Run commands on the storage account of the app under test."""

from __future__ import annotations

import _thread
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli import export_job, hub_access
from cli.__main__ import main
from tests.app import App, device
from tests.cli.fleet import leftovers, line


@dataclass(frozen=True)
class Done:
    """Status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs commands in an empty folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Done:
        try:
            status = main([*map(str, arguments)])
        except SystemExit as end:  # argparse ends so
            status = int(str(end.code))
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return Done(status, out, err)

    def json(self, *arguments: object) -> list[dict[str, Any]]:
        return self(*arguments, "--format", "json").objects


@pytest.fixture
def shell(
    app: App,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Shell:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return Shell(capsys)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the output a terminal of 100 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands wait for a hub a short time only."""
    monkeypatch.setattr(export_job, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(export_job, "_FIRST_POLL", 0.02)
    monkeypatch.setattr(export_job, "_LAST_POLL", 0.1)
    monkeypatch.setattr(export_job, "THROTTLED_SECONDS", 0.05)
    monkeypatch.setattr(hub_access, "THROTTLED_SECONDS", 0.05)


@pytest.fixture
def fleet(app: App, shell: Shell, short_waits: None) -> Iterator[list[str]]:
    """A hub with 40 devices, and containers that are none of an export afterwards."""
    ids = [f"d{number}" for number in range(40)]
    for device_id in ids:
        app.hub.registry.put(line(device_id))
    yield ids
    assert leftovers(app) == []


def configure_two_hubs(app: App) -> None:
    """Route folders east and west to hubs fleet-1 and fleet-2, which no test calls."""
    _, _, credentials = app.hub.connection_string().partition(";")
    hosts = {"east": "fleet-1", "west": "fleet-2"}
    strings = {
        folder: f"HostName={name}.azure-devices.net;{credentials}" for folder, name in hosts.items()
    }
    app.configure(IOTHUB=json.dumps(strings))


@contextmanager
def meanwhile(what: Callable[[], None]) -> Iterator[None]:
    """Run the app while a command runs; if that fails, the command is interrupted."""

    def work() -> None:
        try:
            what()
        except BaseException:
            _thread.interrupt_main()
            raise

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result()


def tick_until_final(app: App) -> None:
    while not all(record.state.is_final for record in app.records()):
        app.tick()
        time.sleep(0.1)


def queued(app: App, *names: str) -> list[str]:
    """Queue imports at a busy hub; return their ids."""
    app.hub.occupy_slot()
    for name in names:
        app.upload(name, device(name))
        app.deliver(name)
    return [app.record(name).id for name in names]
