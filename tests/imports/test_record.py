from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.data.tables import TableEntity
from hypothesis import given
from hypothesis import strategies as st

from shared.imports.model.keys import first_record_key, record_key_of, uploaded_at_of
from shared.imports.model.parts import HubJob, Lease
from shared.imports.model.record import ImportRecord, upload_id
from shared.imports.model.states import ImportState
from shared.imports.store.rows import to_record, to_row
from tests.records import import_record

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def record(file: str = "a", etag: str = "0x1", at: datetime = NOW) -> ImportRecord:
    return import_record("hub", file, etag, at, validation_attempts=1)


def test_every_state_can_reach_a_final_state() -> None:
    for state in ImportState:
        reachable, new = {state}, {state}
        while (
            new := {after for state in new for after in ImportState if state.may_become(after)}
            - reachable
        ):
            reachable |= new
        assert any(state.is_final for state in reachable), state


def test_final_states() -> None:
    assert {state.value for state in ImportState if state.is_final} == {
        "rejected",
        "superseded",
        "completed",
        "completedWithErrors",
        "failed",
        "cancelled",
    }


def test_import_id_is_deterministic() -> None:
    assert record().id == record().id
    assert len({record().id, record(file="b").id, record(etag="0x2").id}) == 3


@pytest.mark.parametrize("index", range(4))
def test_import_id_depends_on_table_container_name_and_etag(index: int) -> None:
    identity = ["Imports", "uploads", "a.ndjson", "0x1"]
    changed = [*identity[:index], identity[index] + "2", *identity[index + 1 :]]
    assert upload_id(*identity) == upload_id(*identity) != upload_id(*changed)


def test_record_keys_are_derived_from_upload_time_and_id() -> None:
    made = record()
    assert record_key_of(made.new_queue_key) == made.row_key
    assert uploaded_at_of(made.row_key) == NOW


@pytest.mark.parametrize("key", ["", "queue-", "import-1-2", "queue-1-2-3", "import-٣-x"])
def test_invalid_keys(key: str) -> None:
    for read in (record_key_of, uploaded_at_of):
        with pytest.raises(ValueError, match="is not the RowKey"):
            read(key)


FULL = {"state": ImportState.COMPLETED, "lines": 3, "invalid_lines": 0, "devices": 3}


@pytest.mark.parametrize(
    ("changes", "is_full"),
    [
        ({}, True),
        ({"imported": 2, "failed": 1}, False),
        ({"imported": None}, False),
        ({"failed": None}, False),
        ({"lines": 4}, False),
        ({"invalid_lines": 1}, False),
        ({"invalid_lines": None}, False),
        ({"devices": None, "imported": None, "lines": None}, False),
        ({"state": ImportState.COMPLETED_WITH_ERRORS}, False),
    ],
)
def test_upload_fully_imported_only_if_all_counts_agree(
    changes: dict[str, Any], is_full: bool
) -> None:
    members: dict[str, Any] = {**FULL, "imported": 3, "failed": 0, **changes}
    assert replace(record(), **members).is_fully_imported is is_full


@given(TIMES, st.timedeltas(timedelta(), timedelta(seconds=2)))
def test_bounds_between_two_seconds(uploaded: datetime, before: timedelta) -> None:
    """Uploads at or after the time sort before its key, earlier uploads after it."""
    moment = uploaded.replace(microsecond=0) - timedelta(seconds=1) + before
    key = record(at=uploaded.replace(microsecond=0)).row_key
    is_from_then_on = uploaded.replace(microsecond=0) >= moment
    assert (key < first_record_key(moment) + ".") is is_from_then_on


@given(TIMES, TIMES)
def test_records_sort_newest_first_and_queue_rows_oldest_first(
    first: datetime, second: datetime
) -> None:
    older, newer = (record(at=time.replace(microsecond=0)) for time in (first, second))
    if older.uploaded_at >= newer.uploaded_at:
        return
    assert newer.row_key < older.row_key
    assert older.new_queue_key < newer.new_queue_key


@given(st.text(min_size=1, max_size=300), st.text())
def test_keys_fit_table_storage(file: str, etag: str) -> None:
    """Keys must not contain / \\ # ? or control characters, or exceed 512 characters."""
    for key in (record(file, etag).row_key, record(file, etag).new_queue_key):
        assert len(key) < 100
        assert all(character.isalnum() or character == "-" for character in key)


def row(record: ImportRecord) -> TableEntity:
    """The row as the SDK returns it."""
    entity = TableEntity(to_row(record))
    entity._metadata = {"etag": record.etag, "timestamp": None}
    return entity


def test_record_is_restored_from_its_row() -> None:
    full = replace(
        record(),
        history=((ImportState.VALIDATING, NOW),),
        validation={"lines": 3},
        lines=3,
        job=HubJob(progress=0),
        lease=Lease(owner="one", until=NOW),
    )
    assert to_record(row(full)) == full


@pytest.mark.parametrize("group", [Lease, HubJob])
def test_record_rejects_times_without_a_time_zone(group: Any) -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(record(), finished_at=datetime(2026, 1, 1))
    name = "until" if group is Lease else "end_time_utc"
    with pytest.raises(ValueError, match="time zone"):
        group(**{name: datetime(2026, 1, 1)})


@pytest.mark.parametrize(
    "column", ["writeId", "jobId", "failureReason", "finishedAt", "validation", "cancelReason"]
)
def test_empty_values_are_not_stored(column: str) -> None:
    assert column not in to_row(record())
