"""Events are sent at least once, until accepted or expired, and do not block imports."""

from __future__ import annotations

import logging
import socket
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from shared import transport
from shared.imports.store.outbox import MAX_EVENTS, PendingEvent
from shared.imports.workflow.event_publisher import LONGEST_WAIT
from shared.settings import Settings
from tests.app import App
from tests.events.receiver import Post, Receiver
from tests.events.support import (
    NAME,
    assert_no_secret,
    completed,
    configure_two_hubs,
    hub_of,
    later,
    pending_events,
    publisher,
    reject,
    tick,
)


class Killed(BaseException):
    """Terminates the process."""


def test_events_are_delivered_after_the_receiver_recovers(
    app_with_receiver: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.stop()
    for number in range(3):
        reject(app_with_receiver, f"{number}.ndjson")
    tick(app_with_receiver)
    # The first was sent, the others wait behind it.
    *others, first = pending_events(app_with_receiver)
    assert (first.attempts, [pending.attempts for pending in others]) == (1, [0, 0])
    assert_waits(app_with_receiver, first, 10)
    [warning] = [
        line for line in caplog.records if line.name == "shared.imports.workflow.event_publisher"
    ]
    assert warning.levelno == logging.WARNING
    assert "No connection to 127.0.0.1 (connection refused)." in warning.getMessage()
    assert app_with_receiver.record("0.ndjson").id in warning.getMessage()
    assert_no_secret(app_with_receiver, warning.getMessage())

    receiver.start()
    tick(app_with_receiver)
    assert [event["data"]["file"] for event in receiver.events] == ["1.ndjson", "2.ndjson"]
    tick(app_with_receiver)
    assert len(receiver.events) == 2
    later(app_with_receiver, timedelta(seconds=11))
    tick(app_with_receiver)
    assert receiver.events[2]["data"]["file"] == "0.ndjson"
    assert pending_events(app_with_receiver) == []


def assert_waits(app: App, pending: PendingEvent, longest: float) -> None:
    assert pending.next_try_at is not None
    wait = (pending.next_try_at - app.clock()).total_seconds()
    assert longest / 2 - 5 < wait <= longest


def test_delivery_back_off_grows(app_with_receiver: App, receiver: Receiver) -> None:
    receiver.judge = lambda _: 503
    reject(app_with_receiver)
    for attempts, longest in enumerate((10, 20, 40, 80, 160, 320, 600, 600), 1):
        tick(app_with_receiver)
        tick(app_with_receiver)
        [pending] = pending_events(app_with_receiver)
        assert pending.attempts == len(receiver.posts) == attempts
        assert_waits(app_with_receiver, pending, longest)
        later(app_with_receiver, LONGEST_WAIT + timedelta(seconds=1))
    assert len({event["id"] for event in receiver.events}) == 1


def test_retry_after_of_the_receiver_is_honored(app_with_receiver: App, receiver: Receiver) -> None:
    receiver.answers.append((429, {"Retry-After": "300"}))
    reject(app_with_receiver, "0.ndjson")
    reject(app_with_receiver, "1.ndjson")
    tick(app_with_receiver)
    later(app_with_receiver, timedelta(seconds=290))
    tick(app_with_receiver)
    assert len(receiver.posts) == 1
    later(app_with_receiver, timedelta(seconds=11))
    tick(app_with_receiver)
    assert [event["data"]["file"][0] for event in receiver.events] == ["0", "1", "0"]
    assert pending_events(app_with_receiver) == []


def test_retry_after_is_bounded_and_applies_to_one_hub(
    app_with_receiver: App, receiver: Receiver
) -> None:
    configure_two_hubs(app_with_receiver)

    def judge(post: Post) -> tuple[int, dict[str, str]]:
        is_north = post.event["source"] == "/hubs/north"
        return (429, {"Retry-After": "9" * 5000}) if is_north else (204, {})

    receiver.judge = judge
    for name in ("north/0.ndjson", "north/1.ndjson", "east/2.ndjson"):
        reject(app_with_receiver, name)
    for _ in range(3):
        tick(app_with_receiver)
    assert sorted(event["source"] for event in receiver.events) == ["/hubs/east", "/hubs/north"]
    receiver.judge = lambda _: 204
    later(app_with_receiver, LONGEST_WAIT + timedelta(seconds=1))
    tick(app_with_receiver)
    assert pending_events(app_with_receiver, "north") == []


def test_clock_that_was_ahead(app_with_receiver: App, receiver: Receiver) -> None:
    later(app_with_receiver, timedelta(days=300))
    receiver.answers.append((503, {"Retry-After": "300"}))
    reject(app_with_receiver, "0.ndjson")
    tick(app_with_receiver)
    app_with_receiver.clock.ahead = timedelta()
    reject(app_with_receiver, "1.ndjson")
    tick(app_with_receiver)
    assert [event["data"]["file"][0] for event in receiver.events] == ["0", "1", "0"]
    assert pending_events(app_with_receiver) == []


def test_failed_events_do_not_block_others(app_with_receiver: App, receiver: Receiver) -> None:
    receiver.judge = lambda post: 204 if post.event["data"]["file"] == "good.ndjson" else 500
    for number in range(3):
        reject(app_with_receiver, f"{number}.ndjson")
    reject(app_with_receiver, "good.ndjson")
    tick(app_with_receiver)
    assert len(receiver.posts) == 4
    assert [pending.attempts for pending in pending_events(app_with_receiver)] == [1, 1, 1]


def test_rejected_event_does_not_block_others(app_with_receiver: App, receiver: Receiver) -> None:
    def judge(post: Post) -> int:
        return 422 if post.event["data"]["file"] == "0.ndjson" else 202

    receiver.judge = judge
    for number in range(3):
        reject(app_with_receiver, f"{number}.ndjson")
    tick(app_with_receiver)
    assert [event["data"]["file"][0] for event in receiver.events] == ["0", "1", "2"]
    [pending] = pending_events(app_with_receiver)
    assert pending.attempts == 1
    receiver.judge = lambda _: 200
    later(app_with_receiver, timedelta(seconds=11))
    tick(app_with_receiver)
    assert receiver.events[0] == receiver.events[3]
    assert pending_events(app_with_receiver) == []


def test_many_rejected_events_do_not_block_others(
    app_with_receiver: App, receiver: Receiver
) -> None:
    receiver.judge = lambda post: 202 if post.event["data"]["file"] == "last.ndjson" else 422
    for number in range(MAX_EVENTS + 1):
        reject(app_with_receiver, f"{number}.ndjson")
    tick(app_with_receiver)
    reject(app_with_receiver, "last.ndjson")
    tick(app_with_receiver)
    assert receiver.events[-1]["data"]["file"] == "last.ndjson"


def test_many_events_are_sent_oldest_first(app_with_receiver: App, receiver: Receiver) -> None:
    for number in range(13):
        reject(app_with_receiver, f"{number}.ndjson")
    tick(app_with_receiver)
    assert [event["data"]["file"] for event in receiver.events] == [
        f"{number}.ndjson" for number in range(13)
    ]
    assert pending_events(app_with_receiver) == []


def test_event_is_discarded_after_its_deadline(
    app_with_receiver: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    app_with_receiver.configure(EVENTS_DEADLINE_HOURS="2")
    receiver.judge = lambda _: 401
    reject(app_with_receiver)
    tick(app_with_receiver)
    record = app_with_receiver.record(NAME)
    later(app_with_receiver, timedelta(minutes=119))
    tick(app_with_receiver)
    assert len(pending_events(app_with_receiver)) == 1
    later(app_with_receiver, timedelta(minutes=11))
    tick(app_with_receiver)
    assert pending_events(app_with_receiver) == []
    assert len(receiver.posts) == 2
    assert app_with_receiver.record(NAME) == record
    [error] = [line for line in caplog.records if line.levelno == logging.ERROR]
    message = error.getMessage()
    expected = (record.id, record.hub, "2 h (EVENTS_DEADLINE_HOURS)", "127.0.0.1 (EVENTS_URL)")
    assert [part for part in (*expected, "EVENTS_KEY") if part not in message] == []
    assert_no_secret(app_with_receiver, "\n".join(caplog.messages))


def test_pruned_record_has_no_event(app_with_receiver: App, receiver: Receiver) -> None:
    reject(app_with_receiver)
    record = app_with_receiver.record(NAME)
    services = app_with_receiver.importer.services
    services.storage.table(services.settings.storage.imports_table).delete_entity(
        record.hub, record.row_key
    )
    tick(app_with_receiver)
    assert pending_events(app_with_receiver) == []
    assert receiver.posts == []


def test_event_is_repeated_if_the_process_terminated_before_storing_the_result(
    app_with_receiver: App, receiver: Receiver
) -> None:
    reject(app_with_receiver)

    def terminate(request: str) -> None:
        if request.startswith("DELETE"):
            raise Killed

    app_with_receiver.before_request = terminate
    tick(app_with_receiver)
    assert len(pending_events(app_with_receiver)) == 1
    app_with_receiver.before_request = lambda _: None
    # Another process.
    app_with_receiver.configure()
    tick(app_with_receiver)
    tick(app_with_receiver)
    first, repeat = receiver.posts
    assert first.event == repeat.event
    assert first.headers["webhook-id"] == repeat.headers["webhook-id"]
    assert pending_events(app_with_receiver) == []


def test_hanging_receiver_does_not_block_imports(
    app_with_receiver: App, receiver: Receiver
) -> None:
    receiver.may_answer.clear()
    reject(app_with_receiver, "0.ndjson")
    app_with_receiver.tick()
    assert receiver.received.wait(10)
    completed(app_with_receiver)
    for _ in range(3):
        app_with_receiver.tick()
    assert app_with_receiver.record(NAME).state == "completed"
    # It was submitted repeatedly, and still waits for its first response.
    assert len(receiver.posts) == 1
    assert [pending.attempts for pending in pending_events(app_with_receiver)] == [0, 0]
    receiver.may_answer.set()
    publisher(app_with_receiver).wait()
    tick(app_with_receiver)
    assert [event["data"]["file"] for event in receiver.events] == ["0.ndjson", NAME]
    assert pending_events(app_with_receiver) == []


def test_app_stops_while_the_receiver_hangs(app_with_receiver: App, receiver: Receiver) -> None:
    reject(app_with_receiver, "0.ndjson")
    reject(app_with_receiver, "1.ndjson")
    receiver.may_answer.clear()
    app_with_receiver.tick()
    assert receiver.received.wait(10)

    event_publisher = publisher(app_with_receiver)
    end = threading.Thread(target=event_publisher.close)
    end.start()
    assert event_publisher._closing.wait(10)
    receiver.may_answer.set()
    end.join()
    assert len(receiver.posts) == 1
    assert [pending.record_key for pending in pending_events(app_with_receiver)] == [
        app_with_receiver.record("1.ndjson").row_key
    ]


def test_app_stops_although_the_receiver_hangs(
    app_with_receiver: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "WEBHOOK_DEADLINE", 0.5)
    for number in range(3):
        reject(app_with_receiver, f"{number}.ndjson")
    receiver.may_answer.clear()
    app_with_receiver.tick()
    assert receiver.received.wait(10)
    begun = time.monotonic()
    publisher(app_with_receiver).close()
    assert time.monotonic() - begun < 3
    assert len(receiver.posts) == 1
    publisher(app_with_receiver).send(hub_of(app_with_receiver))


def test_app_stops_although_a_request_does_not_return(
    app_with_receiver: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport, "WEBHOOK_DEADLINE", 0.1)
    is_asked, may_know = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def hang(host: str, port: int, *args: Any, **options: Any) -> Any:
        if f":{port}/" in app_with_receiver.settings["EVENTS_URL"]:
            is_asked.set()
            may_know.wait(10)
        return look_up(host, port, *args, **options)

    reject(app_with_receiver)
    sender = publisher(app_with_receiver)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    app_with_receiver.tick()
    assert is_asked.wait(10)
    sender.close()
    assert "1 events are still being posted" in caplog.text
    may_know.set()
    sender.wait()


def test_storage_error_while_events_are_sent(
    app_with_receiver: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    reject(app_with_receiver)
    table = app_with_receiver.settings["IMPORTS_TABLE"]

    def fail(request: str) -> None:
        if request.endswith(f"/{table}()") and threading.current_thread().name.startswith("events"):
            raise RuntimeError("the disk is on fire")

    app_with_receiver.before_request = fail
    tick(app_with_receiver)
    assert "events wait for a later tick" in caplog.text
    assert receiver.posts == []
    app_with_receiver.before_request = lambda _: None
    tick(app_with_receiver)
    assert len(receiver.posts) == 1


def test_topic_without_a_key_uses_the_identity_of_the_app(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_ids: list[str | None] = []
    monkeypatch.setattr(Settings, "credential", lambda _, client_id: client_ids.append(client_id))
    topic = "https://fleet.westeurope-1.eventgrid.azure.net/api/events"
    app.configure(EVENTS_URL=topic, IOTHUB_CLIENT_ID="hub-identity")
    publisher(app)
    assert client_ids == ["hub-identity"]
