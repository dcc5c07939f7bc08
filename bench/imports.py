"""Benchmarks of imports at scale: the cost of a tick, and imports per second."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from bench import import_results, ticks
from bench.environment import HubProcess
from bench.throughput import ceiling, throughput
from local.azurite import Azurite

__all__ = ["add_options", "run"]

#: A history that is short.
_FEW = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    for name, default, what in (
        ("--history", 100_000, "imports that ended, in the table"),
        ("--queue", 1000, "imports that wait for one hub"),
        ("--hubs", 200, "hubs of one app"),
        ("--imports", 1000, "uploads to be imported, each job as short as can be"),
        ("--slow-imports", 100, "uploads to be imported, each job of --job-seconds"),
        ("--jobs", 100, "jobs by hand before and after, to compare them with"),
    ):
        parser.add_argument(
            name, type=int, default=default, metavar="N", help=f"{what}; {default:,} by default"
        )
    for name, seconds, what in (
        ("--latency", 0.02, "added to each request where hubs are counted"),
        ("--job-seconds", 0.25, "the least time of a job that is not as short as can be"),
    ):
        parser.add_argument(
            name, type=float, default=seconds, metavar="S", help=f"{what}; {seconds} by default"
        )


def run(args: argparse.Namespace) -> None:
    _print(import_results.setting())
    with Azurite() as azurite:
        storage = azurite.connection_string
        _print(
            import_results.hubs(ticks.by_hubs(storage, (1, args.hubs), args.latency), args.latency)
        )
        _print(import_results.queue(ticks.by_queue(storage, (1, args.queue))))
        _print(import_results.history(*ticks.by_history(storage, (_FEW, args.history))))
    for job_seconds, count in ((0, args.imports), (args.job_seconds, args.slow_imports)):
        # Without what the last ones left.
        with Azurite() as azurite:
            storage = azurite.connection_string
            with HubProcess(storage, job_seconds) as hub:
                before = ceiling(storage, hub, args.jobs)
                ours = throughput(storage, hub, count)
                after = ceiling(storage, hub, args.jobs)
        # The machine may have had something else to do.
        by_hand = max(before, after, key=lambda pace: pace.rate)
        _print(import_results.throughput(job_seconds, by_hand, ours))
        _print(import_results.requests(ours))


def _print(lines: Iterable[str]) -> None:
    print(*lines, "", sep="\n", flush=True)
