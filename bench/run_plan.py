"""Plan one file in a process of its own: python -m bench.run_plan FILE EXPORT."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.run_validator import peak_bytes
from shared.plan.file_devices import FileDevices
from shared.plan.planner import plan_file
from shared.plan.report import PlanReport, csv_line, summary_line
from shared.plan.snapshot import Snapshot, export_lines

_CHUNK_BYTES = 1 << 20


def main(file: str, export: str) -> None:
    start = time.process_time()
    devices = FileDevices(_lines(file))
    with Snapshot(datetime.now(UTC), has_keys=True) as snapshot:
        export_start = time.process_time()
        with open(export, "rb") as chunks:
            read = iter(functools.partial(chunks.read, _CHUNK_BYTES), b"")
            snapshot.read_export(export_lines(read), devices.__contains__)
        export_seconds = time.process_time() - export_start
        report = PlanReport(snapshot, source="export")
        with open(os.devnull, "w", encoding="utf-8") as rows:
            for line in plan_file(_lines(file), devices, snapshot):
                report.add(line, line.number)
                rows.write(csv_line(line.number, line.planned))
        seconds = time.process_time() - start
        result = {
            "devices": devices.lines,
            "export_seconds": export_seconds,
            "plan_seconds": seconds - export_seconds,
            "peak_bytes": peak_bytes(),
            "disk_bytes": _deleted_bytes(),
            "summary": summary_line(report.counts),
        }
    print(json.dumps(result))


def _lines(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=_CHUNK_BYTES) as file:
        for line in file:
            yield line.removesuffix(b"\n")


def _deleted_bytes() -> int:
    """The size of open files without a name (Linux): SQLite's."""
    size = 0
    for descriptor in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            if " (deleted)" in os.readlink(descriptor):
                size += os.stat(descriptor).st_size
    return size


if __name__ == "__main__":
    main(*sys.argv[1:])
