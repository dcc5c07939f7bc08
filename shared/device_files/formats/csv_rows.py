"""Rows of a CSV file that are not devices, and quoted cells that contain rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from shared.device_files.characters import INVISIBLE, describe_character
from shared.device_files.formats.csv_columns import Header
from shared.device_files.formats.csv_layout import (
    Layout,
    is_comment_row,
    is_header,
    is_type_line,
)
from shared.device_files.formats.reader import Sink, UnusableFileError
from shared.device_files.lines.damage import damage_of_id
from shared.device_files.lines.values import MAX_ID
from shared.device_files.mapping.file_mapping import NO_MAPPING, FileMapping
from shared.device_files.rules import Rule

__all__ = ["BLANKS", "RowFilter", "names_of"]

#: What may surround the names of a header, and what blank rows consist of.
BLANKS = f"{INVISIBLE} \t"
#: What a row that is not a device may begin with.
_STARTS = frozenset(f"#/{BLANKS}")
#: What surrounds the value of the column status.
_AROUND = ' "'
_STATUS = ("", "enabled", "disabled")
_ID = re.compile(rf"[\w.+%#*?!():=@$'-]{{1,{MAX_ID}}}", re.ASCII)
#: A line within a quoted cell, up to where the cell ends.
_TO_QUOTE = re.compile(r'\A((?:[^"]++|"")*+).*', re.DOTALL)
#: Lines within a cell that a message names.
_MAX_NAMED = 10


def names_of(cells: Sequence[str]) -> list[str]:
    """Return the names of a header, without empty ones at its end."""
    names = [cell.strip(BLANKS) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


class RowFilter:
    """Examines the rows below one header."""

    def __init__(
        self,
        names: Sequence[str],
        header: Header,
        layout: Layout,
        sink: Sink,
        mapping: FileMapping = NO_MAPPING,
    ) -> None:
        self._count = len(header.columns)
        self._separator = layout.separator
        self._sink = sink
        self._mapping = mapping
        self._header = [name.lower() for name in names_of(names)]
        self._id = header.index_of("id")
        self._status = header.index_of("status")
        #: First cells of a repeated header.
        self._first = frozenset(names)

    def is_no_device(self, number: int, cells: Sequence[str]) -> bool:
        """Whether a row is not a device; reports why.

        Raises:
            UnusableFileError: which of the next rows are devices is unknown.
        """
        first = cells[0]
        # The common case first: this is called for every row.
        if first and first[0] not in _STARTS and first not in self._first:
            return False
        first = first.strip(BLANKS)
        if not any(cell.strip(BLANKS) for cell in cells):
            if invisible := next((c for cell in cells for c in cell if c not in " \t"), ""):
                self._sink.note(number, Rule.LINE_INVISIBLE, describe_character(invisible))
            return True
        if is_comment_row(cells, self._id == 0, self._count):
            is_type = is_type_line(first) and not any(cells[1:])
            if first.startswith("/*") and not any("*/" in cell for cell in cells):
                detail = "rows inside /* */ are not devices"
                raise UnusableFileError(Rule.CSV_COMMENT, detail, number)
            self._sink.note(number, Rule.CSV_TYPE_LINE if is_type else Rule.CSV_COMMENT)
            return True
        if first.startswith("#") and self._id == 0 and not damage_of_id(first):
            self._sink.note(number, Rule.CSV_COMMENTED_OUT, field="id")
            return False
        names = names_of(cells)
        if [name.lower() for name in names] == self._header:
            self._sink.note(number, Rule.CSV_HEADER_AGAIN)
            return True
        if is_header(names, 2, self._mapping):
            detail = "a second header with other columns; upload its rows as a separate file"
            raise UnusableFileError(Rule.CSV_HEADER, detail, number)
        return False

    def report_swallowed(self, number: int, lines: Sequence[str]) -> None:
        """Report lines within a row that look like rows of their own.

        Args:
            number: the line that the row begins on.
            lines: of the row.
        """
        inner = [index for index, line in enumerate(lines[1:], 1) if self._is_row(line)]
        if not inner:
            return
        names = ", ".join(f"{number + index:,}" for index in inner[:_MAX_NAMED])
        more = f" and {len(inner) - _MAX_NAMED:,} more" if len(inner) > _MAX_NAMED else ""
        noun = "lines" if len(inner) > 1 else "line"
        detail = f"{noun} {names}{more}, within a cell of the row on line {number:,}"
        self._sink.note(number, Rule.CSV_SWALLOWED_LINE, detail)

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
        # A row may be shorter than the header if it has a status.
        return status in _STATUS if len(cells) >= self._count > 1 else status in _STATUS[1:]
