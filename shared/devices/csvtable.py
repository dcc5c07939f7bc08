"""CSV: a header of dotted paths, then a device a row.

Cells are texts unless the column's name ends with :number, :boolean or :json; an empty cell is an
absent member. Commas, semicolons or tabs part them. Each row becomes the line that it stands for,
which is then held against the rules like any other.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.devices.hints import in_documented_case, unknown_member
from shared.devices.members import MEMBERS
from shared.devices.rules import Rule
from shared.devices.source import Batch, Sink, UnusableFileError
from shared.devices.strictjson import Finding, StrictReader

__all__ = ["CsvDefaults", "csv_batches", "header_cells"]

_SEPARATORS = ",;\t"
_BATCH_ROWS = 4096
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}
#: Members that hold names of the file's own.
_OPEN = ("tags", "properties.desired", "properties.reported", "attributes", "adrDeviceProperties")
#: Members that are no texts, and their type where the header does not say.
_TYPES_OF = {"capabilities.iotEdge": "boolean", "parentScopes": "json"}


@dataclass(frozen=True)
class CsvDefaults:
    """What a row says that has no such cell; "" for nothing."""

    status: str = ""
    import_mode: str = ""


class _CellError(Exception):
    def __init__(self, rule: Rule, detail: str = "") -> None:
        self.rule = rule
        self.detail = detail


@dataclass(frozen=True)
class _Column:
    path: str
    read: Callable[[str], Any]

    def put(self, value: Any, members: dict[str, Any]) -> None:
        *above, name = self.path.split(".")
        for step in above:
            members = members.setdefault(step, {})
        members[name] = value


def header_cells(line: str) -> tuple[str, list[str]]:
    """The separator that parts the most cells of a first line, and these cells."""
    rows = ((separator, _cells(line, separator)) for separator in _SEPARATORS)
    return max(rows, key=lambda row: len(row[1]))


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:
        return []


def csv_batches(
    chunks: Iterable[bytes], separator: str, max_row_bytes: int, defaults: CsvDefaults, sink: Sink
) -> Iterator[Batch]:
    """The rows as lines, each with the line of the file that it begins on.

    Raises:
        UnusableFileError: the header is not right, or a quote is not closed.
    """
    rows = _rows(_Lines(chunks, max_row_bytes), separator, sink)
    columns: list[_Column | None] = []
    for number, cells in rows:
        columns = _read_header(number, cells, sink)
        break
    numbers: list[int] = []
    texts: list[bytes] = []
    for number, cells in rows:
        text = _text(number, cells, columns, defaults, sink)
        if text is not None:
            numbers.append(number)
            texts.append(text)
        if len(numbers) >= _BATCH_ROWS:
            yield numbers, texts
            numbers, texts = [], []
    yield numbers, texts


class _Lines:
    """Lines with their ends; bytes that are not UTF-8 become surrogates, to be found later."""

    def __init__(self, chunks: Iterable[bytes], max_row_bytes: int) -> None:
        self._max = max_row_bytes
        self._lines = self._read(chunks)
        self._row = self._row_bytes = 0

    def begin_row(self, number: int) -> None:
        """The next line is the first of a row."""
        self._row, self._row_bytes = number, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._check(len(line))
        self._row_bytes += len(line)
        return line.decode("utf-8", "surrogateescape")

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
            raise UnusableFileError(Rule.LINE_TOO_LONG, detail, self._row)


def _rows(lines: _Lines, separator: str, sink: Sink) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        number = reader.line_num + 1
        lines.begin_row(number)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # The longest cell that the module takes bounds what a forgotten quote can swallow.
            if reader.line_num > number or "end of data" in str(error):
                raise UnusableFileError(Rule.CSV_QUOTE, "one is not closed", number) from None
            sink.drop(number, [Finding("", Rule.CSV_QUOTE)])
            continue
        if any(cells):
            yield number, cells


def _read_header(number: int, cells: Sequence[str], sink: Sink) -> list[_Column | None]:
    """The columns in their order, None for those that are left out."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not any(name.partition(":")[0].lower() == "id" for name in names):
        raise UnusableFileError(Rule.CSV_HEADER, _without_id(names), number)
    columns = [_column(number, name, sink) for name in names]
    paths: set[str] = set()
    for path in sorted(column.path for column in columns if column):
        if path in paths:
            raise UnusableFileError(Rule.CSV_HEADER, f"two columns are for {path}", number)
        steps = path.split(".")
        for end in range(1, len(steps)):
            if (outer := ".".join(steps[:end])) in paths:
                detail = f"one column is for {outer}, another for {path}, which is a part of it"
                raise UnusableFileError(Rule.CSV_HEADER, detail, number)
        paths.add(path)
    return columns


