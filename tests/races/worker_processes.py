"""Processes of the app that receive events, have failing requests, and can be killed."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.races.worker import NO_MORE_FAULTS, UNEXPECTED

__all__ = ["WorkerProcesses"]

ROOT = Path(__file__).parent.parent.parent

#: The timers of each process.
TIMERS = (("tick",), ("tick",), ("sweep",), ())
#: Share of requests that fail.
FAULTS = 0.05
#: Share of the events of a killed process that are not delivered again.
LOSSES = 0.2


@dataclass
class WorkerProcesses:
    """The processes; leaving the block stops them."""

    environment: Mapping[str, str]
    arguments: tuple[str, str]
    folder: Path
    seed: int
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    #: Events by the number of the process that received them.
    delivered: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def __enter__(self) -> WorkerProcesses:
        self.processes = [self._start(number) for number in range(len(TIMERS))]
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self.processes:
            self._end(process, kill=True)

    def announce(self, name: str) -> None:
        """Deliver the event of a blob to one of the processes."""
        number = self.rng.randrange(len(TIMERS))
        self.delivered[number].append(name)
        self._send(number, name)

    def stop_faults(self) -> None:
        for number in range(len(TIMERS)):
            self._send(number, NO_MORE_FAULTS)

    def kill_and_replace(self, number: int) -> None:
        """Kill a process at any point, and start another one.

        Its unhandled events are delivered again, except for some that are lost.
        """
        killed = self.processes[number]
        killed.kill()
        assert killed.stdout is not None
        handled = Counter(killed.stdout.read().split())
        self._end(killed, kill=True)
        self.processes[number] = self._start(number)
        for name in (Counter(self.delivered.pop(number, [])) - handled).elements():
            if self.rng.random() >= LOSSES:
                self.announce(name)

    def _send(self, number: int, line: str) -> None:
        stdin = self.processes[number].stdin
        assert stdin is not None
        stdin.write(f"{line}\n")
        stdin.flush()

    def finish(self) -> None:
        """Let all processes finish."""
        for process in self.processes:
            self._end(process, kill=False)
            assert process.returncode == 0

    def unexpected(self) -> list[str]:
        return [
            line
            for log in self.logs
            for line in log.read_text().splitlines()
            if line.startswith(UNEXPECTED)
        ]

    def _start(self, number: int) -> subprocess.Popen[str]:
        self.logs.append(self.folder / f"{len(self.logs)}.log")
        seed = str(self.seed * 1000 + len(self.logs))
        with self.logs[-1].open("w") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.races.worker"),
                    *(*self.arguments, seed, str(FAULTS), *TIMERS[number]),
                ],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @staticmethod
    def _end(process: subprocess.Popen[str], kill: bool) -> None:
        if kill:
            process.kill()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        # It may still handle events, or sweep.
        process.wait(60)
        process.stdout.close()
