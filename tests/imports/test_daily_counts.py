"""Daily counts: each finished import counts once, despite failed sweeps and edited rows."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from azure.core.exceptions import AzureError, HttpResponseError, ServiceResponseError
from azure.data.tables import UpdateMode

from shared.imports.model.states import ImportState
from shared.imports.store.daily_counts import DailyCounts, DailyCountsStore
from shared.imports.store.rows import SCHEMA
from tests.app import App, device
from tests.records import import_record

HUB = "hub"
FAILED = ImportState.FAILED


@pytest.fixture
def statistics(app: App) -> DailyCountsStore:
    return app.importer.services.daily_counts


def end(app: App, count: int, hub: str = HUB, **members: Any) -> None:
    """Create failed imports, by default with 2 devices imported and 1 failed each."""
    store = app.importer.services.store
    now = app.clock()
    for number in range(count):
        record = import_record(
            *(hub, f"{number}-{now.timestamp()}", "0x1", now),
            state=FAILED,
            **{"imported": 2, "failed": 1, "invalid_lines": 3, **members},
        )
        store.create(record)


def total(statistics: DailyCountsStore, day: date) -> DailyCounts:
    return sum(
        (counts for counts in statistics.since(HUB, day) if counts.date == day),
        start=DailyCounts(day),
    )


def wanted(day: date, count: int) -> DailyCounts:
    return DailyCounts(day, Counter({FAILED: count}), 2 * count, count, 3 * count)


def rows(app: App) -> list[str]:
    found = app.table.query_entities("RowKey ge 'day-' and RowKey lt 'day.'")
    return [row["RowKey"] for row in found]


def edit(app: App, key: str, mode: UpdateMode = UpdateMode.MERGE, **columns: Any) -> None:
    app.table.update_entity({"PartitionKey": HUB, "RowKey": key, **columns}, mode=mode)


def test_finished_imports_are_counted_before_and_after_the_sweep(
    app: App, statistics: DailyCountsStore
) -> None:
    today = app.clock().date()
    end(app, 5)
    assert len(rows(app)) == 5
    assert total(statistics, today) == wanted(today, 5)
    statistics.count_ends(HUB, today, 50)
    assert rows(app) == [f"day-{today:%Y%m%d}"]
    assert total(statistics, today) == wanted(today, 5)
    end(app, 2)
    statistics.count_ends(HUB, today, 50)
    assert total(statistics, today) == wanted(today, 7)


def test_more_finished_imports_than_a_transaction_can_contain(
    app: App, statistics: DailyCountsStore
) -> None:
    today = app.clock().date()
    end(app, 120)
    statistics.count_ends(HUB, today, 1)
    assert len(rows(app)) == 1 + 21
    assert total(statistics, today) == wanted(today, 120)
    statistics.count_ends(HUB, today, 1)
    assert len(rows(app)) == 1
    assert total(statistics, today) == wanted(today, 120)


def test_several_days(app: App, statistics: DailyCountsStore) -> None:
    today = app.clock().date()
    for days in (0, 1, 3):
        app.clock.ahead_hours(24 * days)
        end(app, 2)
    last = today + timedelta(days=3)
    statistics.count_ends(HUB, last, 50)
    assert len(rows(app)) == 3
    for days, count in enumerate((2, 2, 0, 2)):
        day = today + timedelta(days=days)
        assert total(statistics, day) == wanted(day, count)


def test_only_one_of_two_concurrent_sweeps_counts(app: App, statistics: DailyCountsStore) -> None:
    today = app.clock().date()
    end(app, 3)

    def overtake(request: str) -> None:
        if request.endswith("$batch"):
            app.before_request = lambda _: None
            statistics.count_ends(HUB, today, 50)

    app.before_request = overtake
    with pytest.raises(HttpResponseError):
        statistics.count_ends(HUB, today, 50)
    statistics.count_ends(HUB, today, 50)
    assert total(statistics, today) == wanted(today, 3)


def test_lost_response_does_not_count_twice(app: App, statistics: DailyCountsStore) -> None:
    today = app.clock().date()
    end(app, 3)

    def lose(request: str) -> None:
        if request.endswith("$batch"):
            app.after_request = lambda _: None
            raise ServiceResponseError("the answer was lost")

    app.after_request = lose
    with pytest.raises(AzureError):
        statistics.count_ends(HUB, today, 50)
    statistics.count_ends(HUB, today, 50)
    assert total(statistics, today) == wanted(today, 3)


@pytest.mark.parametrize(
    "columns", [{"devicesImported": "many"}, {"failed": -1}, {"importsUnknown": 1.5}], ids=str
)
def test_edited_day_is_counted_from_its_records(
    app: App, statistics: DailyCountsStore, columns: dict[str, Any]
) -> None:
    today = app.clock().date()
    end(app, 3)
    statistics.count_ends(HUB, today, 50)
    edit(app, f"day-{today:%Y%m%d}", **columns)
    end(app, 2)
    statistics.count_ends(HUB, today, 50)
    assert len(rows(app)) == 1
    assert total(statistics, today) == wanted(today, 5)


def test_day_without_a_column_is_counted_from_its_records(
    app: App, statistics: DailyCountsStore
) -> None:
    today = app.clock().date()
    end(app, 3)
    statistics.count_ends(HUB, today, 50)
    edit(app, f"day-{today:%Y%m%d}", mode=UpdateMode.REPLACE, failed=7)
    statistics.count_ends(HUB, today, 50)
    assert total(statistics, today) == wanted(today, 3)


def test_edited_end_row_is_counted_from_its_record(app: App, statistics: DailyCountsStore) -> None:
    today = app.clock().date()
    end(app, 3)
    edit(app, rows(app)[1], devicesImported="many")
    statistics.count_ends(HUB, today, 50)
    assert len(rows(app)) == 1
    assert total(statistics, today) == wanted(today, 3)


def test_deleted_day_is_not_restored_partially(app: App, statistics: DailyCountsStore) -> None:
    today = app.clock().date()
    end(app, 3)
    statistics.count_ends(HUB, today, 50)
    app.table.delete_entity(HUB, f"day-{today:%Y%m%d}")
    end(app, 2)
    statistics.count_ends(HUB, today, 50)
    assert total(statistics, today) == wanted(today, 2)


@pytest.mark.parametrize("key", ["day-", "day-x", "day-20269999", "day-2026-x"])
def test_rows_with_invalid_days_are_ignored(
    app: App, statistics: DailyCountsStore, key: str
) -> None:
    today = app.clock().date()
    end(app, 1)
    app.table.upsert_entity({"PartitionKey": HUB, "RowKey": key})
    statistics.count_ends(HUB, today, 50)
    assert total(statistics, today) == wanted(today, 1)
    assert key in rows(app)


def test_rows_of_a_newer_version_are_kept(app: App, statistics: DailyCountsStore) -> None:
    """Other rows of the day are kept too: the newer version counts them, readers add them up."""
    today = app.clock().date()
    end(app, 2)
    [first, second] = rows(app)
    edit(app, first, schema=SCHEMA + 1)
    tomorrow = today + timedelta(days=1)
    app.clock.ahead += timedelta(days=1)
    end(app, 2)
    statistics.count_ends(HUB, tomorrow, 50)
    assert rows(app) == [first, second, f"day-{tomorrow:%Y%m%d}"]
    assert total(statistics, today) == wanted(today, 2)
    assert total(statistics, tomorrow) == wanted(tomorrow, 2)


@pytest.mark.parametrize("edited", ["the day", "an end"])
def test_day_of_a_newer_version_is_not_recounted(
    app: App, statistics: DailyCountsStore, edited: str
) -> None:
    today = app.clock().date()
    day = f"day-{today:%Y%m%d}"
    end(app, 2)
    statistics.count_ends(HUB, today, 50)
    end(app, 1)
    edit(app, day, schema=SCHEMA + 1)
    edit(app, day if edited == "the day" else rows(app)[1], devicesImported="many")
    before = list(app.table.query_entities("RowKey ge 'day-' and RowKey lt 'day.'"))
    statistics.count_ends(HUB, today, 50)
    assert list(app.table.query_entities("RowKey ge 'day-' and RowKey lt 'day.'")) == before


def test_unknown_counts_are_counted(app: App, statistics: DailyCountsStore) -> None:
    today = app.clock().date()
    end(app, 2, imported=None, failed=None)
    statistics.count_ends(HUB, today, 50)
    counted = total(statistics, today)
    assert (counted.unknown, counted.imported, counted.failed) == (2, 0, 0)


def test_finished_import_is_counted_without_a_row_for_its_day(app: App) -> None:
    """An import becomes final even if the row of the day was edited."""
    today = app.clock().date()
    hub = app.hub.address
    app.upload("first.ndjson", device("pump-1"))
    app.deliver("first.ndjson")
    app.table.upsert_entity(
        {"PartitionKey": hub, "RowKey": f"day-{today:%Y%m%d}", "completed": "x"}
    )
    app.finish()
    assert app.record("first.ndjson").state == "completed"
    app.sweep()
    [day] = app.importer.reader.days(1)
    assert day.imports == Counter({ImportState.COMPLETED: 1})
