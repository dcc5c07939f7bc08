"""Rows that stand for work: a place in a hub's queue, and an event that is still to be sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.imports.model.record import import_id_of, record_key_of, uploaded_at_of
from shared.imports.store.rows import plain

__all__ = ["Marker", "Work", "event_of_row", "is_event", "place_of_row"]

#: RowKeys of events, as `event_key` writes them.
_EVENT_KEY = re.compile(r"send-([0-9]{13})-")


@dataclass(frozen=True)
class Marker:
    """Stands in a hub's queue for an open import, or for the event of one that has ended."""

    row_key: str
    #: RowKey of the import's record; "" if the row of an event has none.
    record_key: str
    #: How often an event was sent in vain, and when it is sent again.
    tries: int = 0
    next_try_at: datetime | None = None
    #: Of an event: when its import ended.
    since: datetime | None = None

    @property
    def import_id(self) -> str:
        return import_id_of(self.row_key)

    @property
    def uploaded_at(self) -> datetime:
        """Of a marker in the queue."""
        return uploaded_at_of(self.record_key)


@dataclass(frozen=True)
class Work:
    """What is to be done for a hub: the oldest open imports, and ends that nobody was told of."""

    queue: list[Marker]
    unsent: list[Marker]


def is_event(row_key: str) -> bool:
    return row_key.startswith("send-")


def place_of_row(row: Mapping[str, Any]) -> Marker:
    """The place in the queue of a row, by its RowKey alone.

    Raises:
        ValueError: the RowKey is not that of a place in the queue.
    """
    return Marker(row["RowKey"], record_key_of(row["RowKey"]))


def event_of_row(row: Mapping[str, Any]) -> Marker:
    """The event of a row. People edit rows: columns that are invalid are ignored.

    The next try is due at the time in the RowKey, by which rows are sorted: an event that is not
    due never precedes one that is.
    """
    columns = plain(row)
    key = _EVENT_KEY.match(columns["RowKey"])
    due = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(key[1])) if key else None
    record, tries, since = (columns.get(name) for name in ("record", "tries", "since"))
    if not isinstance(tries, int) or not 0 < tries < 1_000_000:
        tries = 0
    if not isinstance(since, datetime) or since.tzinfo is None:
        since = due
    return Marker(
        columns["RowKey"],
        record if isinstance(record, str) else "",
        tries,
        due if tries else None,
        min(since, due) if since and due else since,
    )
