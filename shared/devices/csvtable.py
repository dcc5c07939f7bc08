"""CSV: a header of dotted paths, then a device a row.

Cells are texts unless the column's name ends with :number, :boolean or :json; an empty cell is an
absent member. Each row becomes the line that it stands for, which is then held against the rules
like any other.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.devices.characters import INVISIBLE, INVISIBLE_BYTES
from shared.devices.csvcells import CellError, Column
from shared.devices.csvheader import read_header
from shared.devices.csvlayout import Layout, is_comment_row
from shared.devices.damage import damage, is_secret
from shared.devices.members import MAX_ID
from shared.devices.rules import Rule
from shared.devices.source import Batch, Sink, UnusableFileError
from shared.devices.strictjson import Finding

__all__ = ["CsvDefaults", "csv_batches"]

_BATCH_ROWS = 4096
#: What a comment may begin with; most rows are told from it by their first character.
_BEFORE_COMMENTS = "#/ \t"
_BLANKS_AND_QUOTE = re.compile(rf"[ \t{INVISIBLE}]+\"")
_LEADING = re.compile(rb"\A%s++" % INVISIBLE_BYTES)
#: What a row has in its column status, beside nothing.
_AROUND = ' "'
_STATUS = ("", "enabled", "disabled")
_ID = re.compile(rf"[\w.+%#*?!():=@$'-]{{1,{MAX_ID}}}", re.ASCII)


@dataclass(frozen=True)
class CsvDefaults:
    """What a row says that has no such cell; "" for nothing."""

    status: str = ""
    import_mode: str = ""


def csv_batches(
    chunks: Iterable[bytes], layout: Layout, max_row_bytes: int, defaults: CsvDefaults, sink: Sink
) -> Iterator[Batch]:
    """The rows as lines, each with the line of the file that it begins on.

    Raises:
        UnusableFileError: the header is not right, or a quote is not closed.
    """
    for number, finding in layout.notes:
        sink.note(number, finding)
    if layout.refusal:
        raise layout.refusal
    lines = _Lines(chunks, max_row_bytes)
    lines.skip(layout.skipped)
    rows = _rows(lines, layout, sink)
    columns: list[Column | None] = []
    for number, cells in rows:
        columns = read_header(number, _names(cells), sink)
        break
    places = _Places(columns, layout)
    numbers: list[int] = []
    texts: list[bytes] = []
    for number, cells in rows:
        if cells[0][:1] in _BEFORE_COMMENTS and is_comment_row(cells, places.id == 0):
            if cells[0].lstrip().startswith("/*") and "*/" not in cells[0]:
                raise UnusableFileError(Rule.CSV_COMMENT, "rows within /* */ are no rows", number)
            sink.note(number, Finding("", Rule.CSV_COMMENT))
            continue
        if len(lines.row) > 1 and (swallowed := places.swallowed(lines.row)):
            detail = f"line {number + swallowed:,}, within a cell of the row on line {number:,}"
            sink.note(number, Finding("", Rule.CSV_SWALLOWED_LINE, detail))
        findings = []
        if len(cells) > len(columns) or _BLANKS_AND_QUOTE.search(lines.row[0]):
            findings = _form(cells, len(columns), lines.row[0], layout.separator)
        text = _text(number, cells, columns, defaults, sink, findings)
        if text is not None:
            numbers.append(number)
            texts.append(text)
        if len(numbers) >= _BATCH_ROWS:
            yield numbers, texts
            numbers, texts = [], []
    yield numbers, texts


def _names(cells: Sequence[str]) -> list[str]:
    names = [cell.strip(f"{INVISIBLE} \t") for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


class _Lines:
    """Lines with their ends; bytes that are not UTF-8 become surrogates, to be found later."""

    def __init__(self, chunks: Iterable[bytes], max_row_bytes: int) -> None:
        self._max = max_row_bytes
        self._lines = self._read(chunks)
        self._number = self._row_bytes = 0
        #: Those of the row that was begun last.
        self.row: list[str] = []

    def skip(self, count: int) -> None:
        """Leave out the next lines, and what is not visible in front of the one behind them."""
        for _ in range(count):
            next(self._lines, None)
        if (line := next(self._lines, None)) is not None:
            self._lines = itertools.chain([_LEADING.sub(b"", line)], self._lines)

    def begin_row(self, number: int) -> None:
        """The next line is the first of a row."""
        self._number, self._row_bytes = number, 0
        self.row = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
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
            raise UnusableFileError(Rule.LINE_TOO_LONG, detail, self._number)


def _rows(lines: _Lines, layout: Layout, sink: Sink) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(
        lines, delimiter=layout.separator, skipinitialspace=layout.skips_blanks, strict=True
    )
    is_header = True
    while True:
        number = layout.skipped + reader.line_num + 1
        lines.begin_row(number)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # The longest cell that the module takes bounds what a forgotten quote can swallow.
            if len(lines.row) > 1 or "end of data" in str(error):
                raise UnusableFileError(Rule.CSV_QUOTE, "one is not closed", number) from None
            if is_header:
                raise UnusableFileError(Rule.CSV_QUOTE, "in the header", number) from None
            sink.drop(number, [Finding("", Rule.CSV_QUOTE)])
            continue
        if any(cells):
            yield number, cells
            is_header = False


class _Places:
    """Where rows have what tells that a line is one."""

    def __init__(self, columns: Sequence[Column | None], layout: Layout) -> None:
        paths = [column.path if column else "" for column in columns]
        self._count = len(paths)
        self._separator = layout.separator
        self.id = paths.index("id") if "id" in paths else -1
        self._status = paths.index("status") if "status" in paths else -1

    def _is_row(self, cells: Sequence[str]) -> bool:
        if len(cells) <= self.id or not _ID.fullmatch(cells[self.id]):
            return False
        status = cells[self._status].lower() if 0 <= self._status < len(cells) else ""
        # A row may be shorter than the header, and then its status tells.
        return status in _STATUS if len(cells) >= self._count > 1 else status in _STATUS[1:]

    def swallowed(self, row: Sequence[str]) -> int:
        """Which line of a row looks like a row of its own, from 0; 0 for none."""
        for index, line in enumerate(row[1:], 1):
            try:
                cells = next(csv.reader([line.strip("\r\n")], delimiter=self._separator), [])
            except csv.Error:  # such as a CR in the middle
                continue
            if self._is_row([cell.strip(_AROUND) for cell in cells]):
                return index
        return 0


def _text(
    number: int,
    cells: Sequence[str],
    columns: Sequence[Column | None],
    defaults: CsvDefaults,
    sink: Sink,
    findings: list[Finding],
) -> bytes | None:
    """The line that a row stands for; None if the row was reported."""
    members: dict[str, Any] = {}
    if any("\0" in cell for cell in cells):
        findings.append(Finding("", Rule.LINE_NUL))
    for index, (column, cell) in enumerate(zip(columns, cells, strict=False), 1):
        if not column and is_secret(cell):
            detail = f"in column {index:,}; they belong in authentication.symmetricKey"
            findings.append(Finding("", Rule.CREDENTIALS_MISPLACED, detail))
        if column and cell:
            try:
                value = column.read(cell)
                column.put(value, members)
                if isinstance(value, float) and (cause := damage(cell.strip())):
                    sink.note(number, Finding(column.path, Rule.VALUE_DAMAGED, cause))
            except CellError as error:
                findings.append(Finding(column.path, error.rule, error.detail))
    if defaults.status:
        members.setdefault("status", defaults.status)
    if defaults.import_mode:
        members.setdefault("importMode", defaults.import_mode)
    try:
        text = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        findings.append(Finding("", Rule.LINE_ENCODING))
    if findings:
        sink.drop(number, findings, members)
        return None
    return text


def _form(cells: Sequence[str], count: int, line: str, separator: str) -> list[Finding]:
    """What is wrong with the cells of a row as such."""
    starts = {match[0] for match in map(_BLANKS_AND_QUOTE.match, cells) if match}
    # A cell that is quoted as a whole may begin like that.
    if any(f"{separator}{start}" in line or line.startswith(start) for start in starts):
        return [Finding("", Rule.CSV_QUOTE, "a blank stands in front of a quote")]
    if any(cells[count:]):
        return [Finding("", Rule.CSV_CELLS, f"{len(cells):,} of {count:,}")]
    return []
