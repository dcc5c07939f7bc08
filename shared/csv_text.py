"""CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

__all__ = ["csv_row"]

#: What makes a spreadsheet read a cell as a formula, or breaks out of the cell.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_row(values: Iterable[object]) -> str:
    """A row with CRLF; None is an empty cell."""
    row = io.StringIO()
    csv.writer(row).writerow(map(_cell, values))
    return row.getvalue()


def _cell(value: object) -> str:
    """A cell that no spreadsheet reads as a formula, since ids may begin like one."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
