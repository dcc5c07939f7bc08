"""Queries over tables with many rows of several hubs."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.errors import FilterError, ImportNotFoundError
from shared.imports.model.record import NO_HUB, ImportRecord
from shared.imports.model.safeguards import Act, ActName
from shared.imports.model.states import ImportState
from shared.imports.operate import import_search
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.operate.reader import Reader
from shared.imports.store import queries
from shared.imports.store.claims import Claim
from shared.imports.store.daily_counts import DailyCounts
from tests.app import App
from tests.records import import_record

HUBS = ("east", "west", NO_HUB)
START = datetime(2026, 1, 1, tzinfo=UTC)
STATES = list(ImportState)
FINAL = [state for state in STATES if state.is_final]
SECOND, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)


@pytest.fixture
def reader(app: App) -> Reader:
    # Never called.
    hubs = {folder: f"{folder}.azure-devices.net" for folder in ("east", "west")}
    app.configure(IOTHUB=json.dumps(hubs))
    return app.importer.reader


def add(
    app: App,
    hub: str,
    uploaded_at: datetime,
    state: ImportState = ImportState.COMPLETED,
    who: str = "",
) -> ImportRecord:
    """The row of a final import."""
    file = f"{random.random()}.ndjson"
    act = Act(ActName.RETRY, uploaded_at, who, "", "API")
    record = import_record(
        *(hub, file, "etag", uploaded_at),
        state=state,
        acts=(act,) if who else (),
        imported=2,
        failed=1,
        lines=4,
        invalid_lines=1,
    )
    services = app.importer.services
    services.claims.make(Claim(record.id, hub, record.row_key, file))
    return services.store.create(record)[0]


def add_random_imports(app: App, count: int, seed: int) -> list[ImportRecord]:
    """Random imports in list order; some were uploaded within the same second."""
    dice = random.Random(seed)
    records = []
    for _ in range(count):
        hub = dice.choice(HUBS)
        # Uploads for no hub are rejected immediately.
        state = dice.choice(FINAL if hub == NO_HUB else STATES)
        who = dice.choice(("", "Anna", "Ben"))
        records.append(add(app, hub, START + SECOND * dice.randrange(count // 2), state, who))
    return sorted(records, key=lambda record: record.row_key)


def pages(
    reader: Reader, filter_: ImportFilter, limit: int
) -> Iterator[tuple[list[ImportRecord], str]]:
    continuation = ""
    while True:
        page = reader.page(filter_, limit, continuation)
        yield list(page.imports), page.continuation
        continuation = page.continuation
        if not continuation:
            return


def ids(records: list[ImportRecord]) -> list[str]:
    return [record.id for record in records]


def test_table_does_not_exist_yet(reader: Reader) -> None:
    assert reader.page(ImportFilter(), 10).imports == []
    assert [(queue.hub, queue.length, queue.head) for queue in reader.queues()] == [
        ("east", 0, None),
        ("west", 0, None),
    ]
    assert [day.imports for day in reader.days(2)] == [Counter(), Counter()]
    with pytest.raises(ImportNotFoundError):
        reader.get("0" * 24)


@pytest.mark.parametrize("read", [import_search.MAX_READ, 7])
def test_pages_with_each_filter(
    app: App, reader: Reader, monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    """All pages together equal the result of a linear search, wherever a search ends."""
    monkeypatch.setattr(import_search, "MAX_READ", read)
    records = add_random_imports(app, 120, seed=1)
    dice = random.Random(2)
    times = sorted({record.uploaded_at for record in records})
    for _ in range(40):
        filter_ = ImportFilter(
            frozenset(dice.sample(HUBS, dice.randrange(4))),
            frozenset(dice.sample(STATES, dice.choice((0, 1, 3, 10)))),
            dice.choice((None, dice.choice(times), dice.choice(times) + MILLISECOND)),
            dice.choice((None, dice.choice(times), dice.choice(times) - MILLISECOND)),
            dice.choice(("", "", "7", "0.1*")),
            dice.choice(("", "", "anna", "*N")),
        )
        expected = [
            record.id
            for record in records
            if (not filter_.hubs or record.hub in filter_.hubs)
            and (not filter_.states or record.state in filter_.states)
            and (filter_.uploaded_after is None or record.uploaded_at >= filter_.uploaded_after)
            and (filter_.uploaded_before is None or record.uploaded_at < filter_.uploaded_before)
            and (filter_.file != "7" or "7" in record.file)
            and (filter_.file != "0.1*" or record.file.startswith("0.1"))
            and (filter_.who != "anna" or [act.who for act in record.acts] == ["Anna"])
            and (filter_.who != "*N" or [act.who for act in record.acts] == ["Ben"])
        ]
        limit = dice.choice((1, 7, 50, 1000)) if len(expected) < 30 else dice.choice((11, 50, 1000))
        results = list(pages(reader, filter_, limit))
        assert [import_id for page, _ in results for import_id in ids(page)] == expected
        if read > len(records):
            assert all(len(page) == limit for page, _ in results[:-1])


def test_a_search_ends_early_and_says_so(
    app: App, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is missed: what was searched is behind the time, and the next page goes on there."""
    monkeypatch.setattr(import_search, "MAX_READ", 20)
    records = add_random_imports(app, 90, seed=8)
    rare = records[70]
    wanted = ImportFilter(file=rare.file)
    continuation, back_to = "", START + timedelta(days=1)
    found: list[ImportRecord] = []
    searches = 0
    while True:
        searches += 1
        with app.counting() as requests:
            page = reader.page(wanted, 5, continuation)
        # One of each hub, then of the one behind; and the records that fit.
        assert len(requests) <= len(HUBS) + 2 + len(page.imports)
        found += page.imports
        continuation = page.continuation
        if page.searched_back_to is None:
            break
        assert page.searched_back_to <= back_to
        back_to = page.searched_back_to
        assert (rare in found) or rare.uploaded_at <= back_to
    assert found == [rare]
    assert 3 <= searches <= 10
    assert continuation == ""


