"""Benchmark of the plan: a file of the size of its registry, and what that takes."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from array import array
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.devices import Device, alike

__all__ = ["DIFFERS_EACH", "Row", "add_options", "measure", "run", "table", "write"]

#: A nightly file: one device in so many differs from the registry.
DIFFERS_EACH = 5000
_MAX_PEAK_MIB = 300
_MIB = 1 << 20
_PROJECT = Path(__file__).parents[1]
_ROW = "{:40}{:>10}{:>9}{:>10}{:>10}"


@dataclass(frozen=True)
class Row:
    """The plan of one file."""

    label: str
    devices: int
    #: Of the processor: for both readings of the file with the plan, and for the export.
    export_seconds: float
    plan_seconds: float
    #: Of the process from its start, with the interpreter.
    peak_bytes: int
    disk_bytes: int
    summary: str


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--devices",
        type=int,
        default=1_000_000,
        metavar="N",
        help="devices in the file and in the registry (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = []
        for label, each in (("one device in 5,000 differs", DIFFERS_EACH), ("all differ", 1)):
            file, export = Path(folder) / "devices.txt", Path(folder) / "export.txt"
            write(file, export, args.devices, each)
            rows.append(measure(label, file, export))
    print(*table(rows), "", sep="\n")


def write(file: Path, export: Path, count: int, each: int) -> None:
    """A device file, and an export in another order of the registry before it."""
    ordered = export.with_suffix(".ordered")
    starts = array("Q")
    with file.open("wb") as lines, ordered.open("w+b") as entries:
        for number, device in enumerate(alike(count)):
            lines.write(_line(device))
            starts.append(entries.tell())
            entries.write(_line(_exported(device, number, differs=number % each == 0)))
        # Hubs do not document the order of exports; another than the file's is the slower one.
        random.Random("order").shuffle(starts)
        with export.open("wb") as shuffled:
            for start in starts:
                entries.seek(start)
                shuffled.write(entries.readline())
    ordered.unlink()


def measure(label: str, file: Path, export: Path) -> Row:
    command = [sys.executable, "-m", "bench.run_plan", str(file), str(export)]
    done = subprocess.run(command, cwd=_PROJECT, check=True, stdout=subprocess.PIPE)
    return Row(label, **json.loads(done.stdout))


def table(rows: Sequence[Row]) -> Iterator[str]:
    devices = rows[0].devices
    yield f"plan of {devices:,} devices against a registry of as many, export in another order"
    yield _ROW.format("", "devices/s", "seconds", "peak MiB", "disk MiB")
    for row in rows:
        for what, seconds in (("export", row.export_seconds), ("plan", row.plan_seconds)):
            yield _ROW.format(
                f"{row.label}: {what}",
                f"{row.devices / seconds:,.0f}",
                f"{seconds:.1f}",
                f"{row.peak_bytes / _MIB:.0f}",
                f"{row.disk_bytes / _MIB:.0f}",
            )
        yield f"  {row.summary}"
    peak = max(row.peak_bytes for row in rows) / _MIB
    verdict = "yes" if peak <= _MAX_PEAK_MIB else "NO"
    yield f"at most {_MAX_PEAK_MIB} MiB: {verdict}"


def _exported(device: Device, number: int, *, differs: bool) -> Device:
    authentication = {
        **device["authentication"],
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
    }
    return {
        **device,
        "eTag": b64encode(b"%d" % (10**9 + number)).decode(),
        "statusReason": None,
        "authentication": authentication,
        "twinETag": "AAAAAAAAAAE=",
        "tags": {**device["tags"], **({"site": "before"} if differs else {})},
        "properties": {**device["properties"], "reported": {}},
    }


def _line(device: Device) -> bytes:
    return json.dumps(device, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
