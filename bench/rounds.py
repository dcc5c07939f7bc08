"""Runs validators against each other in rounds, each time in a fresh process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.validators import CONTENDERS, FLOOR, SLOW

__all__ = ["Result", "Sample", "measure", "sample"]

_PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Sample:
    """One contender once through one file."""

    lines: int
    good: int
    #: Of the processor, on one core.
    seconds: float
    #: Of the process from its start.
    peak_bytes: int

    @property
    def rate(self) -> float:
        return self.lines / self.seconds


@dataclass(frozen=True)
class Result:
    """A contender in all rounds."""

    samples: Sequence[Sample]
    #: Its devices a second as a share of the floor's in the same round.
    ratios: Sequence[float]

    @property
    def rate(self) -> float:
        return statistics.median(sample.rate for sample in self.samples)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def peak_bytes(self) -> int:
        return max(sample.peak_bytes for sample in self.samples)


def measure(path: Path, head: Path, rounds: int) -> Mapping[str, Result]:
    """All contenders, which take turns; those that are slow go through the head alone."""
    samples: dict[str, list[Sample]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name in CONTENDERS:
            samples[name].append(sample(name, head if name == SLOW else path))
    floor = samples[FLOOR]
    return {
        name: Result(own, [one.rate / base.rate for one, base in zip(own, floor, strict=True)])
        for name, own in samples.items()
    }


def sample(name: str, path: Path) -> Sample:
    command = [sys.executable, "-m", "bench.run_validator", name, str(path)]
    done = subprocess.run(command, cwd=_PROJECT, check=True, stdout=subprocess.PIPE)
    return Sample(**json.loads(done.stdout))