def test_a_search_ends_after_some_seconds(
    app: App, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        add(app, "east", START + SECOND * number, FINAL[0])
    monkeypatch.setattr(import_search, "MAX_PAGE", 2)
    wanted = ImportFilter(frozenset({"east"}), file="nothing")
    assert reader.page(wanted, 1).searched_back_to is None
    monkeypatch.setattr(import_search, "MAX_SECONDS", 0)
    assert reader.page(wanted, 1).searched_back_to == START + 4 * SECOND


def test_a_request_that_found_nothing_tells_how_far_it_came() -> None:
    """By its token, in the forms of Azure Storage and of Azurite; others are not understood."""
    row_key = f"import-{7:010}-{'ab':0>24}"
    encoded = base64.b64encode(row_key.encode()).decode()
    before = f"import-{7:010}-{'aa':0>24}"
    for token in (f"1!{len(encoded)}!{encoded.replace('=', '-')}", encoded):
        assert queries._position([], {"RowKey": token}) == before
    for other in ("1!4!YWJj", "1!4!***", "hash", "", None):
        assert queries._position([], {"RowKey": other}) is None


def test_last_page_has_no_continuation_token(app: App, reader: Reader) -> None:
    add_random_imports(app, 6, seed=3)
    assert reader.page(ImportFilter(), 6).continuation == ""
    assert reader.page(ImportFilter(), 5).continuation != ""
    [(first, _), (second, _)] = pages(reader, ImportFilter(), 5)
    assert (len(first), len(second)) == (5, 1)


def test_paging_during_concurrent_changes(app: App, reader: Reader) -> None:
    """New uploads sort before the first page; only pruned records are missing."""
    records = add_random_imports(app, 30, seed=4)
    seen: list[str] = []
    deleted: set[str] = set()
    for number, (page, continuation) in enumerate(pages(reader, ImportFilter(), 4)):
        seen += ids(page)
        for hub in HUBS:
            add(app, hub, START + timedelta(days=1, seconds=number))
        if continuation:
            # The first import of the next page, and a later one.
            table = app.importer.services.storage.table(app.settings["IMPORTS_TABLE"])
            remaining = [record for record in records if record.id not in seen]
            for pruned in (page[-1], remaining[-1]):
                if pruned.id not in deleted:
                    table.delete_entity(pruned.hub, pruned.row_key)
                    deleted.add(pruned.id)
    assert seen == [import_id for import_id in ids(records) if import_id in seen]
    assert set(ids(records)) - set(seen) <= deleted
    assert len(reader.page(ImportFilter(), 1000).imports) > len(records) - len(deleted)


def test_time_bounds_are_exact(app: App, reader: Reader) -> None:
    """Storage returns upload times in whole seconds; bounds may lie between them."""
    before, at, after = (add(app, "east", START + SECOND * number).id for number in (-1, 0, 1))

    def ids_between(first: datetime | None, last: datetime | None) -> set[str]:
        filter_ = ImportFilter(uploaded_after=first, uploaded_before=last)
        return set(ids(list(reader.page(filter_, 10).imports)))

    assert ids_between(START, None) == {at, after}
    assert ids_between(START + MILLISECOND, None) == {after}
    assert ids_between(START - MILLISECOND, None) == {at, after}
    assert ids_between(None, START) == {before}
    assert ids_between(None, START + MILLISECOND) == {before, at}
    assert ids_between(None, START - MILLISECOND) == {before}
    assert ids_between(START, START + MILLISECOND) == {at}
    assert ids_between(START, START) == set()
    assert ids_between(START + SECOND, START - SECOND) == set()
    # The same time in another time zone.
    other_zone = START.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    assert ids_between(other_zone, other_zone + MILLISECOND) == {at}


def test_extreme_times(app: App, reader: Reader) -> None:
    add_random_imports(app, 5, seed=5)
    east, west = (timezone(timedelta(hours=hours, minutes=59 * (hours > 0))) for hours in (23, -23))
    for first in (datetime.min, datetime(1969, 12, 31), datetime(1970, 1, 1)):
        for zone in (UTC, east, west):
            time = first.replace(tzinfo=zone)
            assert len(reader.page(ImportFilter(uploaded_after=time), 10).imports) == 5
            assert reader.page(ImportFilter(uploaded_before=time), 10).imports == []
    for last in (datetime.max, datetime(2286, 11, 21), datetime(2300, 1, 1)):
        for zone in (UTC, east, west):
            time = last.replace(tzinfo=zone)
            assert len(reader.page(ImportFilter(uploaded_before=time), 10).imports) == 5
            assert reader.page(ImportFilter(uploaded_after=time), 10).imports == []


@pytest.mark.parametrize("token", ["x", "aW1wb3J0", "é" * 60, "A" * 60, "=" * 60, "a" * 61])
def test_invalid_continuation_token(reader: Reader, token: str) -> None:
    with pytest.raises(FilterError) as caught:
        reader.page(ImportFilter(), 10, token)
    assert caught.value.parameter == "continuation"


def test_unknown_hub(reader: Reader) -> None:
    with pytest.raises(FilterError, match="There is no hub 'south'"):
        reader.page(ImportFilter(frozenset({"east", "south"})), 10)


def test_import_is_found_at_any_hub(app: App, reader: Reader) -> None:
    for record in add_random_imports(app, 9, seed=6):
        assert reader.get(record.id) == record
        assert reader.detail(record.id).hub == record.hub


def test_days_are_summed_over_hubs_and_missing_days_are_filled(app: App, reader: Reader) -> None:
    today = app.clock().date()
    for hours, hub, state in (
        (0, "east", ImportState.COMPLETED),
        (0, "west", ImportState.COMPLETED),
        (0, NO_HUB, ImportState.REJECTED),
        (72, "west", ImportState.FAILED),
        (72, "west", ImportState.FAILED),
        (96, "east", ImportState.CANCELLED),
        # Not final, so not counted.
        (96, "east", ImportState.QUEUED),
    ):
        app.clock.ahead_hours(hours)
        add(app, hub, START, state)
    expected = [
        DailyCounts(today, Counter({ImportState.COMPLETED: 2, ImportState.REJECTED: 1}), 6, 3, 3),
        DailyCounts(today + timedelta(days=1)),
        DailyCounts(today + timedelta(days=2)),
        DailyCounts(today + timedelta(days=3), Counter({ImportState.FAILED: 2}), 4, 2, 2),
        DailyCounts(today + timedelta(days=4), Counter({ImportState.CANCELLED: 1}), 2, 1, 1),
    ]
    assert list(reader.days(5)) == expected
    assert list(reader.days(2)) == expected[-2:]
    assert list(reader.days(1)) == expected[-1:]
    assert list(reader.days(7))[2:] == expected
    # A row of a future day (from a clock that was ahead) is outside the requested days.
    app.clock.ahead_hours(72)
    assert list(reader.days(4)) == expected[:-1]


def test_queues_skip_rows_of_final_or_deleted_imports(app: App, reader: Reader) -> None:
    table = app.importer.services.storage.table(app.settings["IMPORTS_TABLE"])
    first, second, third = (
        add(app, "east", START + timedelta(seconds=number), ImportState.QUEUED)
        for number in range(3)
    )

    def queue() -> tuple[int, str]:
        east, west = reader.queues()
        assert (west.length, west.head) == (0, None)
        return east.length, east.head.id if east.head else ""

    assert queue() == (3, first.id)
    table.delete_entity("east", first.row_key)
    assert queue() == (3, second.id)
    queue_row = table.get_entity("east", second.queue_key)
    app.importer.services.store.end(second, ImportState.CANCELLED)
    table.upsert_entity(queue_row)
    assert queue() == (3, third.id)
    app.importer.services.store.end(third, ImportState.CANCELLED)
    assert queue() == (2, "")


def test_request_count_does_not_grow_with_the_history(app: App, reader: Reader) -> None:
    def cost() -> Counter[str]:
        with app.counting() as requests:
            page = reader.page(ImportFilter(), 2)
            reader.page(ImportFilter(), 2, page.continuation)
            reader.queues()
            reader.days(30)
            reader.get(page.imports[0].id)
        return Counter(requests)

    for number in range(5):
        add(app, HUBS[number % 3], START + timedelta(seconds=number))
    add(app, "east", START, ImportState.QUEUED)
    # The list of hubs is read once a minute.
    reader.queues()
    few = cost()
    for number in range(5, 150):
        add(app, HUBS[number % 3], START + timedelta(seconds=number), FINAL[number % len(FINAL)])
    many = cost()
    assert many.total() == few.total()
    assert many.total() <= 24
