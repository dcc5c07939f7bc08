"""`device-importer list`: the imports, the newest upload first."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Group
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from cli.arguments import add_hub_filter, time_or_age, whole_number
from cli.errors import Exit
from cli.formatting import known_count, local_time, one_line, state_and_progress, time_taken
from cli.output import Output, printable
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord, ImportState
from shared.imports.operate.api_models import ImportSummary
from shared.imports.operate.reader import ImportFilter, Page, Reader

__all__ = ["add_arguments", "run"]

#: Imports per read with --all.
_PAGE_SIZE = 500

#: Width of a terminal from which on all columns fit on one line.
_WIDE = 130
#: Width from which on there is room for the column TOOK.
_WITH_TIME_TAKEN = 88


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
        imports = [ImportSummary.of(record).model_dump(mode="json") for record in page.imports]
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
    now, width = importer.services.clock(), output.console.width
    if not output.is_terminal or width >= _WIDE:
        hub = (_HUB,) if len(importer.reader.hubs()) > 1 else ()
        output.show(_table(imports, (*_COLUMNS, _TOOK, *hub, _FILE, _REASON), now, output))
        return
    # File and reason go below, on a line of their own.
    columns = (*_COLUMNS, _TOOK) if width >= _WITH_TIME_TAKEN else _COLUMNS
    table = _table(imports, columns, now, output)
    header, *rows = map(_text, output.console.render_lines(table, pad=False))
    output.show(header)
    for record, row in zip(imports, rows, strict=True):
        details = one_line(f"  {record.file}")
        if record.failure_reason:
            details.append_text(one_line(f"  {record.failure_reason}", "dim"))
        output.show(Group(row, details))


def _text(line: Sequence[Segment]) -> Text:
    return Text.assemble(*((segment.text, segment.style or "") for segment in line))


@dataclass(frozen=True)
class _Column:
    title: str
    #: The cell of an import at a time; the last argument: whether to show times in full.
    cell: Callable[[ImportRecord, datetime, bool], Text | str]
    is_number: bool = False
    #: The maximum width on a terminal, as a fraction of the width that is left.
    max_share: float | None = None


def _failed(record: ImportRecord, *_: object) -> Text:
    return Text(known_count(record.failed, record), "red" if record.failed else "")


_COLUMNS = (
    _Column("ID", lambda record, *_: record.id),
    _Column(
        "UPLOADED", lambda record, now, full: local_time(record.uploaded_at, now, in_full=full)
    ),
    _Column("STATE", lambda record, *_: state_and_progress(record)),
    _Column("IMPORTED", lambda record, *_: known_count(record.imported, record), is_number=True),
    _Column("FAILED", _failed, is_number=True),
)
_TOOK = _Column("TOOK", lambda record, now, _: time_taken(record, now), is_number=True)
_HUB = _Column("HUB", lambda record, *_: printable(record.hub))
_FILE = _Column("FILE", lambda record, *_: printable(record.file), max_share=0.5)
_REASON = _Column("REASON", lambda record, *_: one_line(record.failure_reason, "dim"), max_share=1)


def _table(
    imports: Sequence[ImportRecord], columns: Sequence[_Column], now: datetime, output: Output
) -> Table:
    in_full = not output.is_terminal
    width_left = output.console.width
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    rows = [[column.cell(record, now, in_full) for column in columns] for record in imports]
    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        width = max(cell_len(column.title), *(cell_len(str(cell)) for cell in cells))
        # Only the last columns shrink on a terminal that is too narrow.
        if output.is_terminal and column.max_share is not None:
            width = max(10, min(width, round((width_left - 2) * column.max_share)))
        width_left -= width + 2
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=width,
        )
    for row in rows:
        table.add_row(*row)
    return table
