"""CSV: a header of dotted paths, then one device per row.

Cells are strings unless the column's name ends with :number, :boolean or :json; an empty cell is an
absent property. Each row becomes a JSON line, which is checked like any other.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from shared.device_files.characters import INVISIBLE_BYTES
from shared.device_files.formats.csv_columns import Header, read_header
from shared.device_files.formats.csv_credentials import misplaced_credentials
from shared.device_files.formats.csv_layout import Layout
from shared.device_files.formats.csv_rows import BLANKS, RowFilter, names_of
from shared.device_files.formats.reader import Batch, Sink, UnusableFileError
from shared.device_files.limits import CsvDefaults
from shared.device_files.lines.damage import damage
from shared.device_files.mapping.file_mapping import NO_MAPPING, FileMapping
from shared.device_files.rules import Finding, Rule

__all__ = ["csv_batches"]

_BATCH_ROWS = 4096
_EMPTY = frozenset({b"\n", b"\r\n"})
_BLANKS_AND_QUOTE = re.compile(rf"[{BLANKS}]+\"")
_BLANK_BEFORE = "a space before a quote"
_LEADING = re.compile(rb"\A%s++" % INVISIBLE_BYTES)


def csv_batches(
    chunks: Iterable[bytes],
    layout: Layout,
    max_row_bytes: int,
    defaults: CsvDefaults,
    sink: Sink,
    mapping: FileMapping = NO_MAPPING,
) -> Iterator[Batch]:
    """Return the rows as JSON lines, each with the line of the file that it begins on.

    Args:
        mapping: what its columns stand for, besides those that are named after properties.

    Raises:
        UnusableFileError: the header is invalid, or a quote is not closed.
    """
    for note in layout.notes:
        sink.note(*note)
    if layout.refusal:
        raise layout.refusal
    lines = _Lines(chunks, max_row_bytes)
    lines.skip(layout.skipped)
    rows = _rows(lines, layout, sink)
    names: list[str] = []
    header = Header()
    for number, cells in rows:
        if not names_of(cells):
            continue
        if any(map(_BLANKS_AND_QUOTE.match, cells)):
            raise UnusableFileError(Rule.CSV_QUOTE, f"{_BLANK_BEFORE} in the header", number)
        names, header = cells, read_header(number, names_of(cells), sink, mapping)
        break
    row_filter = RowFilter(names, header, layout, sink, mapping)
    numbers: list[int] = []
    texts: list[bytes] = []
    for number, cells in rows:
        if row_filter.is_no_device(number, cells):
            continue
        if len(lines.row) > 1:
            row_filter.report_swallowed(number, lines.row)
        findings = []
        if len(cells) > len(header.columns) or _BLANKS_AND_QUOTE.search(lines.row[0]):
            findings = _check_cells(cells, len(header.columns), lines.row[0], layout.separator)
        text = _json_line(number, cells, header, defaults, mapping, sink, findings)
        if text is not None:
            numbers.append(number)
            texts.append(text)
        if len(numbers) >= _BATCH_ROWS:
            yield numbers, texts
            numbers, texts = [], []
    yield numbers, texts


class _Lines:
    """Lines with their ends; bytes that are not UTF-8 become surrogates, to be reported later."""

    def __init__(self, chunks: Iterable[bytes], max_row_bytes: int) -> None:
        self._max = max_row_bytes
        self._lines = self._read(chunks)
        self._read_lines = self._row_bytes = 0
        #: The lines of the current row, and the number of the first.
        self.row: list[str] = []
        self.first = 0

    def skip(self, count: int) -> None:
        """Skip the next lines, and invisible characters after them."""
        for _ in range(count):
            next(self._lines, None)
        self._read_lines = count
        if (line := next(self._lines, None)) is not None:
            self._lines = itertools.chain([_LEADING.sub(b"", line)], self._lines)

    def begin_row(self) -> None:
        """Let a row begin at the next line that is not empty."""
        self._row_bytes, self.first = 0, self._read_lines + 1
        self.row = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._read_lines += 1
        if not self.row:
            while line in _EMPTY:  # there may be millions
                line = next(self._lines)
                self._read_lines += 1
            self.first = self._read_lines
        self._check(len(line))
        self._row_bytes += len(line)
        text = line.decode("utf-8", "surrogateescape")
        self.row.append(text)
        return text

    def _read(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        tail = b""
        for chunk in chunks:
            *lines, tail = (tail + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
            self._check(len(tail))
        if tail:
            yield tail

    def _check(self, more: int) -> None:
        if self._row_bytes + more > self._max:
            detail = f"over {self._max:,} bytes, or a quote is not closed"
            raise UnusableFileError(Rule.LINE_TOO_LONG, detail, self.first)


def _rows(lines: _Lines, layout: Layout, sink: Sink) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(
        lines, delimiter=layout.separator, skipinitialspace=layout.skips_blanks, strict=True
    )
    is_header = True
    while True:
        lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number = lines.first
            if len(lines.row) == 1 and "new-line" in str(error):
                _check_line_ends(number, lines.row[0], layout.separator)
                sink.drop(number, [Finding("", Rule.LINE_END)])
                continue
            # The module's limit of a cell limits what an open quote can swallow.
            if len(lines.row) > 1 or "end of data" in str(error):
                raise UnusableFileError(Rule.CSV_QUOTE, "one is not closed", number) from None
            if is_header:
                raise UnusableFileError(Rule.CSV_QUOTE, "in the header", number) from None
            sink.drop(number, [Finding("", Rule.CSV_QUOTE)])
            continue
        if any(cells):
            yield lines.first, cells
            is_header = False


def _check_line_ends(number: int, line: str, separator: str) -> None:
    """Reject a file whose rows end in CR or LF CR: one line may contain many devices."""
    rows = [row for row in line.rstrip("\r\n").split("\r") if row.strip()]
    if line.startswith("\r") or (len(rows) > 1 and all(separator in row for row in rows)):
        raise UnusableFileError(Rule.LINE_END, "", number)


def _json_line(
    number: int,
    cells: Sequence[str],
    header: Header,
    defaults: CsvDefaults,
    mapping: FileMapping,
    sink: Sink,
    findings: list[Finding],
) -> bytes | None:
    """Convert a row; None if it was reported."""
    members: dict[str, Any] = {}
    if any("\0" in cell for cell in cells):
        findings.append(Finding("", Rule.LINE_NUL))
    for column, cell in zip(header.columns, cells, strict=False):
        if column and cell:
            value = column.read(cell)
            if isinstance(value, Finding):
                findings.append(value._replace(field=column.path))
                continue
            column.put(value, members)
            if isinstance(value, float) and (cause := damage(cell.strip())):
                sink.note(number, Rule.VALUE_DAMAGED, cause, column.path)
    for template in header.templates:
        value = template.read(cells)
        if isinstance(value, Finding):
            findings.append(value)
        else:
            template.column.put(value, members)
    mapping.add_defaults(members)
    if defaults.status:
        members.setdefault("status", defaults.status)
    if defaults.import_mode:
        members.setdefault("importMode", defaults.import_mode)
    if header.unused:
        findings += misplaced_credentials(cells, header, members)
    try:
        text = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        findings.append(Finding("", Rule.LINE_ENCODING))
    if findings:
        sink.drop(number, findings, members)
        return None
    return text


def _check_cells(cells: Sequence[str], count: int, line: str, separator: str) -> list[Finding]:
    """Check the quotes and the number of the cells of a row."""
    starts = {match[0] for match in map(_BLANKS_AND_QUOTE.match, cells) if match}
    # A cell that is quoted as a whole may begin so.
    if any(f"{separator}{start}" in line or line.startswith(start) for start in starts):
        return [Finding("", Rule.CSV_QUOTE, _BLANK_BEFORE)]
    if any(cells[count:]):
        return [Finding("", Rule.CSV_CELLS, f"{len(cells):,} of {count:,}")]
    return []
