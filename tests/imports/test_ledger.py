"""The table under lost answers and other processes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError

from shared.imports.model.record import ImportRecord, ImportState
from shared.imports.store.daily_counts import Statistics
from shared.imports.store.days import DailyCounts
from shared.imports.store.import_store import ConflictError, ImportStore
from tests.app import App

UPLOADED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(app: App) -> ImportStore:
    return app.importer.services.store


def record(file: str = "pumps.ndjson", **members: Any) -> ImportRecord:
    members = {"uploaded_at": UPLOADED, "created_at": UPLOADED, "updated_at": UPLOADED} | members
    return ImportRecord.of_upload("hub", "Imports", "uploads", file, "0x1", **members)


def lose_one_answer(app: App) -> None:
    """The next write is carried out, but nobody hears of it."""

    def lose(request: str) -> None:
        if request.split()[0] in ("POST", "PUT"):
            app.after_request = lambda _: None
            raise ServiceResponseError("the connection was lost")

    app.after_request = lose


def test_the_first_to_create_wins(store: ImportStore) -> None:
    first, made = store.create(record(owner="one"))
    second, made_again = store.create(record(owner="two"))
    assert (made, made_again) == (True, False)
    assert second.owner == "one"
    assert second.etag == first.etag


def test_a_create_whose_answer_was_lost_was_still_ours(app: App, store: ImportStore) -> None:
    store.create(record("other"))
    lose_one_answer(app)
    _, made = store.create(record())
    assert made
    assert len(store.queue("hub")) == 2


def test_a_change_whose_answer_was_lost_was_still_ours(app: App, store: ImportStore) -> None:
    created, _ = store.create(record())
    lose_one_answer(app)
    queued = store.transition(created, ImportState.QUEUED, devices=5)
    lose_one_answer(app)
    failed = store.transition(queued, ImportState.FAILED)
    assert store.get("hub", created.row_key) == failed
    assert store.queue("hub") == []


def test_of_two_changes_one_wins(store: ImportStore) -> None:
    created, _ = store.create(record())
    store.update(created, owner="one")
    with pytest.raises(ConflictError):
        store.update(created, owner="two")
    with pytest.raises(ConflictError):
        store.transition(created, ImportState.FAILED)
    assert store.get("hub", created.row_key).owner == "one"


def test_there_are_only_the_known_ways(store: ImportStore) -> None:
    created, _ = store.create(record())
    with pytest.raises(ValueError, match="no way from validating to running"):
        store.transition(created, ImportState.RUNNING)


def test_the_queue_holds_the_open_imports(store: ImportStore) -> None:
    assert store.queue("hub") == []
    made = [
        store.create(record(f"{minute}", uploaded_at=UPLOADED + timedelta(minutes=minute)))[0]
        for minute in (2, 1, 3)
    ]
    left = [made[1], made[0], made[2]]
    while left:
        assert [marker.record_key for marker in store.queue("hub")] == [one.row_key for one in left]
        assert [store.place(one) for one in left] == list(range(1, len(left) + 1))
        store.transition(left.pop(0), ImportState.SUPERSEDED)
    assert store.queue("hub") == []
    assert store.queue("another hub") == []
    assert [one.file for one in store.imports("hub")] == ["3", "2", "1"]


def test_the_history_is_bounded(store: ImportStore) -> None:
    changed, _ = store.create(record())
    changed = store.transition(changed, ImportState.QUEUED)
    for _ in range(30):
        changed = store.transition(changed, ImportState.STARTING)
        changed = store.transition(changed, ImportState.QUEUED)
    stored = store.get("hub", changed.row_key)
    assert len(stored.history) == 50
    assert stored.history[0][0] is ImportState.VALIDATING
    assert stored.history[-1][0] is ImportState.QUEUED


def test_large_numbers_and_odd_texts_come_back(store: ImportStore) -> None:
    created, _ = store.create(record("é/#?\\\n.ndjson", size=5_000_000_000))
    assert store.get("hub", created.row_key) == created


def test_ends_are_counted_once(app: App, store: ImportStore) -> None:
    """Also if answers are lost, and whether the sweep has added them to their day or not."""
    statistics = Statistics(store._table)
    today = app.clock().date()
    for number in range(6):
        created, _ = store.create(record(f"{number}"))
        queued = store.transition(created, ImportState.QUEUED, invalid_lines=1)
        if number > 2:
            lose_one_answer(app)
        unknown = {"imported": None, "failed": None} if number == 5 else {}
        counts = {"imported": 2, "failed": 3_000_000_000, **unknown}
        store.transition(queued, ImportState.FAILED, **counts)
        if number == 3:
            statistics.count_ends("hub", today, 10)
    wanted = DailyCounts(today, Counter({ImportState.FAILED: 6}), 10, 15_000_000_000, 6, 1)
    assert sum(statistics.days("hub", today), DailyCounts(today)) == wanted
    statistics.count_ends("hub", today, 10)
    assert list(statistics.days("hub", today)) == [wanted]


def test_an_end_leaves_an_event_if_it_is_to_be_announced(app: App, store: ImportStore) -> None:
    announcing = ImportStore(store._table, app.clock, announces=True)
    ended = announcing.create(record("1"))[0]
    announcing.transition(ended, ImportState.SUPERSEDED)
    still_open = announcing.create(record("2"))[0]
    work = announcing.work("hub")
    assert [marker.record_key for marker in work.queue] == [still_open.row_key]
    assert [marker.record_key for marker in work.unsent] == [ended.row_key]
    announcing.put_off("hub", work.unsent[0], UPLOADED)
    [unsent] = announcing.unsent("hub")
    assert (unsent.tries, unsent.next_try_at) == (1, UPLOADED)
    for number in range(3, 12):
        announcing.create(record(f"{number}"))
    work = announcing.work("hub")
    assert len(work.queue) == 10
    assert work.unsent == [unsent]
    announcing.remove_marker("hub", unsent)
    assert announcing.work("hub").unsent == []
