"""Import sample files on the local stack: progress, and a table of results.

The exit status is 0 only if every import ends as expected. Takes about half a minute.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from local import samples
from local.azurite import AzuriteError
from local.host import HostError, Keys
from local.ports import PortInUseError, Ports, add_port_base
from local.stack import ROOT, Stack, StackError
from local.up import describe, wait_for_ctrl_c
from shared.imports.app import importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.import_filter import ImportFilter

__all__ = ["main"]

#: Seconds until all imports must have ended.
DEADLINE = 50.0


@dataclass(frozen=True)
class Upload:
    """A file of the demo and the expected result of its import."""

    name: str
    content: bytes
    description: str
    state: str
    job_status: str
    devices: int | None
    failed: int | None
    #: Part of the expected failure reason.
    reason: str = ""


UPLOADS = (
    Upload(
        "fleet.ndjson",
        samples.ndjson(samples.fleet(1000)),
        "1,000 devices of all authentication types, with tags and desired properties",
        "completed",
        "completed",
        1000,
        0,
    ),
    Upload(
        "valves-broken.ndjson",
        samples.broken_lines(),
        "6 lines, 5 of them invalid",
        "rejected",
        "",
        None,
        0,
        "5 of 6",
    ),
    Upload(
        "replacements.ndjson",
        samples.ndjson(samples.replacements(40, existing=3)),
        "40 devices to create, 3 of which already exist",
        "completedWithErrors",
        "completed",
        40,
        3,
        "409001",
    ),
    Upload(
        "site-east.csv",
        samples.csv(samples.site("east", 25)),
        "25 devices as CSV, uploaded at the same time as the next files",
        "completed",
        "completed",
        25,
        0,
    ),
    *(
        Upload(
            f"site-{name}.ndjson",
            samples.ndjson(samples.site(name, 25)),
            "25 devices; the hub runs one job at a time, so files that wait share the next one",
            "completed",
            "completed",
            25,
            0,
        )
        for name in ("north", "south", "west")
    ),
)

#: A file that has to be approved.
DECOMMISSION = "decommission.ndjson"

#: Files at the end that are uploaded at the same time.
TOGETHER = 4


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the stack running until Ctrl-C")
    add_port_base(parser)
    parser.add_argument(
        "--log",
        action="store_true",
        help="also show the logs of app, functions host and hub emulator",
    )
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if options.log else logging.CRITICAL,
        format="%(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("azure").setLevel(logging.WARNING)
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    console.print("Starting Azurite, the IoT Hub emulator and the app ...")
    try:
        with Stack(
            ports=_ports(options),
            changes={"POLL_SCHEDULE": "* * * * * *", "TICK_SECONDS": "0.8"},
            scan_interval=0.5,
            keys=Keys(),
        ) as stack:
            records = _run(stack, console)
            problems = _show(stack, records, console)
            if not problems:
                problems = [*_plan(console), *_approve_and_undo(stack, console)]
                for problem in problems:
                    console.print(f"[red]{escape(problem)}[/red]")
                _show_next_steps(console)
            if options.keep:
                # Unwrapped, so that a terminal makes links of the addresses.
                with tempfile.TemporaryDirectory(prefix="device-importer-") as folder:
                    text = describe(stack, Path(folder))
                    console.print(text, markup=False, soft_wrap=True)
                    wait_for_ctrl_c(stack)
    except (AzuriteError, HostError, PortInUseError, StackError, OSError) as error:
        console.print(Text(str(error), "red"), soft_wrap=True)
        return 1
    return 1 if problems else 0


def _ports(options: argparse.Namespace) -> Ports:
    """Those of the sample settings for a stack that stays, unless others are given."""
    base = options.port_base
    return Ports.any_free() if base is None and not options.keep else Ports.from_base(base)


def _run(stack: Stack, console: Console) -> list[ImportRecord]:
    """Upload the files and follow their imports until all are final or the deadline passes."""
    for line in samples.stock(3):
        stack.hub.registry.put(dict(line))
    container = stack.blobs.get_container_client(stack.settings["UPLOAD_CONTAINER"])
    for upload in UPLOADS[:-TOGETHER]:
        container.upload_blob(upload.name, upload.content)
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(
            pool.map(
                lambda upload: container.upload_blob(upload.name, upload.content),
                UPLOADS[-TOGETHER:],
            )
        )
    for upload in UPLOADS:
        console.print(f"  uploaded [bold]{upload.name}[/bold]: {upload.description}")
    console.print()

    started = time.monotonic()
    shown: dict[str, str] = {}
    while True:
        records = _records()
        for record in reversed(records):
            text = _progress(record)
            if shown.get(record.id) != text:
                shown[record.id] = text
                seconds = time.monotonic() - started
                console.print(f"  {seconds:5.1f} s  {record.file:22}{text}", soft_wrap=True)
        if len(records) == len(UPLOADS) and all(record.state.is_final for record in records):
            return records
        if time.monotonic() - started > DEADLINE:
            return records
        time.sleep(0.2)


def _records() -> list[ImportRecord]:
    return list(importer().reader.page(ImportFilter(), 100).imports)


def _progress(record: ImportRecord) -> str:
    match record.state:
        case "running":
            others = (record.job_files or 1) - 1
            shared = f", in one job with {others} other file{'s'[: others > 1]}" if others else ""
            if record.job.status == "running" and record.job.progress is not None:
                return f"running: {record.job.progress} %{shared}"
            return f"running: job {record.job.status}{shared}"
        case "queued" if record.failure_reason:
            return f"queued: {escape(record.failure_reason)}"
        case "queued":
            position = f", job {record.queue_position} in queue" if record.queue_position else ""
            return f"queued: {record.devices:,} devices{position}"
    return f"[bold]{record.state}[/bold]" if record.state.is_final else record.state.value


def _show(stack: Stack, records: list[ImportRecord], console: Console) -> list[str]:
    """Print the imports and the next steps; return the differences from the expected results."""
    table = Table(title="\nImports", title_justify="left", title_style="bold")
    for column in ("File", "State"):
        table.add_column(column, no_wrap=True)
    for column in ("Devices", "Failed"):
        table.add_column(column, justify="right")
    table.add_column("Failure reason", ratio=1)
    table.add_column("Job id", max_width=18, overflow="fold")
    table.add_column("Files in job", justify="right", max_width=8)
    table.add_column("Duration", justify="right", no_wrap=True)
    by_file = {record.file: record for record in records}
    for record in sorted(records, key=lambda record: record.created_at):
        colour = "green" if record.state == "completed" else "yellow"
        table.add_row(
            record.file,
            f"[{colour}]{record.state}[/{colour}]",
            "" if record.devices is None else f"{record.devices:,}",
            "" if record.failed is None else f"{record.failed:,}",
            escape(record.failure_reason),
            record.job.id,
            str(record.job_files or ""),
            f"{(record.finished_at - record.created_at).total_seconds():.1f} s"
            if record.finished_at
            else "",
        )
    console.print(table)

    problems = []
    for upload in UPLOADS:
        result = by_file.get(upload.name)
        if result is None:
            problems.append(f"{upload.name}: no import")
            continue
        expected = (upload.state, upload.job_status, upload.devices, upload.failed)
        actual = (result.state.value, result.job.status, result.devices, result.failed)
        if actual != expected:
            problems.append(f"{upload.name}: expected {expected}, got {actual}")
        if upload.reason not in result.failure_reason:
            problems.append(f"{upload.name}: expected {upload.reason!r} in the failure reason")
    for problem in problems:
        console.print(f"[red]{escape(problem)}[/red]")
    if not problems:
        _show_problems(stack, by_file["valves-broken.ndjson"], console)
        _show_failures(stack, by_file["replacements.ndjson"], console)
    return problems


def _show_problems(stack: Stack, record: ImportRecord, console: Console) -> None:
    console.print(f"\nProblems in {record.file} ({record.problems}):")
    rows = csv.DictReader(io.StringIO(_read(stack, record.problems), newline=""))
    for row in (row for row in rows if row["severity"] == "error"):
        console.print(f"  line {row['line']:>3}  {row['code']:16}{escape(row['remedy'])}")


def _read(stack: Stack, path: str) -> str:
    container, _, name = path.partition("/")
    data: bytes = stack.blobs.get_blob_client(container, name).download_blob().readall()
    return data.decode()


def _show_failures(stack: Stack, record: ImportRecord, console: Console) -> None:
    report = json.loads(_read(stack, record.report))
    console.print(f"\nDevices in {record.file} that the hub rejected ({record.report}):")
    for failure in report["failures"]["devices"]:
        console.print(f"  line {failure['line']:3}  {failure['id']}  {failure['message']}")


def _plan(console: Console) -> list[str]:
    """Show what a further file would change; return the difference from the expected result."""
    name = "changes.ndjson"
    console.print(f"\nWhat a further file would change (device-importer plan {name}):\n")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(samples.ndjson(samples.changes()))
        status = _command("plan", name, folder=folder)
    # One of its lines would fail.
    return [] if status == 1 else [f"plan: unexpected exit status {status}"]


def _command(*arguments: str, folder: str = ".") -> int:
    """Run a command of device-importer; returns its exit status."""
    # Only now, so that what was printed before comes first.
    sys.stdout.flush()
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    return done.returncode


def _approve_and_undo(stack: Stack, console: Console) -> list[str]:
    """Hold a file that deletes, approve it, undo it; return what is not as expected."""
    stack.change_settings(APPROVAL="destructive", BACKUP="destructive", MAX_DELETES="5")
    console.print(
        "\nWith APPROVAL=destructive and BACKUP=destructive, a file that deletes more than "
        "MAX_DELETES=5 devices:\n"
    )
    before, count = _pumps(stack), len(stack.hub.registry)
    stack.blobs.get_blob_client(stack.settings["UPLOAD_CONTAINER"], DECOMMISSION).upload_blob(
        samples.ndjson(samples.decommission(6))
    )
    held = _wait_for(lambda: _newest(DECOMMISSION), ImportState.HELD)
    if held is None:
        return [f"{DECOMMISSION}: is not held"]
    console.print(f"  held: {escape(held.failure_reason)}\n")
    console.print(f"device-importer approve {held.id} --plan {held.hold.digest}\n")
    _command("approve", held.id, "--plan", held.hold.digest)
    done = _wait_for(lambda: _newest(DECOMMISSION), ImportState.COMPLETED)
    if done is None or done.imported != 6:
        return [f"{DECOMMISSION}: was not imported after its approval"]
    console.print(f"  completed: devices at the hub {count:,} -> {len(stack.hub.registry):,}\n")
    console.print(f"device-importer undo {done.id}\n")
    _command("undo", done.id)
    undo = _wait_for(lambda: _newest(DECOMMISSION), ImportState.COMPLETED)
    if undo is None or undo.undo_of != done.id or _pumps(stack) != before:
        return [f"{DECOMMISSION}: was not undone"]
    console.print("  completed: the devices are back, with their keys and twins")
    return []


def _pumps(stack: Stack) -> list[object]:
    """The devices that are deleted, as the hub has them, without what is new each time."""
    found = [stack.hub.registry.get(str(line["id"])) for line in samples.decommission(6)]
    new = ("eTag", "twinETag")
    return [
        line and {name: value for name, value in line.items() if name not in new} for line in found
    ]


def _newest(file: str) -> ImportRecord | None:
    """The last import of a file."""
    return next((record for record in _records() if record.file == file), None)


def _wait_for(find: Callable[[], ImportRecord | None], state: ImportState) -> ImportRecord | None:
    """The import once it is in a state; None if it ends otherwise or takes too long."""
    started = time.monotonic()
    while time.monotonic() - started < DEADLINE:
        record = find()
        if record is not None and record.state is state:
            return record
        time.sleep(0.2)
    return None


def _show_next_steps(console: Console) -> None:
    console.print(
        "\nNext steps:\n"
        "  make demo ARGS=--keep                  keep the stack and dashboard running\n"
        "  make demo ARGS=--log                   also show all logs\n"
        "  make up                                run the stack for your own files\n"
        "  .venv/bin/device-importer check FILE   check a file before uploading it\n"
        "  .venv/bin/device-importer plan FILE    see what it would change\n"
        "  README.md                              deploy to Azure"
    )