def _without_id(names: Sequence[str]) -> str:
    """Says what may be meant. Repeats no cell: without a header the first row may hold keys."""
    known = (_documented(name) for name in names)
    meant = any("mean id?" in finding.detail for finding in known if isinstance(finding, Finding))
    return f"there is no column id{'; deviceId and the like are called id' if meant else ''}"


def _column(number: int, name: str, sink: Sink) -> _Column | None:
    if not name:
        raise UnusableFileError(Rule.CSV_HEADER, "a column has no name", number)
    path, colon, kind = name.rpartition(":")
    if not colon:
        path, kind = name, ""
    elif kind not in _READERS:
        detail = f"{name!r} has no known type; use :number, :boolean, :json or :string"
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)
    known = _documented(path)
    if isinstance(known, Finding):
        sink.note(number, known)
        return None
    path, is_object = known
    kind = kind or _TYPES_OF.get(path, "string")
    if is_object and kind != "json":
        detail = f"{path} is an object: name its members, or end the name with :json"
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)
    return _Column(path, _READERS[kind])


def _documented(path: str) -> tuple[str, bool] | Finding:
    """The path in the documented case, and whether an object belongs there."""
    names, taken = MEMBERS, ""
    for step in path.split("."):
        known = in_documented_case(step, names)
        if known is None:
            return unknown_member(step, names, f"{taken}." if taken else "")
        taken = f"{taken}.{known}" if taken else known
        if taken in _OPEN:
            return taken + path[len(taken) :], len(taken) == len(path)
        below = names[known]
        if not isinstance(below, dict):
            if len(taken) < len(path):
                return Finding(path, Rule.MEMBER_UNKNOWN)
            return taken, False
        names = below
    return taken, True


def _text(
    number: int,
    cells: Sequence[str],
    columns: Sequence[_Column | None],
    defaults: CsvDefaults,
    sink: Sink,
) -> bytes | None:
    """The line that a row stands for; None if the row was reported."""
    members: dict[str, Any] = {}
    findings: list[Finding] = []
    if any(cells[len(columns) :]):
        findings.append(Finding("", Rule.CSV_CELLS, f"{len(cells):,} of {len(columns):,}"))
    if any("\0" in cell for cell in cells):
        findings.append(Finding("", Rule.LINE_NUL))
    for column, cell in zip(columns, cells, strict=False):
        if column and cell:
            try:
                column.put(column.read(cell), members)
            except _CellError as error:
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


def _read_number(cell: str) -> int | float:
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        raise _CellError(Rule.CSV_NUMBER)
    if len(text) > 300:
        raise _CellError(Rule.JSON_NUMBER)
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _read_boolean(cell: str) -> bool:
    try:
        return _BOOLEANS[cell.strip().lower()]
    except KeyError:
        raise _CellError(Rule.CSV_BOOLEAN) from None


def _read_json(cell: str) -> Any:
    value, findings = StrictReader().read(cell)
    for finding in findings:
        where = f"{finding.field}: " if finding.field else ""
        detail = f" ({finding.detail})" if finding.detail else ""
        raise _CellError(Rule.CSV_JSON, f"{where}{finding.rule.meaning}{detail}")
    return value


_READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "number": _read_number,
    "boolean": _read_boolean,
    "json": _read_json,
}
