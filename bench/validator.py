"""Benchmark of the validation beside other validators, on made-up files."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bench import validation_results
from bench.rounds import measure, sample
from bench.sample_files import EACH_ITS_OWN, FILES, ONE_SHAPE, WITH_BAD, write, write_head
from bench.validators import OURS

__all__ = ["add_options", "run"]

#: A tenth is enough of the worst case, and for the slowest peer.
_SMALLER = 10
_FEW = 10_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--devices", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="R")
    parser.add_argument(
        "--peer-devices",
        type=int,
        metavar="N",
        help="how many the slowest peer goes through, by default a tenth",
    )


def run(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        _run(Path(folder), args.devices, args.rounds, args.peer_devices)


def _run(folder: Path, devices: int, rounds: int, peer_devices: int | None) -> None:
    _print(validation_results.setting(rounds))
    path, head = folder / "devices.ndjson", folder / "head.ndjson"
    results = {}
    for name in FILES:
        count = max(1, devices // _SMALLER) if name == EACH_ITS_OWN else devices
        write(path, name, count)
        write_head(head, path, peer_devices or max(1, count // _SMALLER))
        results[name] = measure(path, head, rounds)
        _print(validation_results.speed(name, path.stat().st_size, results[name]))
    peaks = {}
    for count in (0, _FEW):
        write(path, ONE_SHAPE, count)
        peaks[f"{count:,} devices, {ONE_SHAPE}"] = sample(OURS, path).peak_bytes
    for name in (ONE_SHAPE, WITH_BAD):
        peaks[f"{devices:,} devices, {name}"] = results[name][OURS].peak_bytes
    _print(validation_results.memory(peaks))
    _, few, *many = peaks.values()
    _print(validation_results.aims(results, few, max(many)))


def _print(lines: Iterable[str]) -> None:
    print(*lines, "", sep="\n", flush=True)
