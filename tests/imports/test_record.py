from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imports.record import TRANSITIONS, ImportRecord, ImportState

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def record(file: str = "a", etag: str = "0x1", at: datetime = NOW) -> ImportRecord:
    return ImportRecord.of_upload(
        "hub", "uploads", file, etag, at, created_at=at, updated_at=at, attempts=1
    )


def test_every_state_can_end() -> None:
    assert set(TRANSITIONS) == set(ImportState)
    for state in ImportState:
        reachable, new = {state}, {state}
        while new := {after for one in new for after in TRANSITIONS[one]} - reachable:
            reachable |= new
        assert any(one.is_final for one in reachable), state


def test_final_states() -> None:
    assert {state.value for state in ImportState if state.is_final} == {
        "rejected",
        "superseded",
        "completed",
        "completedWithErrors",
        "failed",
        "cancelled",
    }


def test_an_upload_has_one_id() -> None:
    assert record().id == record().id
    assert len({record().id, record(file="b").id, record(etag="0x2").id}) == 3


@given(TIMES, TIMES)
def test_rows_sort_newest_first_and_markers_oldest_first(one: datetime, other: datetime) -> None:
    if other - one < timedelta(milliseconds=1):
        return
    older, newer = record(at=one), record(at=other)
    assert newer.row_key < older.row_key
    assert older.marker_key() < newer.marker_key()


@given(st.text(min_size=1, max_size=300), st.text())
def test_keys_fit_table_storage(file: str, etag: str) -> None:
    """Forbidden are / \\ # ? and control characters, and more than 512 of any."""
    for key in (record(file, etag).row_key, record(file, etag).marker_key()):
        assert len(key) < 100
        assert all(character.isalnum() or character == "-" for character in key)


def test_a_row_gives_back_the_record() -> None:
    full = record().model_copy(
        update={
            "history": ((ImportState.VALIDATING, NOW), (ImportState.QUEUED, NOW)),
            "validation": {"lines": 3},
            "lines": 3,
            "progress": 0,
            "lease_until": NOW,
        }
    )
    assert ImportRecord.model_validate(full.to_entity()) == full


@pytest.mark.parametrize("column", ["stamp", "jobId", "failureReason", "finishedAt", "validation"])
def test_what_is_empty_takes_no_column(column: str) -> None:
    assert column not in record().to_entity()
