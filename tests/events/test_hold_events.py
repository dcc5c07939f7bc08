"""Events of imports that are held, approved or declined."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.imports.workflow.events import event_of_approval, event_of_hold
from tests.app import App, device
from tests.events.receiver import Receiver
from tests.events.support import (
    KEY,
    assert_no_secret,
    hub_of,
    later,
    pending_events,
    publisher,
    tick,
)
from tests.imports.guards import advance, approve, current, decline, held, is_held
from tests.imports.plans import NAME, rows_of

FILE = (device("pump-1", importMode="create"),)


@pytest.fixture
def holding(app_with_receiver: App) -> App:
    app_with_receiver.configure(APPROVAL="always")
    return app_with_receiver


def delivered(app: App, receiver: Receiver) -> list[dict[str, Any]]:
    publisher(app).wait()
    tick(app)
    return receiver.events


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Type, and state of the import in the event."""
    return [(event["type"].rpartition(".")[2], event["data"]["state"]) for event in events]


def finish(app: App) -> None:
    app.finish()
    publisher(app).wait()


def test_hold_approval_and_end(holding: App, receiver: Receiver) -> None:
    record = held(holding, *FILE)
    [event] = delivered(holding, receiver)
    assert kinds([event]) == [("Held", "held")]
    assert event["subject"] == f"imports/{record.id}"
    assert event["data"]["failureReason"] == record.failure_reason
    approve(holding, record)
    finish(holding)
    events = delivered(holding, receiver)
    assert kinds(events) == [("Held", "held"), ("Approved", "queued"), ("Completed", "completed")]
    assert len({event["id"] for event in events}) == 3
    assert pending_events(holding) == []


def test_decline_is_an_end(holding: App, receiver: Receiver) -> None:
    record = held(holding, *FILE)
    decline(holding, record, f"no, AccountKey={KEY}")
    events = delivered(holding, receiver)
    assert kinds(events) == [("Held", "held"), ("Cancelled", "cancelled")]
    assert "declined" in events[1]["data"]["failureReason"]
    assert_no_secret(holding, str([post.body for post in receiver.posts]))


def test_event_is_what_was_then(holding: App, receiver: Receiver) -> None:
    receiver.judge = lambda _: 503
    record = held(holding, *FILE)
    approve(holding, record)
    finish(holding)
    assert [event.name for event in pending_events(holding) if event.attempts]
    receiver.posts.clear()
    receiver.judge = lambda _: 204
    for _ in range(3):
        later(holding, timedelta(minutes=11))
        tick(holding)
    assert sorted(kinds(receiver.events)) == [
        ("Approved", "queued"),
        ("Completed", "completed"),
        ("Held", "held"),
    ]
    assert pending_events(holding) == []


@pytest.mark.parametrize("status", [422, 500, 503])
def test_repeats_have_the_same_id_and_content(
    holding: App, receiver: Receiver, status: int
) -> None:
    receiver.judge = lambda _: status
    held(holding, *FILE)
    delivered(holding, receiver)
    for _ in range(2):
        later(holding, timedelta(minutes=11))
        tick(holding)
    bodies = [post.body for post in receiver.posts]
    assert len(bodies) >= 3
    assert len(set(bodies)) == 1
    [pending] = pending_events(holding)
    assert pending.attempts == len(bodies)


def test_event_expires(holding: App, receiver: Receiver) -> None:
    receiver.judge = lambda _: 503
    held(holding, *FILE)
    delivered(holding, receiver)
    later(holding, timedelta(hours=25))
    tick(holding)
    assert pending_events(holding) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5", "[" * 5000])
def test_row_whose_event_was_edited_is_removed(holding: App, receiver: Receiver, text: str) -> None:
    receiver.judge = lambda _: 503
    record = held(holding, *FILE)
    delivered(holding, receiver)
    [row] = rows_of(holding, "send")
    holding.table.upsert_entity({**row, "event": text})
    receiver.posts.clear()
    receiver.judge = lambda _: 204
    later(holding, timedelta(minutes=11))
    tick(holding)
    assert receiver.posts == []
    assert pending_events(holding) == []
    assert current(holding, record).state == "held"


def test_event_survives_its_record(holding: App, receiver: Receiver) -> None:
    receiver.judge = lambda _: 503
    record = held(holding, *FILE)
    delivered(holding, receiver)
    holding.table.delete_entity(record.hub, record.row_key)
    receiver.posts.clear()
    receiver.judge = lambda _: 204
    later(holding, timedelta(minutes=11))
    tick(holding)
    assert kinds(receiver.events) == [("Held", "held")]


def test_second_hold_has_another_id(holding: App, receiver: Receiver) -> None:
    record = held(holding, *FILE)
    again = replace(record, history=(*record.history, (record.state, record.updated_at)))
    assert event_of_hold(record) == event_of_hold(record)
    ids = {event_of_hold(record)["id"], event_of_hold(again)["id"], event_of_approval(record)["id"]}
    assert len(ids) == 3
    ended = decline(holding, record)
    retry = is_held(holding, holding.importer.actions.retry(ended))
    assert event_of_hold(retry)["id"] not in ids
    assert hub_of(holding) == retry.hub


def test_nothing_is_written_without_a_receiver(app: App) -> None:
    app.configure(APPROVAL="always")
    record = held(app, *FILE, name=NAME)
    approve(app, record)
    advance(app, 2)
    app.finish()
    assert rows_of(app, "send") == []
