"""The table with lost responses and concurrent processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError

from shared.imports.model.parts import Lease
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.daily_counts import DailyCounts
from shared.imports.store.import_store import ConflictError, ImportStore
from shared.imports.store.queue_rows import QueueRows
from tests.app import App
from tests.records import import_record, read_records

UPLOADED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(app: App) -> ImportStore:
    return app.importer.services.store


@pytest.fixture
def queue_rows(app: App) -> QueueRows:
    return app.importer.services.queue_rows


def record(file: str = "pumps.ndjson", **members: Any) -> ImportRecord:
    return import_record("hub", file, "0x1", UPLOADED, **members)


def lose_one_answer(app: App) -> None:
    """Execute the next write and lose its response."""

    def lose(request: str) -> None:
        if request.split()[0] in ("POST", "PUT"):
            app.after_request = lambda _: None
            raise ServiceResponseError("the connection was lost")

    app.after_request = lose


def test_only_the_first_create_succeeds(store: ImportStore) -> None:
    first, made = store.create(record(lease=Lease(owner="one")))
    second, made_again = store.create(record(lease=Lease(owner="two")))
    assert (made, made_again) == (True, False)
    assert second.lease.owner == "one"
    assert second.etag == first.etag


def test_create_succeeds_after_a_lost_response(
    app: App, store: ImportStore, queue_rows: QueueRows
) -> None:
    store.create(record("other"))
    lose_one_answer(app)
    _, made = store.create(record())
    assert made
    assert len(queue_rows.oldest("hub")) == 2


def test_update_succeeds_after_a_lost_response(
    app: App, store: ImportStore, queue_rows: QueueRows
) -> None:
    created, _ = store.create(record())
    lose_one_answer(app)
    queued = store.transition(replace(created, devices=5), ImportState.QUEUED)
    lose_one_answer(app)
    failed = store.end(queued, ImportState.FAILED)
    assert store.get("hub", created.row_key) == failed
    assert queue_rows.oldest("hub") == []


def test_only_one_of_two_concurrent_updates_succeeds(store: ImportStore) -> None:
    created, _ = store.create(record())
    changed = store.update(replace(created, lease=Lease(owner="one")))
    with pytest.raises(ConflictError) as conflict:
        store.update(replace(created, lease=Lease(owner="two")))
    assert conflict.value.record == changed
    with pytest.raises(ConflictError):
        store.end(created, ImportState.FAILED)
    assert store.get("hub", created.row_key).lease.owner == "one"


def test_only_defined_state_transitions_are_allowed(store: ImportStore) -> None:
    created, _ = store.create(record())
    with pytest.raises(ValueError, match="cannot go from validating to running"):
        store.transition(created, ImportState.RUNNING)


def test_queue_contains_the_open_imports(
    app: App, store: ImportStore, queue_rows: QueueRows
) -> None:
    assert queue_rows.oldest("hub") == []
    made = [
        store.create(record(f"{minute}", uploaded_at=UPLOADED + timedelta(minutes=minute)))[0]
        for minute in (2, 1, 3)
    ]
    remaining = [made[1], made[0], made[2]]
    while remaining:
        assert [row.record_key for row in queue_rows.oldest("hub")] == [
            item.row_key for item in remaining
        ]
        store.end(remaining.pop(0), ImportState.SUPERSEDED)
    assert queue_rows.oldest("hub") == []
    assert queue_rows.oldest("another hub") == []
    assert [item.file for item in read_records(app.importer.services, "hub")] == ["3", "2", "1"]


def test_history_is_bounded(store: ImportStore) -> None:
    changed, _ = store.create(record())
    changed = store.transition(changed, ImportState.QUEUED)
    for _ in range(30):
        changed = store.transition(changed, ImportState.STARTING)
        changed = store.transition(changed, ImportState.QUEUED)
    stored = store.get("hub", changed.row_key)
    assert len(stored.history) == 50
    assert stored.history[0][0] is ImportState.VALIDATING
    assert stored.history[-1][0] is ImportState.QUEUED


def test_large_numbers_and_unusual_strings_are_stored_unchanged(store: ImportStore) -> None:
    created, _ = store.create(record("é/#?\\\n.ndjson", size=5_000_000_000))
    assert store.get("hub", created.row_key) == created


def test_finished_imports_are_counted_once(app: App, store: ImportStore) -> None:
    """Also if responses are lost, before and after the sweep has added them to their day."""
    statistics = app.importer.services.daily_counts
    today = app.clock().date()
    for number in range(6):
        created, _ = store.create(record(f"{number}"))
        queued = store.transition(replace(created, invalid_lines=1), ImportState.QUEUED)
        if number > 2:
            lose_one_answer(app)
        imported, failed = (None, None) if number == 5 else (2, 3_000_000_000)
        store.end(replace(queued, imported=imported, failed=failed), ImportState.FAILED)
        if number == 3:
            statistics.count_ends("hub", today, 10)
    wanted = DailyCounts(today, Counter({ImportState.FAILED: 6}), 10, 15_000_000_000, 6, 1)
    assert sum(statistics.since("hub", today), DailyCounts(today)) == wanted
    statistics.count_ends("hub", today, 10)
    assert list(statistics.since("hub", today)) == [wanted]


def test_finished_import_queues_an_event_if_a_receiver_is_configured(app: App) -> None:
    app.configure(EVENTS_URL="https://events.example/receive")
    services: Services = app.importer.services
    store, outbox = services.store, services.outbox
    ended = store.create(record("1"))[0]
    store.end(ended, ImportState.SUPERSEDED)
    still_open = store.create(record("2"))[0]
    work = services.queue_rows.open_work("hub")
    assert [row.record_key for row in work.queue] == [still_open.row_key]
    assert [event.record_key for event in work.events] == [ended.row_key]
    outbox.postpone("hub", work.events[0], UPLOADED, app.clock())
    [event] = outbox.pending("hub")
    assert (event.attempts, event.next_try_at) == (1, UPLOADED)
    for number in range(3, 12):
        store.create(record(f"{number}"))
    work = services.queue_rows.open_work("hub")
    assert len(work.queue) == 10
    assert work.events == [event]
    outbox.remove("hub", event)
    assert services.queue_rows.open_work("hub").events == []
