"""One event for each final import; events contain no secrets."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from shared.imports.model.record import NO_HUB
from tests.app import App, device
from tests.events.receiver import Receiver
from tests.events.support import (
    KEY,
    NAME,
    assert_no_secret,
    completed,
    configure_two_hubs,
    hub_of,
    pending_events,
    reject,
    tick,
)
from tests.events.test_webhook import is_signed


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
    app.importer.actions.cancel(app.record(NAME))


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
def test_one_event_per_final_import(
    app_with_receiver: App,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    end: Callable[[App], None],
    kind: str,
) -> None:
    caplog.set_level(logging.INFO)
    end(app_with_receiver)
    for _ in range(3):
        tick(app_with_receiver)
    [post] = receiver.posts
    record = app_with_receiver.record(NAME)
    assert_valid(post.event)
    assert post.event == {
        "specversion": "1.0",
        "id": f"{record.id}-{record.state.value}",
        "type": f"DeviceImporter.Import.{kind}",
        "source": f"/hubs/{quote(hub_of(app_with_receiver), safe='')}",
        "subject": f"imports/{record.id}",
        "time": post.event["time"],
        "datacontenttype": "application/json",
        "data": post.event["data"],
    }
    assert post.event["time"].endswith("Z")
    assert datetime.fromisoformat(post.event["time"]) == record.finished_at
    data = post.event["data"]
    assert (data["id"], data["file"], data["hub"]) == (record.id, NAME, hub_of(app_with_receiver))
    assert (data["state"], data["isFinal"]) == (record.state.value, True)
    assert data["failureReason"] == record.failure_reason
    assert (data["imported"], data["failed"]) == (record.imported, record.failed)
    assert data["unchanged"] is None
    assert post.headers["webhook-id"] == post.event["id"]
    assert is_signed(post, KEY.encode())
    assert pending_events(app_with_receiver) == []
    assert_no_secret(app_with_receiver, post.body.decode() + str(post.headers))
    log_lines = [
        line.getMessage() for line in caplog.records if line.name.startswith(("shared", "azure"))
    ]
    assert_no_secret(app_with_receiver, "\n".join(log_lines))


def assert_valid(event: dict[str, Any]) -> None:
    """CloudEvents 1.0: "Context Attributes" and "JSON Event Format"."""
    assert {"id", "source", "specversion", "type"} <= event.keys()
    assert event["specversion"] == "1.0"
    assert all(re.fullmatch(r"[a-z0-9]+", name) for name in event)
    texts = {name: value for name, value in event.items() if name != "data"}
    assert all(isinstance(value, str) and value for value in texts.values())
    assert re.fullmatch(r"[\w.~/%-]+", event["source"])
    assert datetime.fromisoformat(event["time"]).tzinfo is not None


def test_event_of_an_upload_for_no_hub(app_with_receiver: App, receiver: Receiver) -> None:
    configure_two_hubs(app_with_receiver)
    app_with_receiver.upload("south/pumps.ndjson", device("pump-1"))
    app_with_receiver.deliver("south/pumps.ndjson")
    tick(app_with_receiver)
    tick(app_with_receiver)
    [event] = receiver.events
    assert_valid(event)
    assert event["type"] == "DeviceImporter.Import.Rejected"
    assert event["source"] == "/hubs/%28none%29"
    assert event["data"]["hub"] == NO_HUB
    assert pending_events(app_with_receiver, NO_HUB) == []


def test_idle_tick_sends_no_additional_query(app_with_receiver: App) -> None:
    completed(app_with_receiver)
    tick(app_with_receiver)
    with app_with_receiver.counting() as idle:
        tick(app_with_receiver)
    table = f"GET /devstoreaccount1/{app_with_receiver.settings['IMPORTS_TABLE']}()"
    assert idle == [table]


def test_event_needs_four_requests(app_with_receiver: App) -> None:
    # This tick stores the timer's timestamp, which happens once a minute.
    tick(app_with_receiver)
    reject(app_with_receiver)
    with app_with_receiver.counting() as requests:
        tick(app_with_receiver)
    by_storage = [line for line in requests if not line.startswith("POST /hooks/")]
    assert len(requests) - len(by_storage) == 1
    # In addition to an idle tick's query: read outbox and record, delete the row.
    assert len(by_storage) == 4


def test_no_events_are_stored_without_a_receiver(app: App) -> None:
    completed(app)
    reject(app, "bad.ndjson")
    assert app.importer.publisher is None
    assert pending_events(app) == []


def test_event_of_a_planned_import(app_with_receiver: App, receiver: Receiver) -> None:
    app = app_with_receiver
    app.configure(APPLY="changes", IOTHUB=app.hub.connection_string("iothubowner"))
    certificates = {"type": "certificateAuthority"}
    for name in ("pump-1", "pump-2"):
        app.hub.registry.put(device(name, authentication=certificates))
    app.upload(NAME, *(device(f"pump-{n}", authentication=certificates) for n in (1, 2, 3)))
    app.deliver(NAME)
    app.finish()
    tick(app)
    [post] = receiver.posts
    data = post.event["data"]
    assert (data["imported"], data["failed"], data["unchanged"]) == (1, 0, 2)
    assert {"plan.json", "plan.csv"} <= set(data["files"])
