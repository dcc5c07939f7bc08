"""The layout of a CSV file, by its first lines: what precedes the header, what separates cells."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.device_files.characters import INVISIBLE, describe_character
from shared.device_files.formats.comments import COMMENT_STARTS
from shared.device_files.formats.reader import UnusableFileError
from shared.device_files.lines.hints import in_documented_case, is_foreign_column
from shared.device_files.lines.members import MEMBERS
from shared.device_files.lines.strict_json import read_sound
from shared.device_files.mapping.file_mapping import NO_MAPPING, FileMapping
from shared.device_files.rules import Rule

__all__ = [
    "PROPERTY",
    "Layout",
    "detect_layout",
    "is_comment_row",
    "is_header",
    "is_type_line",
]

_SEPARATORS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep ?=(?P<separator>\t| ?[^\w"\s\\]| ?\\t)"?[,;\t|]*', re.IGNORECASE)
_TYPE_LINE = re.compile(r'"?#TYPE\b.*', re.IGNORECASE)
#: How a line with an object begins, and what no header contains: the name of a property.
_OBJECT = re.compile(r"""\{\s*["'}]""")
PROPERTY = re.compile(r'"\s*:')
#: Lines that are examined, lines with comments before them, and lines that may contain the header.
_MAX_LINES = 50
_MAX_COMMENTS = 5
_MAX_TITLES = 10


@dataclass(frozen=True)
class Layout:
    """How to read the rows."""

    separator: str
    #: Lines before the header.
    skipped: int = 0
    #: Whether blanks before cells are removed.
    skips_blanks: bool = False
    #: What to report: lines, rules and details.
    notes: tuple[tuple[int, Rule, str], ...] = ()
    #: Why the rows cannot be read.
    refusal: UnusableFileError | None = None


def detect_layout(
    head: bytes, start: int, name: str, mapping: FileMapping = NO_MAPPING
) -> Layout | None:
    """Return the layout of a file; None if it is not CSV.

    One line decides nothing: where most others contain objects, the first one is only broken.

    Args:
        head: the beginning of the file.
        start: where the first line begins that is not a comment.
        name: of the file, which decides if the lines do not.
        mapping: its columns may be in the header.
    """
    start = head.rfind(b"\n", 0, start) + 1
    lines = _numbered(head[:start], 1, _MAX_COMMENTS)
    lines += _numbered(head[start:], 1 + head.count(b"\n", 0, start), _MAX_LINES)
    if not lines:
        return None
    others = [text.strip(INVISIBLE) for _, text in lines[1:]]
    objects = sum(1 for text in others if _OBJECT.match(text))
    if any(_is_header_line(text, mapping) for _, text in lines[:_MAX_COMMENTS]):
        # Rows may begin with a cell of JSON.
        objects = sum(1 for text in others if isinstance(read_sound(text.encode()), dict))
    comments = sum(1 for text in others if text.encode().startswith(COMMENT_STARTS))
    if objects > (len(others) - comments) / 2 or PROPERTY.search(lines[0][1]):
        return None
    is_named_csv = name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))
    return _layout(lines, is_named_csv, mapping)


def _numbered(data: bytes, first: int, count: int) -> list[tuple[int, str]]:
    """Return the first lines that are not blank, with their numbers."""
    # A tab at the end of a line may separate cells.
    lines = (
        (number, text.lstrip().rstrip(" \r"))
        for number, text in enumerate(data.decode("utf-8", "replace").split("\n"), first)
        if text and not text.isspace()
    )
    return list(itertools.islice(lines, count))


