"""`device-importer list`: the imports, the newest upload first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from rich.console import Group
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from cli.arguments import whole_number
from cli.errors import Exit, UsageError
from cli.filters import add_filters, arguments_of, filter_of
from cli.formatting import (
    device_counts,
    file_of,
    known_count,
    one_line,
    state_and_progress,
    summary,
    time_taken,
)
from cli.output import Output
from cli.times import full_time, short_time
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.operate.api_models import ImportSummary
from shared.imports.operate.import_filter import ImportFilter, SortColumn, sort_imports
from shared.imports.operate.reader import Page, Reader

__all__ = ["add_arguments", "run"]

#: Imports that are listed without --limit.
_LIMIT = 20

#: Imports per read with --all.
_PAGE_SIZE = 500

#: Width of a terminal from which on all columns fit on one line.
_WIDE = 130
#: More than any table needs.
_UNLIMITED = 10_000
#: Columns that are shown if an import has a value, and those that need room: the first to go first.
_OPTIONAL = ("DELETES", "UNCHANGED", "LEFT OUT", "INVALID")
_LEFT_OUT_FIRST = ("TOOK", *reversed(_OPTIONAL))
#: Columns that a terminal has on a line of its own below the others.
_BELOW = ("HUB", "FILE", "REASON")
_NUMBERS = ("IMPORTED", "FAILED", "TOOK", *_OPTIONAL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_filters(parser)
    add(
        "--limit",
        type=whole_number(1, 99_999_999),
        default=_LIMIT,
        metavar="N",
        help="maximum number of imports (default: %(default)s)",
    )
    add("--continuation", default="", metavar="TOKEN", help="continue after a previous list")
    add("--all", action="store_true", help="all imports; ignores --limit")
    add(
        "--sort",
        choices=[column.value for column in SortColumn],
        metavar="COLUMN",
        help=f"order of the imports that are listed: {', '.join(SortColumn)} (default: newest "
        "upload first); those without a value are last",
    )
    add("--reverse", action="store_true", help="with --sort: the largest or last one first")


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """List imports.

    Raises:
        FilterError: unknown hub, or invalid continuation.
        UsageError: --reverse without --sort.
    """
    if options.reverse and not options.sort:
        raise UsageError("--reverse needs --sort.")
    filter = filter_of(options)
    if options.all:
        page = _all_pages(importer.reader, filter, options.continuation)
    else:
        page = importer.reader.page(filter, options.limit, options.continuation)
    if options.sort:
        column = SortColumn(options.sort)
        imports = sort_imports(page.imports, column, descending=options.reverse)
        page = replace(page, imports=imports)
    if output.is_json:
        back_to = page.searched_back_to
        output.json(
            {
                "imports": [summary(record) for record in page.imports],
                "continuation": page.continuation,
                "searchedBackTo": back_to.isoformat() if back_to else None,
            }
        )
        return Exit.DONE
    if page.imports:
        _show(page.imports, importer, output)
    elif not page.searched_back_to:
        output.note("No imports." if filter == ImportFilter() else "No matching imports.")
        if options.file:
            command = output.command("find", options.file)
            output.note(f"Only the names of files were searched. To find a device: {command}")
    if page.searched_back_to:
        searched = full_time(page.searched_back_to)
        output.note(f"Searched back to {searched}; older imports may match, too.")
    if page.continuation:
        more = "To search on" if page.searched_back_to else "There are more imports"
        limit = () if options.limit == _LIMIT else ("--limit", str(options.limit))
        arguments = (*arguments_of(options, options.since, options.until), *limit)
        command = output.command("list", *arguments, "--continuation", page.continuation)
        output.note(f"{more}: {command}")
    return Exit.DONE


def _all_pages(reader: Reader, filter: ImportFilter, continuation: str) -> Page:
    imports: list[ImportRecord] = []
    while True:
        page = reader.page(filter, _PAGE_SIZE, continuation)
        imports += page.imports
        continuation = page.continuation
        if not continuation:
            return Page(imports, "")


def _show(imports: Sequence[ImportRecord], importer: Importer, output: Output) -> None:
    now, in_full = importer.services.clock(), not output.is_terminal
    rows = [_row(record, now, in_full) for record in imports]
    unused = {name for name in _OPTIONAL if all(row[name].plain in ("", "0") for row in rows)}
    names = [name for name in rows[0] if name not in unused]
    if in_full or output.console.width >= _WIDE:
        has_hubs = len(importer.reader.hubs()) > 1
        output.show(_table(rows, [name for name in names if name != "HUB" or has_hubs]))
        return
    names = [name for name in names if name not in _BELOW]
    for name in _LEFT_OUT_FIRST:
        if _fits(_table(rows, names), output):
            break
        names = [other for other in names if other != name]
    table = _table(rows, names)
    if not _fits(table, output):
        for record, row in zip(imports, rows, strict=True):
            output.show(_block(record, row))
        return
    header, *lines = map(_text, output.console.render_lines(table, pad=False))
    output.show(header)
    for line, row in zip(lines, rows, strict=True):
        details = Text("  ", no_wrap=True, overflow="ellipsis")
        output.show(Group(line, details + row["FILE"] + Text("  ") + row["REASON"]))


def _fits(table: Table, output: Output) -> bool:
    options = output.console.options.update_width(_UNLIMITED)
    return output.console.measure(table, options=options).maximum <= output.console.width


def _block(record: ImportRecord, row: Mapping[str, Text]) -> Group:
    """An import on lines of their own, for a narrow terminal; the id is never cut."""
    state = Text.assemble(row["STATE"], "  ", row["UPLOADED"])
    lines = (state, row["FILE"], one_line(device_counts(record)), row["REASON"])
    indented = (
        Text("  ", no_wrap=True, overflow="ellipsis").append_text(line) for line in lines if line
    )
    return Group(row["ID"], *indented)


def _row(record: ImportRecord, now: datetime, in_full: bool) -> dict[str, Text]:
    """The cells of an import by the titles of their columns."""
    uploaded = record.uploaded_at
    return {
        "ID": Text(record.id),
        "UPLOADED": Text(full_time(uploaded) if in_full else short_time(uploaded, now)),
        "STATE": state_and_progress(record),
        "IMPORTED": Text(known_count(record.imported, record)),
        "DELETES": Text(ImportSummary.of(record).shown_deletes.partition(" delete")[0]),
        "UNCHANGED": _number(record.unchanged),
        "LEFT OUT": _number(record.left_out),
        "INVALID": _number(record.invalid_lines),
        "FAILED": Text(known_count(record.failed, record), "red" if record.failed else ""),
        "TOOK": Text(time_taken(record, now)),
        "HUB": one_line(record.hub),
        "FILE": one_line(file_of(record)),
        "REASON": one_line(record.failure_reason, "dim"),
    }


def _number(count: int | None) -> Text:
    """A count that only some imports have."""
    return Text("" if count is None else f"{count:,}")


def _table(rows: Sequence[Mapping[str, Text]], names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(
            name,
            justify="right" if name in _NUMBERS else "left",
            # If the terminal is too narrow, only the other columns shrink.
            no_wrap=name not in ("FILE", "REASON"),
        )
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _text(line: Sequence[Segment]) -> Text:
    return Text.assemble(*((segment.text, segment.style or "") for segment in line))
