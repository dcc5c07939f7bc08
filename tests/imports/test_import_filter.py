"""Patterns of names, and the order of lists."""

from __future__ import annotations

import fnmatch
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState, StateGroup, states_of
from shared.imports.operate.import_filter import SortColumn, matches, sort_imports
from tests.records import import_record

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = st.text("aAb*./", max_size=8)


@given(NAMES, NAMES.map(lambda text: text.replace("*", "")))
@example("a*a", "a")
@example("a**b", "ab")
def test_patterns(pattern: str, name: str) -> None:
    """As the patterns of shells; without `*`, a part of the name."""
    expected = re.match(fnmatch.translate(pattern.lower()), name.lower()) is not None
    if "*" not in pattern:
        expected = pattern.lower() in name.lower()
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("STRASSE", "Straße.csv"), ("east/*.csv", "East/2026/pumps.CSV"), ("[a]?", "x[a]?x")],
)
def test_letter_case_and_folders(pattern: str, name: str) -> None:
    assert matches(pattern, name)


def test_a_long_pattern_takes_no_time() -> None:
    assert not matches("a*" * 500 + "b", "a" * 1024)


def records(counts: list[int | None]) -> list[ImportRecord]:
    return [
        import_record(
            *("hub", f"{index}.ndjson", "etag", START),
            devices=count,
            failed=count,
            finished_at=None if count is None else START + timedelta(seconds=count),
        )
        for index, count in enumerate(counts)
    ]


@given(
    st.lists(st.none() | st.integers(0, 3)),
    st.booleans(),
    st.sampled_from([SortColumn.DEVICES, SortColumn.FAILED, SortColumn.DURATION]),
)
def test_order(counts: list[int | None], descending: bool, column: SortColumn) -> None:
    """What is not known is last in both orders, and equal ones stay in their order."""
    given_order = records(counts)
    found = [
        int(r.file.split(".")[0]) for r in sort_imports(given_order, column, descending=descending)
    ]
    sign = -1 if descending else 1
    assert found == sorted(
        range(len(counts)),
        key=lambda index: (counts[index] is None, sign * (counts[index] or 0), index),
    )


def test_groups_of_states() -> None:
    every = frozenset(ImportState)
    assert states_of(StateGroup) < every
    assert states_of([StateGroup.OPEN]) == {state for state in every if not state.is_final}
    assert states_of([StateGroup.WAITING, ImportState.HELD]) < states_of([StateGroup.OPEN])
    assert ImportState.HELD in StateGroup.ATTENTION.states
    assert states_of([]) == frozenset()
