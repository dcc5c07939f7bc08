"""Prints the results of the benchmarks of imports."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterator, Sequence

from bench.environment import Cost
from bench.throughput import Pace
from bench.ticks import BEHIND_BUSY, BEHIND_JOB, EVENT, FIRST, IDLE, JOB, Row
from bench.validation_results import verdict
from shared.transport import MAX_CONNECTIONS

__all__ = ["history", "hubs", "paces", "queue", "requests", "setting", "throughput"]

MAX_SECONDS = 5.0
MIN_SHARE = 0.8
#: The number of hubs that the measured ones are to tell of.
_MANY_HUBS = 1000

_COST = "{:20}{:>10}{:>10}{:>13}{:>10}{:>10}"
_PACE = "{:20}{:>9}{:>7}{:>11}{:>9}{:>9}{:>10}{:>9}"


def setting() -> Iterator[str]:
    yield f"{platform.python_implementation()} {platform.python_version()}"
    yield f"{sys.platform} {platform.machine()}, {os.cpu_count()} cores"
    yield "Storage and hub are emulators in processes of their own; CPU is that of the importer's."
    yield "Of a tick: median times of five, and the most requests and new connections of the five."


def history(rows: Sequence[Row], fill_seconds: float) -> Iterator[str]:
    most = max(row.count for row in rows)
    yield f"a tick by imports that ended ({most:,} records were written in {fill_seconds:.0f} s)"
    yield from _costs("imports", rows)
    yield from _same_requests(rows, (IDLE, JOB, EVENT), "imports that ended")


def queue(rows: Sequence[Row]) -> Iterator[str]:
    yield "a tick by imports that wait behind the head of the queue"
    yield from _costs("imports", rows)
    yield from _same_requests(rows, (BEHIND_JOB, BEHIND_BUSY), "imports that wait")


def hubs(rows: Sequence[Row], latency: float) -> Iterator[str]:
    yield f"a tick by hubs, each request {latency * 1000:g} ms late"
    yield from _costs("hubs", rows)
    few, many = _ends(rows)
    rounds = math.ceil(_MANY_HUBS / MAX_CONNECTIONS)
    for what in (IDLE, JOB):
        alone, together = _cost(rows, what, few), _cost(rows, what, many)
        yield (
            f"{what}: {together.requests / many:.1f} requests a hub. {_MANY_HUBS:,} hubs: "
            f"{_MANY_HUBS * together.seconds / many:.1f} s in proportion;"
        )
        yield (
            f"    the processor alone {_MANY_HUBS * together.cpu_seconds / many:.1f} s, "
            f"waiting alone {rounds * alone.seconds:.1f} s ({rounds} rounds of {MAX_CONNECTIONS})"
        )
    for what in (FIRST, IDLE, JOB):
        seconds = _cost(rows, what, many).seconds
        aim = f"{what}, {many:,} hubs: less than {MAX_SECONDS:g} s"
        yield verdict(seconds < MAX_SECONDS, aim, f"{seconds:.2f} s")


def throughput(job_seconds: float, hub: Pace, ours: Pace) -> Iterator[str]:
    what = f"{ours.count:,} imports of one device, jobs of at least {job_seconds:g} s"
    yield from paces(what, (("hub, jobs by hand", hub), ("imports", ours)))
    after = ours.count - ours.ended_before
    yield (
        f"The events took {ours.event_seconds:.1f} s of {ours.cost.seconds:.1f} s; the {after:,} "
        f"imports that ended after that, {ours.rate_after_events:.2f} a second."
    )
    share = ours.rate / hub.rate
    aim = f"jobs of {job_seconds:g} s: at least {MIN_SHARE} of the hub's pace"
    yield verdict(share >= MIN_SHARE, aim, f"{share:.2f}")


def paces(what: str, rows: Sequence[tuple[str, Pace]]) -> Iterator[str]:
    yield what
    yield _PACE.format("", "files", "jobs", "files/s", "job ms", "gap ms", "requests", "CPU ms")
    for name, pace in rows:
        yield _PACE.format(
            name,
            f"{pace.count:,}",
            f"{pace.jobs:,}",
            f"{pace.rate:.2f}",
            f"{pace.job_seconds * 1000:.0f}",
            f"{pace.gap_seconds * 1000:.0f}",
            f"{pace.cost.requests / pace.count:.1f}",
            f"{pace.cost.cpu_seconds / pace.count * 1000:.0f}",
        )
    yield "A gap is from a job's end to the next one's start; requests and CPU are those of a file."


def requests(pace: Pace) -> Iterator[str]:
    yield "requests an import, by kind"
    for kind, count in pace.kinds.most_common():
        yield f"{kind:40}{count / pace.count:6.2f}"


def _costs(counted: str, rows: Sequence[Row]) -> Iterator[str]:
    yield _COST.format("", counted, "requests", "connections", "ms", "CPU ms")
    for row in rows:
        yield _COST.format(
            row.what,
            f"{row.count:,}",
            f"{row.cost.requests:,}",
            f"{row.cost.connections:,}",
            f"{row.cost.seconds * 1000:,.1f}",
            f"{row.cost.cpu_seconds * 1000:,.1f}",
        )


def _same_requests(rows: Sequence[Row], moments: Sequence[str], counted: str) -> Iterator[str]:
    few, many = _ends(rows)
    for what in moments:
        one, other = _cost(rows, what, few).requests, _cost(rows, what, many).requests
        aim = f"{what}: as many requests with {few:,} as with {many:,} {counted}"
        yield verdict(one == other, aim, f"{one} and {other}")


def _ends(rows: Sequence[Row]) -> tuple[int, int]:
    counts = [row.count for row in rows]
    return min(counts), max(counts)


def _cost(rows: Sequence[Row], what: str, count: int) -> Cost:
    return next(row.cost for row in rows if (row.what, row.count) == (what, count))
