"""CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

__all__ = ["csv_row", "csv_rows"]

#: What makes a spreadsheet read a cell as a formula, or breaks out of the cell; and the apostrophe
#: that is written before those, so that removing the first one of a cell restores any value.
_ESCAPED_STARTS = frozenset("=+-@\t\r\n'")


def csv_row(values: Iterable[object]) -> str:
    """A row with CRLF; None is an empty cell."""
    return csv_rows([values])


def csv_rows(rows: Iterable[Iterable[object]]) -> str:
    """Rows, each with CRLF; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """A cell that no spreadsheet reads as a formula, since ids may begin like one."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in _ESCAPED_STARTS else text
