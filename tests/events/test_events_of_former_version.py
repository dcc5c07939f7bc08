"""The version before takes each row of the outbox for the event of an end, and writes it again."""

from __future__ import annotations

from shared.imports.model.keys import event_key
from shared.imports.model.safeguards import UNKNOWN
from tests.app import App, device
from tests.events.receiver import Receiver
from tests.events.support import NAME, hub_of, pending_events, publisher, tick
from tests.records import read_records


def _hold(app: App) -> None:
    app.configure(APPROVAL="always")
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    for _ in range(2):
        app.hub.wait_idle()
        app.tick()
    publisher(app).wait()


def _write_again(app: App) -> None:
    """As the version before leaves the row of an event: without its name and the event itself."""
    [record] = read_records(app.importer.services, hub_of(app))
    app.table.upsert_entity(
        {
            "PartitionKey": record.hub,
            "RowKey": event_key(app.clock(), record.id),
            "record": record.row_key,
            "since": app.clock(),
            "schema": 3,
        }
    )


def test_event_of_a_hold_is_sent_as_that(app_with_receiver: App, receiver: Receiver) -> None:
    _hold(app_with_receiver)
    [held] = receiver.events
    _write_again(app_with_receiver)
    tick(app_with_receiver)
    assert receiver.events == [held, held]
    assert pending_events(app_with_receiver) == []


def test_no_end_is_reported_of_an_open_import(app_with_receiver: App, receiver: Receiver) -> None:
    app = app_with_receiver
    _hold(app)
    [record] = read_records(app.importer.services, hub_of(app))
    app.hub.occupy_slot()
    app.importer.approvals.approve(record, record.hold.digest, 0, UNKNOWN)
    _write_again(app)
    tick(app)
    assert [event["type"].rpartition(".")[2] for event in receiver.events] == ["Held", "Approved"]
    assert pending_events(app) == []
