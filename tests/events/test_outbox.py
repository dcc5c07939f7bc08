"""Malformed events and rows do not block others; each event is sent or discarded eventually."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.data.tables import TableClient

from shared.imports.store.outbox import MAX_EVENTS
from shared.imports.workflow import event_publisher as events
from shared.imports.workflow.events import event_of
from tests.app import App
from tests.events.receiver import Post, Receiver
from tests.events.support import (
    configure_two_hubs,
    hub_of,
    later,
    pending_events,
    publisher,
    reject,
    tick,
)


def table(app: App) -> TableClient:
    services = app.importer.services
    return services.storage.table(services.settings.storage.imports_table)


def edit(app: App, row_key: str, columns: dict[str, Any]) -> None:
    """Edit the only row of the outbox."""
    [pending] = pending_events(app)
    row = {"PartitionKey": hub_of(app), "record": pending.record_key}
    row |= {"RowKey": row_key or pending.row_key, **columns}
    with table(app) as rows:
        rows.delete_entity(hub_of(app), pending.row_key)
        rows.upsert_entity({name: value for name, value in row.items() if value is not None})


def files(receiver: Receiver) -> list[str]:
    return [event["data"]["file"] for event in receiver.events]


@pytest.mark.parametrize(
    ("row_key", "columns"),
    [
        ("", {"tries": "many"}),
        ("", {"tries": -5}),
        ("", {"tries": 1.5, "since": 7}),
        ("", {"tries": True}),
        ("", {"tries": 3, "since": "yesterday"}),
        ("", {"tries": 3, "nextTryAt": "soon"}),
        ("", {"tries": 3, "nextTryAt": datetime(2999, 1, 1, tzinfo=UTC)}),
        ("", {"tries": 3, "since": datetime(2999, 1, 1, tzinfo=UTC)}),
        ("send-", {}),
        ("send-!", {"tries": 3}),
        ("send-zzz", {"tries": 3}),
        ("send--000000000001-x", {"tries": 3}),
        ("send-99999999999999999999999-x", {"tries": 3}),
        ("send-9999999999999-x", {"tries": 3}),
        ("send-²²²²²²²²²²²²²-x", {"tries": 3}),
    ],
)
def test_event_with_an_edited_row_is_sent(
    app_with_receiver: App, receiver: Receiver, row_key: str, columns: dict[str, Any]
) -> None:
    reject(app_with_receiver, "0.ndjson")
    edit(app_with_receiver, row_key, columns)
    reject(app_with_receiver, "1.ndjson")
    receiver.judge = lambda _: 422
    tick(app_with_receiver)
    assert sorted(files(receiver)) == ["0.ndjson", "1.ndjson"]
    assert [pending.attempts >= 1 for pending in pending_events(app_with_receiver)] == [True, True]
    receiver.judge = lambda _: 204
    later(app_with_receiver, timedelta(minutes=11))
    tick(app_with_receiver)
    assert len(receiver.posts) == 4
    assert pending_events(app_with_receiver) == []


@pytest.mark.parametrize("record", [None, 5, "", "no record", "it's none", "\t", "day-19700101"])
def test_event_row_without_a_record(
    app_with_receiver: App, receiver: Receiver, caplog: pytest.LogCaptureFixture, record: object
) -> None:
    reject(app_with_receiver, "0.ndjson")
    edit(app_with_receiver, "", {"record": record})
    reject(app_with_receiver, "1.ndjson")
    tick(app_with_receiver)
    assert files(receiver) == ["1.ndjson"]
    assert "record" in caplog.text
    later(app_with_receiver, timedelta(hours=25))
    tick(app_with_receiver)
    assert pending_events(app_with_receiver) == []


@pytest.mark.parametrize("row_key", ["queue.", "row", "sen", "send"])
def test_unrelated_rows_are_ignored(
    app_with_receiver: App, receiver: Receiver, row_key: str
) -> None:
    reject(app_with_receiver)
    for number in range(MAX_EVENTS):
        row = {"PartitionKey": hub_of(app_with_receiver), "RowKey": f"{row_key}{number}"}
        table(app_with_receiver).upsert_entity(row)
    tick(app_with_receiver)
    assert len(receiver.posts) == 1


def test_events_whose_records_are_unreadable(
    app_with_receiver: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MAX_EVENTS + 1):
        reject(app_with_receiver, f"{number}.ndjson")
    for record in app_with_receiver.records():
        key = {"PartitionKey": record.hub, "RowKey": record.row_key}
        table(app_with_receiver).update_entity({**key, "history": "[nonsense"})
    app_with_receiver.upload("good.ndjson", {"id": "no good"})
    app_with_receiver.deliver("good.ndjson")
    for _ in range(2):
        tick(app_with_receiver)
    assert files(receiver) == ["good.ndjson"]
    assert [pending.attempts for pending in pending_events(app_with_receiver)] == [1] * MAX_EVENTS

    later(app_with_receiver, timedelta(hours=23))
    tick(app_with_receiver)
    assert {pending.attempts for pending in pending_events(app_with_receiver)} == {2}
    later(app_with_receiver, timedelta(hours=2))
    caplog.clear()
    tick(app_with_receiver)
    assert pending_events(app_with_receiver) == []
    given_up = [line for line in caplog.messages if "EVENTS_DEADLINE_HOURS" in line]
    assert len(given_up) == MAX_EVENTS + 1
    assert len(receiver.posts) == 1


def test_exception_affects_one_event(
    app_with_receiver: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(record: Any) -> dict[str, Any]:
        if record.file != "last.ndjson":
            raise ZeroDivisionError
        return event_of(record)

    for number in range(MAX_EVENTS + 1):
        reject(app_with_receiver, f"{number}.ndjson")
    reject(app_with_receiver, "last.ndjson")
    monkeypatch.setattr("shared.imports.workflow.event_publisher.event_of", fail)
    tick(app_with_receiver)
    assert files(receiver) == ["last.ndjson"]
    assert len(pending_events(app_with_receiver)) == MAX_EVENTS
    later(app_with_receiver, timedelta(hours=25))
    tick(app_with_receiver)
    assert pending_events(app_with_receiver) == []


def test_row_that_cannot_be_deleted(
    app_with_receiver: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MAX_EVENTS + 1):
        reject(app_with_receiver, f"{number}.ndjson")
    stuck = app_with_receiver.record("3.ndjson").id

    def fail(request: str) -> None:
        if request.startswith("DELETE") and stuck in request:
            raise RuntimeError("the disk is on fire")

    app_with_receiver.before_request = fail
    tick(app_with_receiver)
    assert files(receiver) == [f"{number}.ndjson" for number in range(MAX_EVENTS + 1)]
    assert [pending.import_id for pending in pending_events(app_with_receiver)] == [stuck]
    assert "can be neither removed nor moved" in caplog.text
    app_with_receiver.before_request = lambda _: None
    tick(app_with_receiver)
    assert pending_events(app_with_receiver) == []


def test_hanging_events_of_a_hub_do_not_block_other_hubs(
    app_with_receiver: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_two_hubs(app_with_receiver)
    has_east = threading.Event()

    def judge(post: Post) -> int:
        if post.event["source"] == "/hubs/east":
            has_east.set()
            return 204
        # Responds after the other hub's event has arrived.
        return 204 if has_east.wait(10) else 503

    receiver.judge = judge
    reject(app_with_receiver, "north/0.ndjson")
    app_with_receiver.tick()
    assert receiver.received.wait(10)
    reject(app_with_receiver, "east/1.ndjson")
    tick(app_with_receiver)
    assert (
        pending_events(app_with_receiver, "north")
        == pending_events(app_with_receiver, "east")
        == []
    )


def test_slow_hub_yields_its_thread(
    app_with_receiver: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(events, "THREADS", 1)
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: now[0]))
    configure_two_hubs(app_with_receiver)

    def judge(_: Post) -> int:
        now[0] += 0.6 * events.BATCH_SECONDS
        return 204

    receiver.judge = judge
    for number in range(4):
        reject(app_with_receiver, f"north/{number}.ndjson")
    sender = publisher(app_with_receiver)
    sender.send("north")
    assert receiver.received.wait(10)
    reject(app_with_receiver, "east/last.ndjson")
    sender.send("east")
    sender.wait()
    assert files(receiver) == ["north/0.ndjson", "north/1.ndjson", "east/last.ndjson"]
    sender.send("north")
    sender.wait()
    assert pending_events(app_with_receiver, "north") == []
