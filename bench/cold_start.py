"""The import time of a cold start, beside a minimal app, each time in a fresh process."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cold", "cold_starts", "table"]

_PROJECT = Path(__file__).parents[1]

#: What is imported, in the words of the table.
_STARTS = {
    "hello world": "import bench.minimal_app",
    "function_app": "import function_app",
    "function_app and its first page": "import function_app, shared.web.dispatch, jinja2",
}
_HELLO, _OURS, _PAGE = _STARTS
_CODE = """
import time
start = time.perf_counter()
{}
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Cold:
    """One way to start, in all rounds."""

    name: str
    #: Of each round.
    seconds: list[float]
    ratios: list[float]


def cold_starts(rounds: int, *, warm_up: int = 1) -> list[Cold]:
    """All ways, which take turns; rounds before only warm the caches of the disk."""
    seconds: dict[str, list[float]] = {name: [] for name in _STARTS}
    for _ in range(warm_up + rounds):
        for name, statement in _STARTS.items():
            seconds[name].append(_seconds(statement))
    base = seconds[_HELLO][warm_up:]
    return [
        Cold(
            name,
            own[warm_up:],
            [one / hello for one, hello in zip(own[warm_up:], base, strict=True)],
        )
        for name, own in seconds.items()
    ]


def table(starts: list[Cold]) -> Iterator[str]:
    yield f"Cold start, median of {len(starts[0].seconds)} fresh processes"
    yield ""
    yield f"{'imports':34}{'seconds':>9}{'ratio':>8}"
    for start in starts:
        seconds, ratio = statistics.median(start.seconds), statistics.median(start.ratios)
        yield f"{start.name:34}{seconds:9.3f}{ratio:8.2f}"


def _seconds(statement: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(statement)],
        cwd=_PROJECT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return float(done.stdout)
