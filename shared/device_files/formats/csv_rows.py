"""Rows of a CSV file that are no devices, and quoted cells that swallowed some that are."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from shared.device_files.characters import INVISIBLE, describe_character
from shared.device_files.formats.csv_columns import Column
from shared.device_files.formats.csv_layout import Layout, is_comment_row, is_header, is_type_line
from shared.device_files.formats.reader import Sink, UnusableFileError
from shared.device_files.lines.damage import damage_of_id
from shared.device_files.lines.values import MAX_ID
from shared.device_files.rules import Finding, Rule

__all__ = ["BLANKS", "Rows", "names_of"]

#: What may stand around the names of a header and in rows that are blank.
BLANKS = f"{INVISIBLE} \t"
#: What a row that is no device may begin with; most rows are told from it by one character.
_STARTS = frozenset(f"#/{BLANKS}")
#: What a row has in its column status, beside nothing.
_AROUND = ' "'
_STATUS = ("", "enabled", "disabled")
_ID = re.compile(rf"[\w.+%#*?!():=@$'-]{{1,{MAX_ID}}}", re.ASCII)
#: A line within a quoted cell, up to where the cell ends.
_TO_QUOTE = re.compile(r'\A((?:[^"]++|"")*+).*', re.DOTALL)
#: Lines within a cell that a message names.
_MAX_NAMED = 10


def names_of(cells: Sequence[str]) -> list[str]:
    """The names of a header, without the empty ones at its end."""
    names = [cell.strip(BLANKS) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


class Rows:
    """Judges the rows below one header."""

    def __init__(
        self, header: Sequence[str], columns: Sequence[Column | None], layout: Layout, sink: Sink
    ) -> None:
        paths = [column.path if column else "" for column in columns]
        self._count = len(paths)
        self._separator = layout.separator
        self._sink = sink
        self._header = [name.lower() for name in names_of(header)]
        self._id = paths.index("id") if "id" in paths else -1
        self._status = paths.index("status") if "status" in paths else -1
        #: First cells of rows that may be no devices, as far as they are known.
        self._first = frozenset(header)

    def is_aside(self, number: int, cells: Sequence[str]) -> bool:
        """Whether a row is no device; reports why.

        Raises:
            UnusableFileError: it cannot be told which of the next rows are devices.
        """
        first = cells[0]
        # Asked of every row, so the common case is decided first.
        if first and first[0] not in _STARTS and first not in self._first:
            return False
        first = first.strip(BLANKS)
        if not any(cell.strip(BLANKS) for cell in cells):
            invisible = next((c for cell in cells for c in cell if c not in " \t"), "")
            if invisible:
                detail = describe_character(invisible)
                self._sink.note(number, Finding("", Rule.LINE_INVISIBLE, detail))
            return True
        if is_comment_row(cells, self._id == 0, self._count):
            if is_type_line(first) and not any(cells[1:]):
                self._sink.note(number, Finding("", Rule.CSV_TYPE_LINE))
                return True
            if first.startswith("/*") and not any("*/" in cell for cell in cells):
                detail = "rows within /* */ are no rows"
                raise UnusableFileError(Rule.CSV_COMMENT, detail, number)
            self._sink.note(number, Finding("", Rule.CSV_COMMENT))
            return True
        if first.startswith("#") and self._id == 0 and not damage_of_id(first):
            self._sink.note(number, Finding("id", Rule.CSV_COMMENTED_OUT))
            return False
        names = names_of(cells)
        if [name.lower() for name in names] == self._header:
            self._sink.note(number, Finding("", Rule.CSV_HEADER_AGAIN))
            return True
        if is_header(names, least=2):
            detail = "a second header, with other columns; upload its rows as a file of their own"
            raise UnusableFileError(Rule.CSV_HEADER, detail, number)
        return False

    def swallowed(self, number: int, row: Sequence[str]) -> None:
        """Report the lines of a row that look like rows of their own.

        Args:
            number: the line that the row begins on.
            row: its lines.
        """
        lines = [index for index, line in enumerate(row[1:], 1) if self._is_row(line)]
        if not lines:
            return
        names = ", ".join(f"{number + index:,}" for index in lines[:_MAX_NAMED])
        more = f" and {len(lines) - _MAX_NAMED:,} more" if len(lines) > _MAX_NAMED else ""
        what = "lines" if len(lines) > 1 else "line"
        detail = f"{what} {names}{more}, within a cell of the row on line {number:,}"
        self._sink.note(number, Finding("", Rule.CSV_SWALLOWED_LINE, detail))

    def _is_row(self, line: str) -> bool:
        try:
            text = _TO_QUOTE.sub(r"\1", line.replace("\r", "")).strip("\n")
            cells = next(csv.reader([text], delimiter=self._separator), [])
        except csv.Error:  # such as a cell that is too long
            return False
        cells = [cell.strip(_AROUND) for cell in cells]
        if len(cells) <= self._id or not _ID.fullmatch(cells[self._id]):
            return False
        status = cells[self._status].lower() if 0 <= self._status < len(cells) else ""
        # A row may be shorter than the header, and then its status tells.
        return status in _STATUS if len(cells) >= self._count > 1 else status in _STATUS[1:]
