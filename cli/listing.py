"""`list`: the imports, the newest upload first."""

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

from cli.exits import Exit
from cli.output import Output, clean
from cli.times import moment
from cli.words import condition, number_known, shortened, took
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportSummary
from shared.imports.operate.reader import ImportFilter, Page, Reader

__all__ = ["run"]

#: Imports that are read at once for --all.
_PAGE = 500
#: Columns of a terminal from which on everything about an import fits on a line.
_WIDE = 130
#: And those from which on there is room for the duration.
_WITH_DURATION = 88


def run(options: argparse.Namespace, importer: Importer, output: Output) -> int:
    """List imports.

    Raises:
        FilterError: there is no such hub, or the continuation is none of ours.
    """
    wanted = ImportFilter(
        frozenset(options.hub),
        frozenset(map(ImportState, options.state)),
        options.since,
        options.until,
    )
    page = (
        _everything(importer.reader, wanted, options.continuation)
        if options.all
        else importer.reader.page(wanted, options.limit, options.continuation)
    )
    if output.is_json:
        imports = [ImportSummary.of(one).model_dump(mode="json") for one in page.imports]
        output.json({"imports": imports, "continuation": page.continuation})
        return Exit.DONE
    if not page.imports:
        output.note("No imports." if wanted == ImportFilter() else "No imports of that kind.")
        return Exit.DONE
    _show(page.imports, importer, output)
    if page.continuation:
        output.note(f"There are more: add --continuation {page.continuation}")
    return Exit.DONE


def _everything(reader: Reader, wanted: ImportFilter, continuation: str) -> Page:
    imports: list[ImportRecord] = []
    while True:
        page = reader.page(wanted, _PAGE, continuation)
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
    # File and reason have a line of their own.
    columns = (*_COLUMNS, _TOOK) if width >= _WITH_DURATION else _COLUMNS
    head, *lines = output.lines_of(_table(imports, columns, now, output))
    output.show(_line(head))
    for record, line in zip(imports, lines, strict=True):
        reason = f"  {record.failure_reason}" if record.failure_reason else ""
        about = shortened(f"  {record.file}").append_text(shortened(reason, "dim"))
        output.show(Group(_line(line), about))


def _line(segments: Sequence[Segment]) -> Text:
    return Text.assemble(*((segment.text, segment.style or "") for segment in segments))


@dataclass(frozen=True)
class _Column:
    title: str
    #: What the column says of an import now; the last argument: whether times are told in full.
    cell: Callable[[ImportRecord, datetime, bool], Text | str]
    is_number: bool = False
    #: On a terminal: the largest share of the columns that are left for it.
    share: float | None = None


def _failed(record: ImportRecord, *_: object) -> Text:
    return Text(number_known(record.failed, record), "red" if record.failed else "")


_COLUMNS = (
    _Column("ID", lambda record, *_: record.id),
    _Column("UPLOADED", lambda record, now, full: moment(record.uploaded_at, now, in_full=full)),
    _Column("STATE", lambda record, *_: condition(record)),
    _Column("IMPORTED", lambda record, *_: number_known(record.imported, record), is_number=True),
    _Column("FAILED", _failed, is_number=True),
)
_TOOK = _Column("TOOK", lambda record, now, _: took(record, now), is_number=True)
_HUB = _Column("HUB", lambda record, *_: clean(record.hub))
_FILE = _Column("FILE", lambda record, *_: clean(record.file), share=0.5)
_REASON = _Column("REASON", lambda record, *_: shortened(record.failure_reason, "dim"), share=1)


def _table(
    imports: Sequence[ImportRecord], columns: Sequence[_Column], now: datetime, output: Output
) -> Table:
    rows = [
        [column.cell(one, now, not output.is_terminal) for column in columns] for one in imports
    ]
    left = output.console.width
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        # Only the last columns give way on a terminal that is too narrow for all.
        width = max(cell_len(column.title), *(cell_len(str(cell)) for cell in cells))
        if output.is_terminal and column.share is not None:
            width = max(10, min(width, round((left - 2) * column.share)))
        left -= width + 2
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
