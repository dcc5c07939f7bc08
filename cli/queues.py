"""`device-importer queues`: what each hub does now, how much waits, and how long that takes."""

from __future__ import annotations

import argparse

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.arguments import add_hub_filter
from cli.errors import Exit
from cli.formatting import file_of, one_line, state_and_progress, summary
from cli.output import Output, printable
from cli.times import short_time
from shared.imports.app import Importer
from shared.imports.operate.hub_names import hub_names
from shared.imports.operate.queue_view import MAX_COUNTED, HubQueueView
from shared.text import format_about

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_hub_filter(parser)


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Show the queues.

    Raises:
        FilterError: unknown hub.
    """
    wanted = hub_names(importer.services, options.hub)
    queues = [q for q in importer.reader.queues() if not wanted or q.hub in wanted]
    if output.is_json:
        output.json({"queues": list(map(_as_json, queues))})
        return Exit.DONE
    if not queues:
        output.note("No matching hubs.")
    for queue in queues:
        output.show(_queue(queue, importer))
    return Exit.DONE


def _as_json(queue: HubQueueView) -> dict[str, object]:
    """A queue as in the API."""
    return {
        "hub": queue.hub,
        "length": queue.length,
        "waiting": queue.waiting,
        "head": summary(queue.head) if queue.head else None,
        "expectedEnd": queue.expected_end.isoformat() if queue.expected_end else None,
        "paceJobs": queue.pace_jobs,
    }


def _queue(queue: HubQueueView, importer: Importer) -> Group:
    title = Text(printable(queue.hub), "bold")
    head = queue.head
    if head is None:
        return Group(title, Text("  no imports waiting" if not queue.length else "  unreadable"))
    now = importer.services.clock()
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(no_wrap=True)
    table.add_row(Text("first", "dim"), Text.assemble(f"{head.id}  ", state_and_progress(head)))
    table.add_row(Text("file", "dim"), printable(file_of(head)))
    more = " or more" if queue.length >= MAX_COUNTED else ""
    others = f"{queue.waiting:,}{more} waiting" if queue.waiting else "none waiting"
    table.add_row(Text("others", "dim"), others)
    if queue.expected_end:
        left = format_about(queue.expected_end - now)
        at = short_time(queue.expected_end, now)
        files = f"{queue.length:,} file{'' if queue.length == 1 else 's'}"
        jobs = "last job" if queue.pace_jobs == 1 else f"last {queue.pace_jobs} jobs"
        done = f"{files} in about {left} ({at}), by the hub's {jobs}"
        table.add_row(Text("done", "dim"), done)
    elif not head.failure_reason:
        table.add_row(Text("done", "dim"), "not known yet")
    next_try = head.back_off.next_try_at
    if next_try and next_try > now:
        left = format_about(next_try - now)
        table.add_row(Text("next try", "dim"), f"in {left} ({short_time(next_try, now)})")
    if head.failure_reason:
        table.add_row(Text("reason", "dim"), one_line(head.failure_reason))
    return Group(title, table)
