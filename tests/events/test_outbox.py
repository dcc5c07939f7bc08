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
from tests.app import App
from tests.events.receiver import Post, Receiver
from tests.events.support import hub_of, later, publisher, reject, tick, two_hubs, unsent


def table(app: App) -> TableClient:
    services = app.importer.services
    return services.storage.table(services.settings.storage.imports_table)


def edit(app: App, row_key: str, columns: dict[str, Any]) -> None:
    """Edit the only row of the outbox."""
    [marker] = unsent(app)
    row = {"PartitionKey": hub_of(app), "record": marker.record_key}
    row |= {"RowKey": row_key or marker.row_key, **columns}
    with table(app) as rows:
        rows.delete_entity(hub_of(app), marker.row_key)
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
def test_an_event_whose_row_was_edited_is_sent(
    telling: App, receiver: Receiver, row_key: str, columns: dict[str, Any]
) -> None:
    reject(telling, "0.ndjson")
    edit(telling, row_key, columns)
    reject(telling, "1.ndjson")
    receiver.judge = lambda _: 422
    tick(telling)
    assert sorted(files(receiver)) == ["0.ndjson", "1.ndjson"]
    assert [marker.attempts >= 1 for marker in unsent(telling)] == [True, True]
    receiver.judge = lambda _: 204
    later(telling, timedelta(minutes=11))
    tick(telling)
    assert len(receiver.posts) == 4
    assert unsent(telling) == []


@pytest.mark.parametrize("record", [None, 5, "", "no record", "it's none", "\t", "day-19700101"])
def test_an_event_whose_row_names_no_record(
    telling: App, receiver: Receiver, caplog: pytest.LogCaptureFixture, record: object
) -> None:
    reject(telling, "0.ndjson")
    edit(telling, "", {"record": record})
    reject(telling, "1.ndjson")
    tick(telling)
    assert files(receiver) == ["1.ndjson"]
    assert "record" in caplog.text
    later(telling, timedelta(hours=25))
    tick(telling)
    assert unsent(telling) == []


@pytest.mark.parametrize("row_key", ["queue.", "row", "sen", "send"])
def test_unrelated_rows_are_ignored(telling: App, receiver: Receiver, row_key: str) -> None:
    reject(telling)
    for number in range(MAX_EVENTS):
        row = {"PartitionKey": hub_of(telling), "RowKey": f"{row_key}{number}"}
        table(telling).upsert_entity(row)
    tick(telling)
    assert len(receiver.posts) == 1


def test_events_whose_records_are_unreadable(
    telling: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MAX_EVENTS + 1):
        reject(telling, f"{number}.ndjson")
    for record in telling.records():
        key = {"PartitionKey": record.hub, "RowKey": record.row_key}
        table(telling).update_entity({**key, "history": "[nonsense"})
    telling.upload("good.ndjson", {"id": "no good"})
    telling.deliver("good.ndjson")
    for _ in range(2):
        tick(telling)
    assert files(receiver) == ["good.ndjson"]
    assert [marker.attempts for marker in unsent(telling)] == [1] * MAX_EVENTS

    later(telling, timedelta(hours=23))
    tick(telling)
    assert {marker.attempts for marker in unsent(telling)} == {2}
    later(telling, timedelta(hours=2))
    caplog.clear()
    tick(telling)
    assert unsent(telling) == []
    given_up = [line for line in caplog.messages if "EVENTS_DEADLINE_HOURS" in line]
    assert len(given_up) == MAX_EVENTS + 1
    assert len(receiver.posts) == 1


def test_exception_affects_one_event(
    telling: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_of = events.event_of

    def fail(record: Any) -> dict[str, Any]:
        if record.file != "last.ndjson":
            raise ZeroDivisionError
        return event_of(record)

    for number in range(MAX_EVENTS + 1):
        reject(telling, f"{number}.ndjson")
    reject(telling, "last.ndjson")
    monkeypatch.setattr(events, "event_of", fail)
    tick(telling)
    assert files(receiver) == ["last.ndjson"]
    assert len(unsent(telling)) == MAX_EVENTS
    later(telling, timedelta(hours=25))
    tick(telling)
    assert unsent(telling) == []


def test_row_that_cannot_be_deleted(
    telling: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MAX_EVENTS + 1):
        reject(telling, f"{number}.ndjson")
    stuck = telling.record("3.ndjson").id

    def fail(request: str) -> None:
        if request.startswith("DELETE") and stuck in request:
            raise RuntimeError("the disk is on fire")

    telling.before_request = fail
    tick(telling)
    assert files(receiver) == [f"{number}.ndjson" for number in range(MAX_EVENTS + 1)]
    assert [marker.import_id for marker in unsent(telling)] == [stuck]
    assert "can be neither removed nor moved" in caplog.text
    telling.before_request = lambda _: None
    tick(telling)
    assert unsent(telling) == []


def test_hanging_events_of_a_hub_do_not_block_other_hubs(
    telling: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_hubs(telling)
    has_east = threading.Event()

    def judge(post: Post) -> int:
        if post.event["source"] == "/hubs/east":
            has_east.set()
            return 204
        # Responds after the other hub's event has arrived.
        return 204 if has_east.wait(10) else 503

    receiver.judge = judge
    reject(telling, "north/0.ndjson")
    telling.tick()
    assert receiver.got_one.wait(10)
    reject(telling, "east/1.ndjson")
    tick(telling)
    assert unsent(telling, "north") == unsent(telling, "east") == []


def test_slow_hub_yields_its_thread(
    telling: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(events, "THREADS", 1)
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: now[0]))
    two_hubs(telling)

    def judge(_: Post) -> int:
        now[0] += 0.6 * events.BATCH_SECONDS
        return 204

    receiver.judge = judge
    for number in range(4):
        reject(telling, f"north/{number}.ndjson")
    sender = publisher(telling)
    sender.send("north")
    assert receiver.got_one.wait(10)
    reject(telling, "east/last.ndjson")
    sender.send("east")
    sender.wait()
    assert files(receiver) == ["north/0.ndjson", "north/1.ndjson", "east/last.ndjson"]
    sender.send("north")
    sender.wait()
    assert unsent(telling, "north") == []
