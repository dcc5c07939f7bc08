"""The outbox: a row for each event of an end that no receiver has accepted yet.

It is written in one transaction with the final record. What is due first sorts first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from shared.imports.model.keys import event_due_at, event_key, import_id_of
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
    """The event of an import that has ended."""

    row_key: str
    #: Row key of the import's record; "" if the row was edited and has none.
    record_key: str
    #: How often sending it failed, and when it is sent again.
    attempts: int = 0
    next_try_at: datetime | None = None
    ended_at: datetime | None = None

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
        if not self.is_used:
            return []
        return [
            {
                "PartitionKey": record.hub,
                "RowKey": event_key(record.ended_at, record.id),
                "record": record.row_key,
                "schema": SCHEMA,
            }
        ]

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
        record, attempts, ended_at = (columns.get(name) for name in ("record", "attempts", "since"))
        if not isinstance(attempts, int) or not 0 < attempts < _MAX_ATTEMPTS:
            attempts = 0
        if not isinstance(ended_at, datetime) or ended_at.tzinfo is None:
            ended_at = due
        return PendingEvent(
            columns["RowKey"],
            record if isinstance(record, str) else "",
            attempts,
            due if attempts else None,
            min(ended_at, due) if ended_at and due else ended_at,
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
            "RowKey": event_key(until, event.import_id),
            "record": event.record_key,
            "attempts": event.attempts + 1,
            "since": min(event.ended_at or now, now),
            # For people: the app uses the time in the row key.
            "nextTryAt": until,
            "schema": SCHEMA,
        }
        removed = {"PartitionKey": hub, "RowKey": event.row_key}
        with contextlib.suppress(ResourceNotFoundError):
            self._table.transact([("delete", removed), ("upsert", moved)])
