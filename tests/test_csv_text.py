"""Cells of CSV files are safe in spreadsheets, and keep what they stand for."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from shared.csv_text import csv_rows

CELLS = st.text(
    st.sampled_from("'=+-@\t\r\n\",;a ") | st.characters(exclude_categories=["Cs"]), max_size=6
)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=3), max_size=4))
def test_values_are_restored_by_removing_an_apostrophe(rows: list[list[str]]) -> None:
    read = [*csv.reader(io.StringIO(csv_rows(rows), newline=""))]
    assert [[cell.removeprefix("'") for cell in row] for row in read] == rows
    assert not [cell for row in read for cell in row if cell.startswith(tuple("=+-@\t\r\n"))]
