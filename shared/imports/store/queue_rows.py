"""The queue of each hub: one row for each open import, the oldest upload first.

Open imports are found at the same cost however long the history is. The hub's jobs sort directly
before the queue and the events that are still to be sent directly behind it, so that one query
reads all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import Any

from azure.data.tables import TableEntity

from shared.imports.model.keys import import_id_of, queued_at_of, record_key_of, uploaded_at_of
from shared.imports.model.record import ImportRecord
from shared.imports.store.outbox import Outbox, PendingEvent, is_event
from shared.imports.store.rows import SCHEMA
from shared.imports.store.table import ImportsTable
from shared.logs import logger

__all__ = ["MAX_ROWS", "OpenWork", "QueueRow", "QueueRows", "queue_row"]

log = logger(__name__)

#: Queue rows that a tick reads at once.
MAX_ROWS = 10

#: Jobs of a hub that a page has room for: one that runs, and those whose imports are being ended.
MAX_JOBS = 5


@dataclass(frozen=True)
class QueueRow:
    """Stands in a hub's queue for an open import."""

    row_key: str
    #: Row key of the import's record.
    record_key: str

    @property
    def import_id(self) -> str:
        return import_id_of(self.row_key)

    @property
    def queued_at(self) -> datetime:
        """The time by which it is sorted: of the upload, or of the approval."""
        return queued_at_of(self.row_key) or uploaded_at_of(self.record_key)


@dataclass
class OpenWork:
    """What is to be done for a hub."""

    #: Rows of its jobs that are not over.
    jobs: list[TableEntity] = field(default_factory=list)
    #: The oldest open imports.
    queue: list[QueueRow] = field(default_factory=list)
    events: list[PendingEvent] = field(default_factory=list)


def queue_row(record: ImportRecord) -> dict[str, Any]:
    return {"PartitionKey": record.hub, "RowKey": record.queue_key, "schema": SCHEMA}


class QueueRows:
    """Reads and writes queue rows."""

    def __init__(self, table: ImportsTable, outbox: Outbox) -> None:
        self._table = table
        self._outbox = outbox

    def oldest(self, hub: str, limit: int = MAX_ROWS) -> list[QueueRow]:
        """The oldest open imports of a hub: one query in any history, and a thousand rows."""
        rows = self._table.range(hub, "queue-", "queue.", page=limit)
        return list(islice(chain.from_iterable(map(_valid, rows)), limit))

    def open_work(self, hub: str, limit: int = MAX_ROWS) -> OpenWork:
        """The hub's jobs, the oldest open imports and the next events to send.

        One query if the queue is shorter than the limit.
        """
        end = "send." if self._outbox.is_used else "queue."
        work = OpenWork()
        for row in self._table.range(hub, "job-", end, page=limit + MAX_JOBS):
            if len(work.queue) + len(work.events) == limit:
                break
            if row["RowKey"].startswith("job-"):
                work.jobs.append(row)
            elif is_event(row["RowKey"]):
                work.events.append(self._outbox.event_of(row))
            else:
                work.queue += _valid(row)
        if len(work.queue) == limit and self._outbox.is_used:
            work.events = self._outbox.pending(hub)
        return work

    def has_row(self, record: ImportRecord) -> bool:
        """Whether the import has a queue row, whenever it was first seen."""
        start, _, import_id = record.new_queue_key.rsplit("-", 2)
        rows = self._table.range(record.hub, f"{start}-", f"{start}.", columns=())
        return any(import_id_of(row["RowKey"]) == import_id for row in rows)

    def remove(self, hub: str, row: QueueRow) -> None:
        """Delete the queue row of an import that is final, or whose record was deleted."""
        self._table.delete(hub, row.row_key)

    def restore(self, record: ImportRecord) -> None:
        """Write the queue row of an open import again."""
        self._table.upsert(queue_row(record))


def _valid(row: Mapping[str, Any]) -> list[QueueRow]:
    """The queue row; nothing if its key was edited."""
    try:
        return [QueueRow(row["RowKey"], record_key_of(row["RowKey"]))]
    except ValueError as error:
        log.warning("%s and is ignored", error)
        return []
