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
    hub_of,
    later,
    publisher,
    reject,
    tick,
    two_hubs,
    unsent,
)


class Killed(BaseException):
    """Terminates the process."""


def test_events_are_delivered_after_the_receiver_recovers(
    telling: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.stop()
    for number in range(3):
        reject(telling, f"{number}.ndjson")
    tick(telling)
    # The first was sent, the others wait behind it.
    *others, first = unsent(telling)
    assert (first.attempts, [marker.attempts for marker in others]) == (1, [0, 0])
    assert_waits(telling, first, 10)
    [warning] = [
        line for line in caplog.records if line.name == "shared.imports.workflow.event_publisher"
    ]
    assert warning.levelno == logging.WARNING
    assert "No connection to 127.0.0.1 (Connection refused)." in warning.getMessage()
    assert telling.record("0.ndjson").id in warning.getMessage()
    assert_no_secret(telling, warning.getMessage())

    receiver.start()
    tick(telling)
    assert [event["data"]["file"] for event in receiver.events] == ["1.ndjson", "2.ndjson"]
    tick(telling)
    assert len(receiver.events) == 2
    later(telling, timedelta(seconds=11))
    tick(telling)
    assert receiver.events[2]["data"]["file"] == "0.ndjson"
    assert unsent(telling) == []


def assert_waits(app: App, marker: PendingEvent, longest: float) -> None:
    assert marker.next_try_at is not None
    wait = (marker.next_try_at - app.clock()).total_seconds()
    assert longest / 2 - 5 < wait <= longest


def test_delivery_back_off_grows(telling: App, receiver: Receiver) -> None:
    receiver.judge = lambda _: 503
    reject(telling)
    for tries, longest in enumerate((10, 20, 40, 80, 160, 320, 600, 600), 1):
        tick(telling)
        tick(telling)
        [marker] = unsent(telling)
        assert marker.attempts == len(receiver.posts) == tries
        assert_waits(telling, marker, longest)
        later(telling, LONGEST_WAIT + timedelta(seconds=1))
    assert len({event["id"] for event in receiver.events}) == 1


def test_retry_after_of_the_receiver_is_honored(telling: App, receiver: Receiver) -> None:
    receiver.answers.append((429, {"Retry-After": "300"}))
    reject(telling, "0.ndjson")
    reject(telling, "1.ndjson")
    tick(telling)
    later(telling, timedelta(seconds=290))
    tick(telling)
    assert len(receiver.posts) == 1
    later(telling, timedelta(seconds=11))
    tick(telling)
    assert [event["data"]["file"][0] for event in receiver.events] == ["0", "1", "0"]
    assert unsent(telling) == []


def test_retry_after_is_bounded_and_applies_to_one_hub(telling: App, receiver: Receiver) -> None:
    two_hubs(telling)

    def judge(post: Post) -> tuple[int, dict[str, str]]:
        is_north = post.event["source"] == "/hubs/north"
        return (429, {"Retry-After": "9" * 5000}) if is_north else (204, {})

    receiver.judge = judge
    for name in ("north/0.ndjson", "north/1.ndjson", "east/2.ndjson"):
        reject(telling, name)
    for _ in range(3):
        tick(telling)
    assert sorted(event["source"] for event in receiver.events) == ["/hubs/east", "/hubs/north"]
    receiver.judge = lambda _: 204
    later(telling, LONGEST_WAIT + timedelta(seconds=1))
    tick(telling)
    assert unsent(telling, "north") == []


def test_clock_that_was_ahead(telling: App, receiver: Receiver) -> None:
    later(telling, timedelta(days=300))
    receiver.answers.append((503, {"Retry-After": "300"}))
    reject(telling, "0.ndjson")
    tick(telling)
    telling.clock.ahead = timedelta()
    reject(telling, "1.ndjson")
    tick(telling)
    assert [event["data"]["file"][0] for event in receiver.events] == ["0", "1", "0"]
    assert unsent(telling) == []


def test_failed_events_do_not_block_others(telling: App, receiver: Receiver) -> None:
    receiver.judge = lambda post: 204 if post.event["data"]["file"] == "good.ndjson" else 500
    for number in range(3):
        reject(telling, f"{number}.ndjson")
    reject(telling, "good.ndjson")
    tick(telling)
    assert len(receiver.posts) == 4
    assert [marker.attempts for marker in unsent(telling)] == [1, 1, 1]


def test_rejected_event_does_not_block_others(telling: App, receiver: Receiver) -> None:
    def judge(post: Post) -> int:
        return 422 if post.event["data"]["file"] == "0.ndjson" else 202

    receiver.judge = judge
    for number in range(3):
        reject(telling, f"{number}.ndjson")
    tick(telling)
    assert [event["data"]["file"][0] for event in receiver.events] == ["0", "1", "2"]
    [marker] = unsent(telling)
    assert marker.attempts == 1
    receiver.judge = lambda _: 200
    later(telling, timedelta(seconds=11))
    tick(telling)
    assert receiver.events[0] == receiver.events[3]
    assert unsent(telling) == []


def test_many_rejected_events_do_not_block_others(telling: App, receiver: Receiver) -> None:
    receiver.judge = lambda post: 202 if post.event["data"]["file"] == "last.ndjson" else 422
    for number in range(MAX_EVENTS + 1):
        reject(telling, f"{number}.ndjson")
    tick(telling)
    reject(telling, "last.ndjson")
    tick(telling)
    assert receiver.events[-1]["data"]["file"] == "last.ndjson"


def test_many_events_are_sent_oldest_first(telling: App, receiver: Receiver) -> None:
    for number in range(13):
        reject(telling, f"{number}.ndjson")
    tick(telling)
    assert [event["data"]["file"] for event in receiver.events] == [
        f"{number}.ndjson" for number in range(13)
    ]
    assert unsent(telling) == []


def test_event_is_discarded_after_its_deadline(
    telling: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    telling.configure(EVENTS_DEADLINE_HOURS="2")
    receiver.judge = lambda _: 401
    reject(telling)
    tick(telling)
    record = telling.record(NAME)
    later(telling, timedelta(minutes=119))
    tick(telling)
    assert len(unsent(telling)) == 1
    later(telling, timedelta(minutes=11))
    tick(telling)
    assert unsent(telling) == []
    assert len(receiver.posts) == 2
    assert telling.record(NAME) == record
    [error] = [line for line in caplog.records if line.levelno == logging.ERROR]
    said = error.getMessage()
    named = (record.id, record.hub, "2 h (EVENTS_DEADLINE_HOURS)", "127.0.0.1 (EVENTS_URL)")
    assert [part for part in (*named, "EVENTS_KEY") if part not in said] == []
    assert_no_secret(telling, "\n".join(caplog.messages))


def test_pruned_record_has_no_event(telling: App, receiver: Receiver) -> None:
    reject(telling)
    record = telling.record(NAME)
    services = telling.importer.services
    services.storage.table(services.settings.storage.imports_table).delete_entity(
        record.hub, record.row_key
    )
    tick(telling)
    assert unsent(telling) == []
    assert receiver.posts == []


def test_event_is_repeated_if_the_process_terminated_before_storing_the_result(
    telling: App, receiver: Receiver
) -> None:
    reject(telling)

    def die(request: str) -> None:
        if request.startswith("DELETE"):
            raise Killed

    telling.before_request = die
    tick(telling)
    assert len(unsent(telling)) == 1
    telling.before_request = lambda _: None
    # Another process.
    telling.configure()
    tick(telling)
    tick(telling)
    first, repeat = receiver.posts
    assert first.event == repeat.event
    assert first.headers["webhook-id"] == repeat.headers["webhook-id"]
    assert unsent(telling) == []


def test_hanging_receiver_does_not_block_imports(telling: App, receiver: Receiver) -> None:
    receiver.may_answer.clear()
    reject(telling, "0.ndjson")
    telling.tick()
    assert receiver.got_one.wait(10)
    completed(telling)
    for _ in range(3):
        telling.tick()
    assert telling.record(NAME).state == "completed"
    # It was submitted repeatedly, and still waits for its first response.
    assert len(receiver.posts) == 1
    assert [marker.attempts for marker in unsent(telling)] == [0, 0]
    receiver.may_answer.set()
    publisher(telling).wait()
    tick(telling)
    assert [event["data"]["file"] for event in receiver.events] == ["0.ndjson", NAME]
    assert unsent(telling) == []


def test_app_stops_while_the_receiver_hangs(telling: App, receiver: Receiver) -> None:
    reject(telling, "0.ndjson")
    reject(telling, "1.ndjson")
    receiver.may_answer.clear()
    telling.tick()
    assert receiver.got_one.wait(10)

    found = publisher(telling)
    end = threading.Thread(target=found.close)
    end.start()
    assert found._closing.wait(10)
    receiver.may_answer.set()
    end.join()
    assert len(receiver.posts) == 1
    assert [marker.record_key for marker in unsent(telling)] == [telling.record("1.ndjson").row_key]


def test_app_stops_although_the_receiver_hangs(
    telling: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "WEBHOOK_DEADLINE", 0.5)
    for number in range(3):
        reject(telling, f"{number}.ndjson")
    receiver.may_answer.clear()
    telling.tick()
    assert receiver.got_one.wait(10)
    begun = time.monotonic()
    publisher(telling).close()
    assert time.monotonic() - begun < 3
    assert len(receiver.posts) == 1
    publisher(telling).send(hub_of(telling))


def test_app_stops_although_a_request_does_not_return(
    telling: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport, "WEBHOOK_DEADLINE", 0.1)
    is_asked, may_know = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def hang(host: str, port: int, *args: Any, **options: Any) -> Any:
        if f":{port}/" in telling.settings["EVENTS_URL"]:
            is_asked.set()
            may_know.wait(10)
        return look_up(host, port, *args, **options)

    reject(telling)
    sender = publisher(telling)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    telling.tick()
    assert is_asked.wait(10)
    sender.close()
    assert "1 events are still being posted" in caplog.text
    may_know.set()
    sender.wait()


def test_storage_error_while_events_are_sent(
    telling: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    reject(telling)
    table = telling.settings["IMPORTS_TABLE"]

    def fail(request: str) -> None:
        if request.endswith(f"/{table}()") and threading.current_thread().name.startswith("events"):
            raise RuntimeError("the disk is on fire")

    telling.before_request = fail
    tick(telling)
    assert "events wait for a later tick" in caplog.text
    assert receiver.posts == []
    telling.before_request = lambda _: None
    tick(telling)
    assert len(receiver.posts) == 1


def test_topic_without_a_key_uses_the_identity_of_the_app(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(Settings, "credential", lambda _, client_id: asked.append(client_id))
    topic = "https://fleet.westeurope-1.eventgrid.azure.net/api/events"
    app.configure(EVENTS_URL=topic, IOTHUB_CLIENT_ID="hub-identity")
    publisher(app)
    assert asked == ["hub-identity"]