def _joined(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Join lines that are one row, since a quoted cell contains their ends."""
    joined: list[tuple[int, str]] = []
    while lines and len(joined) < _MAX_TITLES:
        count = max(_row_lines([text for _, text in lines], separator) for separator in _SEPARATORS)
        joined.append((lines[0][0], "\n".join(text for _, text in lines[:count])))
        lines = lines[count:]
    return joined + lines


def _row_lines(texts: Sequence[str], separator: str) -> int:
    """How many lines the first row has; 1 if a quote is not closed, or text follows it."""
    if '"' not in texts[0]:
        return 1
    rows = csv.reader((f"{text}\n" for text in texts), delimiter=separator, strict=True)
    try:
        next(rows)
    except csv.Error:
        return 1
    return rows.line_num


def _layout(
    lines: list[tuple[int, str]], is_named_csv: bool, mapping: FileMapping
) -> Layout | None:
    lines = _joined(lines)
    separators = _SEPARATORS
    notes: list[tuple[int, Rule, str]] = []
    while lines:
        number, line = lines[0][0], lines[0][1].strip(INVISIBLE)
        if match := _SEP_LINE.fullmatch(line):
            separators = match["separator"].lstrip(" ").replace("\\t", "\t")
            notes.append((number, Rule.CSV_SEP_LINE, ""))
        elif _TYPE_LINE.fullmatch(line):
            notes.append((number, Rule.CSV_TYPE_LINE, ""))
        else:
            break
        lines = lines[1:]
    rows = [
        (number, *_cells(line.strip(INVISIBLE), separators, mapping))
        for number, line in lines[:_MAX_TITLES]
    ]
    skipped = notes[-1][0] if notes else 0
    if not rows:
        return Layout(separators[0], skipped, notes=tuple(notes)) if notes else None
    number, separator, cells = rows[0]
    refusal = _refusal(rows, mapping)
    if separators != _SEPARATORS and len(cells) == 1 and _is_header_line(lines[0][1], mapping):
        detail = "the sep= line names a separator that the header does not use"
        refusal = UnusableFileError(Rule.CSV_HEADER, detail, number)
    if refusal:
        return Layout(separator, skipped, notes=tuple(notes), refusal=refusal)
    if not (notes or is_named_csv or any(_is_column(cell, mapping) for cell in cells)):
        return None
    if (first := lines[0][1]) != first.lstrip(INVISIBLE):
        notes.append((number, Rule.LINE_INVISIBLE, describe_character(first[0], 1)))
    skips_blanks = len(cells) > 1 and all(cell.startswith(" ") for cell in cells[1:])
    if skips_blanks:
        notes.append((number, Rule.CSV_BLANKS, ""))
    if separator == "|" and len(cells) > 1:
        notes.append((number, Rule.CSV_PIPES, ""))
    return Layout(separator, skipped, skips_blanks, tuple(notes))


def is_type_line(line: str) -> bool:
    """Whether a line is one that PowerShell writes before a header."""
    return bool(_TYPE_LINE.fullmatch(line))


def is_comment_row(cells: Sequence[str], begins_with_id: bool, columns: int = 2) -> bool:
    """Whether a row is a comment.

    Args:
        begins_with_id: whether the first cell is an id, which contains neither slashes nor blanks.
        columns: of the header. A row of a single column may be an id.
    """
    first = cells[0].lstrip() if cells else ""
    if begins_with_id and first.startswith(("//", "/*", "# ")):
        return True
    return columns > 1 and not any(cells[1:]) and first.startswith(("//", "/*", "#"))


def _refusal(
    rows: Sequence[tuple[int, str, list[str]]], mapping: FileMapping
) -> UnusableFileError | None:
    """Reject a file with other lines before its header, or with one cell per line."""
    for index, (number, _, cells) in enumerate(rows):
        filled = [cell for cell in cells if cell.strip()]
        if len(filled) == 1 and _is_header_line(filled[0], mapping):
            return UnusableFileError(Rule.CSV_QUOTED_LINES, line=number)
        if is_header(cells, 2 if index else 1, mapping):
            if index == 0:
                return None
            what = "but a comment; " if is_comment_row(rows[0][2], True) else ""
            detail = f"{what}the header seems to be line {number:,}"
            return UnusableFileError(Rule.CSV_BEFORE_HEADER, detail, rows[0][0])
        if index == 0 and sum(_is_column(cell, mapping) for cell in cells) > 1:
            return None  # an invalid header
    return None


def _cells(line: str, separators: str, mapping: FileMapping = NO_MAPPING) -> tuple[str, list[str]]:
    """Return the separator that separates the most cells of a line, and these cells.

    First count those that the mapping names: the name of a column may contain a separator.
    """
    rows = []
    for separator in separators:
        try:
            rows.append((separator, next(csv.reader([line], delimiter=separator))))
        except (csv.Error, StopIteration):
            rows.append((separator, []))
    return max(rows, key=lambda row: (sum(map(mapping.has, row[1])), len(row[1])))


def _is_header_line(line: str, mapping: FileMapping) -> bool:
    """Whether a line is a header, with any separator."""
    return is_header(_cells(line, _SEPARATORS, mapping)[1], 2, mapping)


def is_header(cells: Sequence[str], least: int, mapping: FileMapping) -> bool:
    """Whether cells contain the name of the id and at least so many names of columns."""
    names = [cell.strip(f'{INVISIBLE} "') for cell in cells]
    has_id = any(
        name.partition(":")[0].lower() == "id" or mapping.makes_id_of(name) for name in names
    )
    return has_id and sum(_is_column(name, mapping) for name in names) >= least


def _is_column(cell: str, mapping: FileMapping) -> bool:
    if mapping.has(cell):
        return True
    name = cell.strip(f'{INVISIBLE} "')
    root = name.partition(":")[0].partition(".")[0]
    return in_documented_case(root, (*MEMBERS, "deviceId")) is not None or is_foreign_column(name)
