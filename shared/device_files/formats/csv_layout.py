"""The layout of a CSV file, by its first lines: what precedes the header, what separates cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.device_files.characters import INVISIBLE, describe_character
from shared.device_files.formats.reader import UnusableFileError
from shared.device_files.lines.hints import in_documented_case, is_foreign_column
from shared.device_files.lines.members import MEMBERS
from shared.device_files.rules import Rule

__all__ = ["Layout", "csv_layout", "is_comment_row", "is_header", "is_header_line", "is_type_line"]

_SEPARATORS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep ?=(?P<separator>\t| ?[^\w"\s\\]| ?\\t)"?[,;\t|]*', re.IGNORECASE)
_TYPE_LINE = re.compile(r'"?#TYPE\b.*', re.IGNORECASE)
#: Lines that are searched for the header.
_MAX_TITLES = 10

#: The first lines that are not blank, with their numbers.
Lines = Sequence[tuple[int, str]]


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


def csv_layout(lines: Lines, is_named_csv: bool) -> Layout | None:
    """Return the layout of a file that begins with these lines; None if it is not CSV.

    Args:
        is_named_csv: whether the file's name says so, which decides if the lines do not.
    """
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
        (number, *_cells(line.strip(INVISIBLE), separators)) for number, line in lines[:_MAX_TITLES]
    ]
    skipped = notes[-1][0] if notes else 0
    if not rows:
        return Layout(separators[0], skipped, notes=tuple(notes)) if notes else None
    number, separator, cells = rows[0]
    refusal = _refusal(rows)
    if separators != _SEPARATORS and len(cells) == 1 and is_header_line(lines[0][1]):
        detail = "the sep= line names a separator that the header does not use"
        refusal = UnusableFileError(Rule.CSV_HEADER, detail, number)
    if refusal:
        return Layout(separator, skipped, notes=tuple(notes), refusal=refusal)
    if not (notes or is_named_csv or any(map(_is_column, cells))):
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


def _refusal(rows: Sequence[tuple[int, str, list[str]]]) -> UnusableFileError | None:
    """Reject a file with other lines before its header, or with one cell per line."""
    for index, (number, _, cells) in enumerate(rows):
        filled = [cell for cell in cells if cell.strip()]
        if len(filled) == 1 and is_header_line(filled[0]):
            return UnusableFileError(Rule.CSV_QUOTED_LINES, line=number)
        if is_header(cells, least=2 if index else 1):
            if index == 0:
                return None
            what = "but a comment; " if is_comment_row(rows[0][2], True) else ""
            detail = f"{what}the header seems to be line {number:,}"
            return UnusableFileError(Rule.CSV_BEFORE_HEADER, detail, rows[0][0])
        if index == 0 and sum(map(_is_column, cells)) > 1:
            return None  # an invalid header
    return None


def _cells(line: str, separators: str) -> tuple[str, list[str]]:
    """Return the separator that separates the most cells of a line, and these cells."""
    rows = []
    for separator in separators:
        try:
            rows.append((separator, next(csv.reader([line], delimiter=separator))))
        except (csv.Error, StopIteration):
            rows.append((separator, []))
    return max(rows, key=lambda row: len(row[1]))


def is_header_line(line: str) -> bool:
    """Whether a line is a header, with any separator."""
    return is_header(_cells(line, _SEPARATORS)[1], least=2)


def is_header(cells: Sequence[str], least: int) -> bool:
    """Whether cells contain the name of the id and at least so many names of columns."""
    names = [cell.strip(f'{INVISIBLE} "') for cell in cells]
    has_id = any(name.partition(":")[0].lower() == "id" for name in names)
    return has_id and sum(map(_is_column, names)) >= least


def _is_column(cell: str) -> bool:
    name = cell.strip(f'{INVISIBLE} "')
    root = name.partition(":")[0].partition(".")[0]
    return in_documented_case(root, (*MEMBERS, "deviceId")) is not None or is_foreign_column(name)
