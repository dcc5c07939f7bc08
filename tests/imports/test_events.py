"""Each end of an import is told by an event, at least once, and holds nothing else up."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from shared.imports import importer
from shared.imports.events import LONGEST_WAIT, Publisher
from shared.imports.ledger import MAX_MARKERS, Marker
from shared.imports.record import NO_HUB
from tests.app import App, device
from tests.receiver import Post, Receiver
from tests.test_webhook import is_signed

NAME = "pumps.ndjson"
KEY = "key-secret-0001"


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def telling(app: App, receiver: Receiver) -> Iterator[App]:
    """The app, with the receiver for its events."""
    app.configure(EVENTS_URL=receiver.url, EVENTS_KEY=KEY)
    yield app
    receiver.may_answer.set()


def publisher(app: App) -> Publisher:
    found = app.importer.publisher
    assert found is not None
    return found


def tick(app: App) -> None:
    """A tick, and all the sending that it begins."""
    app.tick()
    publisher(app).wait()


def hub_of(app: App) -> str:
    return next(iter(app.importer.services.hubs))


def unsent(app: App, hub: str = "") -> list[Marker]:
    return app.importer.services.ledger.unsent(hub or hub_of(app))


def reject(app: App, name: str = NAME) -> None:
    """An import that ends at once."""
    app.upload(name, {"id": "no good"})
    app.deliver(name)


def later(app: App, time: timedelta) -> None:
    app.clock.ahead += time


def completed(app: App) -> None:
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.finish()


def completed_with_errors(app: App) -> None:
    app.hub.registry.put(device("pump-1"))
    app.upload(NAME, device("pump-1", importMode="create"), device("pump-2"))
    app.deliver(NAME)
    app.finish()


def failed(app: App) -> None:
    reason = "https://a.blob.core.windows.net/c?sv=1&sig=c2lnbmF0dXJl"
    app.hub.faults.add("failJob", reason=reason)
    completed(app)


def superseded(app: App) -> None:
    def delete(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}/{NAME}":
            app.blobs.get_blob_client(app.container, NAME).delete_blob()

    app.before_request = delete
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)


def cancelled(app: App) -> None:
    app.hub.occupy_slot()
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.importer.operations.cancel(app.record(NAME))


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (completed, "Completed"),
        (completed_with_errors, "CompletedWithErrors"),
        (failed, "Failed"),
        (reject, "Rejected"),
        (superseded, "Superseded"),
        (cancelled, "Cancelled"),
    ],
)
def test_each_end_is_told_once(
    telling: App,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    end: Callable[[App], None],
    kind: str,
) -> None:
    caplog.set_level(logging.INFO)
    end(telling)
    for _ in range(3):
        tick(telling)
    [post] = receiver.posts
    record = telling.record(NAME)
    assert_valid(post.event)
    assert post.event == {
        "specversion": "1.0",
        "id": f"{record.id}-{record.state.value}",
        "type": f"DeviceImporter.Import.{kind}",
        "source": f"/hubs/{quote(hub_of(telling), safe='')}",
        "subject": f"imports/{record.id}",
        "time": post.event["time"],
        "datacontenttype": "application/json",
        "data": post.event["data"],
    }
    assert post.event["time"].endswith("Z")
    assert datetime.fromisoformat(post.event["time"]) == record.finished_at
    told = post.event["data"]
    assert (told["id"], told["file"], told["hub"]) == (record.id, NAME, hub_of(telling))
    assert (told["state"], told["isFinal"]) == (record.state.value, True)
    assert told["failureReason"] == record.failure_reason
    assert (told["imported"], told["failed"]) == (record.imported, record.failed)
    assert post.headers["webhook-id"] == post.event["id"]
    assert is_signed(post, KEY.encode())
    assert unsent(telling) == []
    assert_no_secret(telling, post.body.decode() + str(post.headers))
    ours = [
        line.getMessage() for line in caplog.records if line.name.startswith(("shared", "azure"))
    ]
    assert_no_secret(telling, "\n".join(ours))


def assert_valid(event: dict[str, Any]) -> None:
    """CloudEvents 1.0: "Context Attributes" and "JSON Event Format"."""
    assert {"id", "source", "specversion", "type"} <= event.keys()
    assert event["specversion"] == "1.0"
    assert all(re.fullmatch(r"[a-z0-9]+", name) for name in event)
    texts = {name: value for name, value in event.items() if name != "data"}
    assert all(isinstance(value, str) and value for value in texts.values())
    assert re.fullmatch(r"[\w.~/%-]+", event["source"])
    assert datetime.fromisoformat(event["time"]).tzinfo is not None


def assert_no_secret(app: App, text: str) -> None:
    pattern = r"(?:Shared|Account)?AccessKey=([^;]+)|AccountKey=([^;]+)"
    keys = re.findall(pattern, app.settings["IOTHUB"] + ";" + app.settings["ImporterStorage"])
    secrets = ["c2lnbmF0dXJl", KEY, "path-secret", "query-secret", "ConnectionString"]
    secrets += [key for found in keys for key in found if key]
    assert len(secrets) > 6
    assert [secret for secret in secrets if secret in text] == []


def test_an_upload_for_no_hub(telling: App, receiver: Receiver) -> None:
    hub = telling.settings["IOTHUB"]
    telling.configure(IOTHUB=json.dumps({"north": hub, "east": hub}))
    telling.upload("south/pumps.ndjson", device("pump-1"))
    telling.deliver("south/pumps.ndjson")
    assert len(unsent(telling, NO_HUB)) == 1
    tick(telling)
    tick(telling)
    [event] = receiver.events
    assert_valid(event)
    assert event["type"] == "DeviceImporter.Import.Rejected"
    assert event["source"] == "/hubs/%28none%29"
    assert event["data"]["hub"] == NO_HUB
    assert unsent(telling, NO_HUB) == []


def test_an_idle_tick_costs_one_query_more(telling: App) -> None:
    completed(telling)
    tick(telling)
    with telling.counting() as idle:
        tick(telling)
    table = f"GET /devstoreaccount1/{telling.settings['IMPORTS_TABLE']}()"
    assert idle == [table, table]


def test_an_event_costs_four_requests(telling: App) -> None:
    reject(telling)
    with telling.counting() as told:
        tick(telling)
    by_storage = [line for line in told if not line.startswith("POST /hooks/")]
    assert len(told) - len(by_storage) == 1
    # Beside the two queries of an idle tick: the outbox, the record, and the row goes.
    assert len(by_storage) == 5


def test_without_a_receiver_nothing_is_kept(app: App) -> None:
    completed(app)
    reject(app, "bad.ndjson")
    assert app.importer.publisher is None
    assert unsent(app) == []


def test_the_receiver_is_down_and_comes_up(
    telling: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.stop()
    for number in range(3):
        reject(telling, f"{number}.ndjson")
    tick(telling)
    # The first was tried, the others wait behind it.
    *others, first = unsent(telling)
    assert (first.tries, [marker.tries for marker in others]) == (1, [0, 0])
    assert_waits(telling, first, 10)
    [warning] = [line for line in caplog.records if line.name == "shared.imports.events"]
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


def assert_waits(app: App, marker: Marker, longest: float) -> None:
    assert marker.next_try_at is not None
    wait = (marker.next_try_at - app.clock()).total_seconds()
    assert longest / 2 - 5 < wait <= longest


def test_it_waits_longer_each_time(telling: App, receiver: Receiver) -> None:
    receiver.judge = lambda _: 503
    reject(telling)
    for tries, longest in enumerate((10, 20, 40, 80, 160, 320, 600, 600), 1):
        tick(telling)
        tick(telling)
        [marker] = unsent(telling)
        assert marker.tries == len(receiver.posts) == tries
        assert_waits(telling, marker, longest)
        later(telling, LONGEST_WAIT + timedelta(seconds=1))
    assert len({event["id"] for event in receiver.events}) == 1


def test_the_receiver_asks_for_a_pause(telling: App, receiver: Receiver) -> None:
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


def test_an_event_that_is_refused_does_not_block_others(telling: App, receiver: Receiver) -> None:
    def judge(post: Post) -> int:
        return 422 if post.event["data"]["file"] == "0.ndjson" else 202

    receiver.judge = judge
    for number in range(3):
        reject(telling, f"{number}.ndjson")
    tick(telling)
    assert [event["data"]["file"][0] for event in receiver.events] == ["0", "1", "2"]
    [marker] = unsent(telling)
    assert marker.tries == 1
    receiver.judge = lambda _: 200
    later(telling, timedelta(seconds=11))
    tick(telling)
    assert receiver.events[0] == receiver.events[3]
    assert unsent(telling) == []


def test_many_that_are_refused_do_not_block_others(telling: App, receiver: Receiver) -> None:
    receiver.judge = lambda post: 202 if post.event["data"]["file"] == "last.ndjson" else 422
    for number in range(MAX_MARKERS + 1):
        reject(telling, f"{number}.ndjson")
    tick(telling)
    reject(telling, "last.ndjson")
    tick(telling)
    assert receiver.events[-1]["data"]["file"] == "last.ndjson"


def test_many_are_sent_at_once_oldest_first(telling: App, receiver: Receiver) -> None:
    for number in range(13):
        reject(telling, f"{number}.ndjson")
    tick(telling)
    assert [event["data"]["file"] for event in receiver.events] == [
        f"{number}.ndjson" for number in range(13)
    ]
    assert unsent(telling) == []


def test_an_event_is_given_up_in_the_end(
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


def test_a_record_that_was_pruned_has_no_event(telling: App, receiver: Receiver) -> None:
    reject(telling)
    record = telling.record(NAME)
    services = telling.importer.services
    services.storage.table(services.settings.imports_table).delete_entity(
        record.hub, record.row_key
    )
    tick(telling)
    assert unsent(telling) == []
    assert receiver.posts == []


def test_a_process_that_dies_before_it_notes_it_repeats_the_event(
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


def test_a_receiver_that_hangs_holds_nothing_up(telling: App, receiver: Receiver) -> None:
    receiver.may_answer.clear()
    reject(telling, "0.ndjson")
    telling.tick()
    assert receiver.got_one.wait(10)
    completed(telling)
    for _ in range(3):
        telling.tick()
    assert telling.record(NAME).state == "completed"
    # It was offered again and again, and still waits for its first answer.
    assert len(receiver.posts) == 1
    assert [marker.tries for marker in unsent(telling)] == [0, 0]
    receiver.may_answer.set()
    publisher(telling).wait()
    tick(telling)
    assert [event["data"]["file"] for event in receiver.events] == ["0.ndjson", NAME]
    assert unsent(telling) == []


def test_the_app_ends_while_the_receiver_hangs(telling: App, receiver: Receiver) -> None:
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


def test_storage_fails_while_events_are_sent(
    telling: App, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    reject(telling)
    record = telling.record(NAME)

    def fail(request: str) -> None:
        if record.row_key in request:
            raise RuntimeError("the disk is on fire")

    telling.before_request = fail
    tick(telling)
    assert "events wait for a later tick" in caplog.text
    assert receiver.posts == []
    telling.before_request = lambda _: None
    tick(telling)
    assert len(receiver.posts) == 1


def test_a_topic_without_a_key_is_met_with_the_apps_identity(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(importer, "entra_credential", lambda _, client_id: asked.append(client_id))
    topic = "https://fleet.westeurope-1.eventgrid.azure.net/api/events"
    app.configure(EVENTS_URL=topic, IOTHUB_CLIENT_ID="hub-identity")
    publisher(app)
    assert asked == ["hub-identity"]
