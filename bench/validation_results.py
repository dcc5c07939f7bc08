"""Prints the results of the benchmarks of the validation."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from bench.rounds import Result
from bench.validators import OURS, PEERS, SLOW

__all__ = ["aims", "memory", "setting", "speed", "verdict"]

MIB = 1 << 20
MIN_RATIO = 0.45
MAX_PEAK_MIB, MAX_APART_MIB = 160, 80

_LIBRARIES = ("msgspec", "orjson", "jsonschema-rs", "pydantic", "jsonschema")
_ROW = "{:24}{:>12}{:>8}   {:26}{:>11}{:>9}{:>10}"


def setting(rounds: int) -> Iterator[str]:
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    yield f"{platform.python_implementation()} {platform.python_version()}, {libraries}"
    yield f"{sys.platform} {platform.machine()}, {os.cpu_count()} cores"
    yield (
        f"Each contender has a process and a core of its own; times are the processor's, medians "
        f"of {rounds} rounds."
    )
    yield "A ratio is that of devices a second to the floor's in the same round: median (range)."


def speed(name: str, file_bytes: int, results: Mapping[str, Result]) -> Iterator[str]:
    lines = max(sample.lines for result in results.values() for sample in result.samples)
    line_bytes = file_bytes / lines
    yield f"{name}: {lines:,} lines of {line_bytes:.0f} bytes"
    yield _ROW.format("", "devices/s", "MB/s", "ratio", "good", "bad", "peak MiB")
    for contender, result in results.items():
        last = result.samples[-1]
        ratios = f"{result.ratio:.3f} ({min(result.ratios):.3f} to {max(result.ratios):.3f})"
        yield _ROW.format(
            contender + (" *" if last.lines < lines else ""),
            f"{result.rate:,.0f}",
            f"{result.rate * line_bytes / 1e6:,.1f}",
            ratios,
            f"{last.good:,}",
            f"{last.lines - last.good:,}",
            f"{result.peak_bytes / MIB:.0f}",
        )
    if (only := results[SLOW].samples[-1].lines) < lines:
        yield f"* through the first {only:,} lines"


def memory(peaks: Mapping[str, int]) -> Iterator[str]:
    yield "memory of ours: peak MiB of a process of its own, the interpreter included"
    for what, peak in peaks.items():
        yield f"{what:36}{peak / MIB:8.1f}"


def aims(results: Mapping[str, Mapping[str, Result]], few: int, many: int) -> Iterator[str]:
    yield "aims"
    for name, contenders in results.items():
        ours = contenders[OURS].ratio
        aim = f"{name}: at least {MIN_RATIO} of the floor"
        yield verdict(ours >= MIN_RATIO, aim, f"{ours:.3f}")
        for peer in PEERS:
            lead = ours / contenders[peer].ratio
            yield verdict(lead > 1, f"{name}: ahead of {peer}", f"{lead:.2f} times as fast")
    peak, apart = max(few, many) / MIB, (many - few) / MIB
    yield verdict(peak <= MAX_PEAK_MIB, f"memory: at most {MAX_PEAK_MIB} MiB", f"{peak:.1f}")
    yield verdict(
        apart <= MAX_APART_MIB, f"memory: at most {MAX_APART_MIB} MiB apart", f"{apart:.1f}"
    )


def verdict(is_met: bool, aim: str, value: str) -> str:
    return f"{'met' if is_met else 'not met':9}{aim}: {value}"
