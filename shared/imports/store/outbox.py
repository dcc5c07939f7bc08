"""The outbox: a row for each event that no receiver has accepted yet.

It is written in one transaction with the record. What is due first sorts first. The event of an end
is made from the final record, which never changes; any other is kept in its row.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from shared.imports.model.keys import event_due_at, event_key, event_name_of, import_id_of
from shared.imports.model.record import ImportRecord
from shared.imports.store.rows import SCHEMA, python_values
from shared.imports.store.table import ImportsTable

__all__ = ["MAX_EVENTS", "Outbox", "PendingEvent", "is_event"]

#: Events that are read at once.
MAX_EVENTS = 10

#: More attempts than an event can have were not counted by the app.
_MAX_ATTEMPTS = 1_000_000


@dataclass(frozen=True)
class PendingEvent:
    """An event that is to be sent."""

    row_key: str
    #: Row key of the import's record; "" if the row was edited and has none.
    record_key: str
    #: How often sending it failed, and when it is sent again.
    attempts: int = 0
    next_try_at: datetime | None = None
    #: When it happened.
    happened_at: datetime | None = None
    #: "" for the event of an end.
    name: str = ""
    #: The event itself; None for that of an end.
    event: dict[str, Any] | None = None

    @property
    def import_id(self) -> str:
        return import_id_of(self.row_key)


def is_event(row_key: str) -> bool:
    return row_key.startswith("send-")


class Outbox:
    """Reads and writes the rows of events; unused where no receiver is configured."""

    def __init__(self, table: ImportsTable, *, is_used: bool) -> None:
        self._table = table
        self.is_used = is_used

    def rows_for(self, record: ImportRecord) -> list[dict[str, Any]]:
        """What is written with a final record."""
        return [_row(record, event_key(record.ended_at, record.id))] if self.is_used else []

    def rows_of(self, record: ImportRecord, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is written with a record that has entered a state that is not final."""
        if not self.is_used:
            return []
        state, entered_at = record.history[-1]
        key = event_key(entered_at, record.id, f"{state}{len(record.history)}")
        return [{**_row(record, key), "event": json.dumps(event)}]

    def pending(self, hub: str) -> list[PendingEvent]:
        """The events of a hub that are due first."""
        rows = self._table.range(hub, "send-", "send.", page=MAX_EVENTS)
        return [self.event_of(row) for row in islice(rows, MAX_EVENTS)]

    def event_of(self, row: Mapping[str, Any]) -> PendingEvent:
        """The event of a row, of which invalid columns are ignored.

        It is due at the time in its row key, by which rows are sorted: an event that is not due
        never precedes one that is.
        """
        columns = python_values(row)
        due = event_due_at(columns["RowKey"])
        record, attempts, happened_at, text = (
            columns.get(name) for name in ("record", "attempts", "since", "event")
        )
        if not isinstance(attempts, int) or not 0 < attempts < _MAX_ATTEMPTS:
            attempts = 0
        if not isinstance(happened_at, datetime) or happened_at.tzinfo is None:
            happened_at = due
        return PendingEvent(
            columns["RowKey"],
            record if isinstance(record, str) else "",
            attempts,
            due if attempts else None,
            min(happened_at, due) if happened_at and due else happened_at,
            event_name_of(columns["RowKey"]),
            _event(text),
        )

    def remove(self, hub: str, event: PendingEvent) -> None:
        """Delete the row of an event that is never sent again."""
        self._table.delete(hub, event.row_key)

    def postpone(self, hub: str, event: PendingEvent, until: datetime, now: datetime) -> None:
        """Count a failed attempt; the row moves behind those that are due before.

        Nothing happens if another process removed the row.
        """
        moved = {
            "PartitionKey": hub,
            "RowKey": event_key(until, event.import_id, event.name),
            "record": event.record_key,
            **({} if event.event is None else {"event": json.dumps(event.event)}),
            "attempts": event.attempts + 1,
            "since": min(event.happened_at or now, now),
            # For people: the app uses the time in the row key.
            "nextTryAt": until,
            "schema": SCHEMA,
        }
        removed = {"PartitionKey": hub, "RowKey": event.row_key}
        with contextlib.suppress(ResourceNotFoundError):
            self._table.transact([("delete", removed), ("upsert", moved)])


def _row(record: ImportRecord, row_key: str) -> dict[str, Any]:
    return {
        "PartitionKey": record.hub,
        "RowKey": row_key,
        "record": record.row_key,
        "schema": SCHEMA,
    }


def _event(text: object) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, RecursionError):
        event = json.loads(text) if isinstance(text, str) else None
        return event if isinstance(event, dict) else None
    return None
