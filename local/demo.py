"""`python -m local demo`: an operator's quarter of an hour, in half a minute.

Uploads files to the local stack, shows what becomes of them, and ends with the table of imports.
The exit status is 0 only if each import ended as it should.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from local import samples
from local.azurite import AzuriteError
from local.host import HostError
from local.stack import Ports, Stack
from local.up import describe, wait_for_ctrl_c
from shared.imports.app import importer
from shared.imports.model.record import ImportRecord

__all__ = ["main"]

#: Seconds that the imports may take in all.
DEADLINE = 50.0


@dataclass(frozen=True)
class Upload:
    """A file of the demo and how its import should end."""

    name: str
    content: bytes
    says: str
    state: str
    job_status: str
    devices: int | None
    failed: int | None
    #: What the failure reason has to tell.
    reason: str = ""


UPLOADS = (
    Upload(
        "fleet.ndjson",
        samples.ndjson(samples.fleet(1000)),
        "1,000 devices: SAS, self-signed, CA-signed; tags and desired properties",
        "completed",
        "completed",
        1000,
        0,
    ),
    Upload(
        "valves-broken.ndjson",
        samples.broken_lines(),
        "6 lines, 5 of them broken",
        "rejected",
        "",
        None,
        0,
        "5 of 6 lines break rules: line 2: id is missing",
    ),
    Upload(
        "replacements.ndjson",
        samples.ndjson(samples.replacements(40, existing=3)),
        "40 devices to create, 3 of which exist",
        "completedWithErrors",
        "completed",
        40,
        3,
        "3 of 40 devices failed: 3 x 409001 DeviceAlreadyExists",
    ),
    Upload(
        "site-east.csv",
        samples.csv(samples.site("east", 25)),
        "25 devices as CSV, uploaded at the same moment as",
        "completed",
        "completed",
        25,
        0,
    ),
    Upload(
        "site-west.ndjson",
        samples.ndjson(samples.site("west", 25)),
        "25 others: the hub takes one job at a time",
        "completed",
        "completed",
        25,
        0,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the stack up until Ctrl-C")
    parser.add_argument("--log", action="store_true", help="show the log of app, host and hub too")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if options.log else logging.CRITICAL,
        format="%(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("azure").setLevel(logging.WARNING)
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    console.print("Starting Azurite, the hub emulator and the app ...")
    try:
        with Stack(
            ports=Ports() if options.keep else Ports.any_free(),
            changes={"POLL_SCHEDULE": "* * * * * *", "TICK_SECONDS": "0.8"},
            scan_interval=0.5,
        ) as stack:
            records = _run(stack, console)
            wrong = _show(stack, records, console)
            if options.keep:
                console.print(describe(stack))
                wait_for_ctrl_c()
    except (AzuriteError, HostError, OSError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    return 1 if wrong else 0


def _run(stack: Stack, console: Console) -> list[ImportRecord]:
    """Upload the files and follow their imports until all are final or the deadline is past."""
    for line in samples.stock(3):
        stack.hub.registry.put(dict(line))
    container = stack.blobs.get_container_client(stack.settings["UPLOAD_CONTAINER"])
    for upload in UPLOADS[:-2]:
        container.upload_blob(upload.name, upload.content)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda two: container.upload_blob(two.name, two.content), UPLOADS[-2:]))
    for upload in UPLOADS:
        console.print(f"  uploaded [bold]{upload.name}[/bold]: {upload.says}")
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
    services = importer().services
    return [record for hub in services.hubs for record in services.store.all(hub)]


def _progress(record: ImportRecord) -> str:
    match record.state:
        case "running":
            percent = f", {record.job.progress} %" if record.job.progress is not None else ""
            return f"running: the hub's job is {record.job.status}{percent}"
        case "queued" if record.failure_reason:
            return f"queued: {escape(record.failure_reason)}"
        case "queued":
            place = f" at place {record.queue_position}" if record.queue_position else ""
            return f"queued: {record.devices:,} devices, waits for its turn{place}"
    return f"[bold]{record.state}[/bold]" if record.state.is_final else record.state.value


def _show(stack: Stack, records: list[ImportRecord], console: Console) -> list[str]:
    """Print the table of imports and what to look at next; returns what is not as it should."""
    table = Table(title="\nImports", title_justify="left", title_style="bold")
    for column in ("File", "State"):
        table.add_column(column, no_wrap=True)
    for column in ("Devices", "Failed"):
        table.add_column(column, justify="right")
    table.add_column("Failure reason", ratio=1)
    table.add_column("Job id", max_width=18, overflow="fold")
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
            f"{(record.finished_at - record.created_at).total_seconds():.1f} s"
            if record.finished_at
            else "",
        )
    console.print(table)

    wrong = []
    for upload in UPLOADS:
        ended = by_file.get(upload.name)
        if ended is None:
            wrong.append(f"{upload.name} has no import")
            continue
        expected = (upload.state, upload.job_status, upload.devices, upload.failed)
        found = (ended.state.value, ended.job.status, ended.devices, ended.failed)
        if found != expected:
            wrong.append(f"{upload.name} should be {expected} but is {found}")
        if not ended.failure_reason.startswith(upload.reason):
            wrong.append(f"{upload.name} should have the reason {upload.reason!r}")
    for problem in wrong:
        console.print(f"[red]{escape(problem)}[/red]")
    if not wrong:
        _show_problems(stack, by_file["valves-broken.ndjson"], console)
        _show_failures(stack, by_file["replacements.ndjson"], console)
        console.print(
            "\nWhat to look at next:\n"
            "  python -m local demo --keep   the same, then the dashboard at your leisure\n"
            "  python -m local demo --log    the same with the logs of app, host and hub\n"
            "  python -m local up            the stack for your own files\n"
            "  device-importer check FILE   what is wrong with a file, before it is uploaded\n"
            "  README.md                     deploy it to Azure; docs/architecture.md: how it works"
        )
    return wrong


def _show_problems(stack: Stack, record: ImportRecord, console: Console) -> None:
    console.print(f"\nWhat is wrong with {record.file} ({record.problems}):")
    rows = csv.DictReader(io.StringIO(_read(stack, record.problems), newline=""))
    for row in (row for row in rows if row["severity"] == "error"):
        console.print(f"  line {row['line']:>3}  {row['code']:16}{escape(row['remedy'])}")


def _read(stack: Stack, path: str) -> str:
    container, _, name = path.partition("/")
    data: bytes = stack.blobs.get_blob_client(container, name).download_blob().readall()
    return data.decode()


def _show_failures(stack: Stack, record: ImportRecord, console: Console) -> None:
    report = json.loads(_read(stack, record.report))
    console.print(f"\nWhat the hub refused of {record.file} ({record.report}):")
    for failure in report["failures"]["devices"]:
        console.print(f"  line {failure['line']:3}  {failure['id']}  {failure['message']}")
