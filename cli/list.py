"""`device-importer list`: the imports, the newest upload first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from cli.arguments import add_hub_filter, time_or_age, whole_number
from cli.errors import Exit
from cli.formatting import (
    known_count,
    local_time,
    one_line,
    state_and_progress,
    summary,
    time_taken,
)
from cli.output import Output
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.reader import ImportFilter, Page, Reader

__all__ = ["add_arguments", "run"]

#: Imports per read with --all.
_PAGE_SIZE = 500

#: Width of a terminal from which on all columns fit on one line.
_WIDE = 130
#: Width from which on there is room for the column TOOK.
_WITH_TIME_TAKEN = 88
#: The same for a list with the column UNCHANGED.
_WITH_UNCHANGED = 99


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_hub_filter(parser)
    add(
        "--state",
        action="append",
        type=_state,
        default=[],
        metavar="STATE",
        help="only imports in this state, such as queued or failed; can be repeated. A rare state "
        "takes longer, because more imports have to be read",
    )
    time = "a local date or time such as 2026-11-23T09:30, or an age such as 2h or 3d"
    add("--since", type=time_or_age, metavar="TIME", help=f"uploaded at or after: {time}")
    add("--until", type=time_or_age, metavar="TIME", help="uploaded before")
    add(
        "--limit",
        type=whole_number(1, 99_999_999),
        default=20,
        metavar="N",
        help="maximum number of imports (default: %(default)s)",
    )
    add("--continuation", default="", metavar="TOKEN", help="continue after a previous list")
    add("--all", action="store_true", help="all imports; ignores --limit")


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """List imports.

    Raises:
        FilterError: unknown hub, or invalid continuation.
    """
    filter = ImportFilter(
        frozenset(options.hub), frozenset(options.state), options.since, options.until
    )
    if options.all:
        page = _all_pages(importer.reader, filter, options.continuation)
    else:
        page = importer.reader.page(filter, options.limit, options.continuation)
    if output.is_json:
        imports = [summary(record) for record in page.imports]
        output.json({"imports": imports, "continuation": page.continuation})
    elif page.imports:
        _show(page.imports, importer, output)
        if page.continuation:
            output.note(f"There are more imports: add --continuation {page.continuation}")
    else:
        output.note("No imports." if filter == ImportFilter() else "No matching imports.")
    return Exit.DONE


def _state(text: str) -> ImportState:
    try:
        return ImportState(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"unknown state {text!r} (expected one of: {', '.join(ImportState)})"
        ) from None


def _all_pages(reader: Reader, filter: ImportFilter, continuation: str) -> Page:
    imports: list[ImportRecord] = []
    while True:
        page = reader.page(filter, _PAGE_SIZE, continuation)
        imports += page.imports
        continuation = page.continuation
        if not continuation:
            return Page(imports, "")


def _show(imports: Sequence[ImportRecord], importer: Importer, output: Output) -> None:
    width, in_full = output.console.width, not output.is_terminal
    rows = [_row(record, importer.services.clock(), in_full) for record in imports]
    if all(record.unchanged is None for record in imports):
        for row in rows:
            del row["UNCHANGED"]
    if in_full or width >= _WIDE:
        names = [name for name in rows[0] if name != "HUB" or len(importer.reader.hubs()) > 1]
        output.show(_table(rows, names))
        return
    # File and reason go below, on a line of their own.
    left_out = {"HUB", "FILE", "REASON"}
    if width < _WITH_TIME_TAKEN:
        left_out |= {"TOOK", "UNCHANGED"}
    elif width < _WITH_UNCHANGED and "UNCHANGED" in rows[0]:
        left_out.add("TOOK")
    table = _table(rows, [name for name in rows[0] if name not in left_out])
    header, *lines = map(_text, output.console.render_lines(table, pad=False))
    output.show(header)
    for line, row in zip(lines, rows, strict=True):
        details = Text("  ", no_wrap=True, overflow="ellipsis")
        output.show(Group(line, details + row["FILE"] + Text("  ") + row["REASON"]))


def _row(record: ImportRecord, now: datetime, in_full: bool) -> dict[str, Text]:
    """The cells of an import by the titles of their columns."""
    return {
        "ID": Text(record.id),
        "UPLOADED": Text(local_time(record.uploaded_at, now, in_full=in_full)),
        "STATE": state_and_progress(record),
        "IMPORTED": Text(known_count(record.imported, record)),
        "UNCHANGED": Text("" if record.unchanged is None else f"{record.unchanged:,}"),
        "FAILED": Text(known_count(record.failed, record), "red" if record.failed else ""),
        "TOOK": Text(time_taken(record, now)),
        "HUB": one_line(record.hub),
        "FILE": one_line(f"undo of {record.file}" if record.undo_of else record.file),
        "REASON": one_line(record.failure_reason, "dim"),
    }


def _table(rows: Sequence[Mapping[str, Text]], names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(
            name,
            justify="right" if name in ("IMPORTED", "UNCHANGED", "FAILED", "TOOK") else "left",
            # If the terminal is too narrow, only the other columns shrink.
            no_wrap=name not in ("FILE", "REASON"),
        )
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _text(line: Sequence[Segment]) -> Text:
    return Text.assemble(*((segment.text, segment.style or "") for segment in line))
