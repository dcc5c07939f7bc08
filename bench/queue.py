"""Benchmark of a queue of small files at one hub, beside jobs by hand, one after another."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence

from bench import import_results
from bench.environment import HubProcess, Scene
from bench.table_rows import lines
from bench.throughput import Pace, ceiling, throughput
from bench.validation_results import verdict
from local.azurite import Azurite

__all__ = ["add_options", "report", "run", "single"]

#: How many times as fast as by hand it is to be.
MIN_FACTOR = 20
#: The app's own settings but for one.
_ALONE = {"JOB_FILES": "1"}
_POLL = 0.01


def add_options(parser: argparse.ArgumentParser) -> None:
    for name, default, what in (
        ("--uploads", 1000, "uploads that share jobs"),
        ("--devices", 10, "devices in each upload"),
        ("--by-hand", 50, "jobs by hand"),
        ("--alone", 50, "uploads of which each has a job of its own"),
        ("--single", 5, "uploads one by one, each to an idle hub"),
    ):
        parser.add_argument(
            name, type=int, default=default, metavar="N", help=f"{what}; {default:,} by default"
        )
    parser.add_argument(
        "--job-seconds",
        type=float,
        default=3.0,
        metavar="S",
        help="the least time of a job; 3 by default",
    )


def run(args: argparse.Namespace) -> None:
    print(*import_results.setting(), "", sep="\n", flush=True)
    with Azurite() as azurite:
        storage = azurite.connection_string
        with HubProcess(storage, args.job_seconds) as hub:
            by_hand = ceiling(storage, hub, args.by_hand, args.devices)
            seconds = single(storage, hub, args.single, args.devices)
            alone = throughput(storage, hub, args.alone, args.devices, _ALONE)
            shared = throughput(storage, hub, args.uploads, args.devices, {})
    for line in report(args.devices, by_hand, alone, shared, seconds):
        print(line, flush=True)


def single(storage: str, hub: HubProcess, count: int, devices: int) -> Sequence[float]:
    """Seconds of uploads, each from its event to its final record, while nothing else waits."""
    seconds = []
    with Scene(storage, hub.connection_string) as scene:
        for number in range(count):
            scene.upload(f"{number}.ndjson", lines(number * devices, devices))
            start = time.perf_counter()
            scene.importer.on_upload(scene.container, f"{number}.ndjson")
            while scene.importer.services.queue_rows.oldest(scene.hub):
                scene.importer.on_tick()
                time.sleep(_POLL)
            seconds.append(time.perf_counter() - start)
    return seconds


def report(
    devices: int, by_hand: Pace, alone: Pace, shared: Pace, seconds: Sequence[float]
) -> Iterator[str]:
    yield from import_results.paces(
        f"files of {devices} devices",
        (
            ("by hand, one by one", by_hand),
            ("a job for each", alone),
            ("shared jobs", shared),
        ),
    )
    scaled = by_hand.cost.seconds / by_hand.count * shared.count
    yield (
        f"{shared.count:,} files took {shared.cost.seconds:.0f} s in {shared.jobs} jobs. By hand "
        f"they would take {scaled:,.0f} s, scaled from {by_hand.count}."
    )
    factor = shared.rate / by_hand.rate
    yield verdict(factor >= MIN_FACTOR, f"{MIN_FACTOR} times the pace by hand", f"{factor:.1f}")
    rest = statistics.median(seconds) - by_hand.cost.seconds / by_hand.count
    yield (
        f"A single upload took {statistics.median(seconds):.2f} s from its event to its record, "
        f"{rest:.2f} s more than a job by hand."
    )
    yield from import_results.requests(shared)
