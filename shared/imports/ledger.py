"""The table of imports: one record an import for ever, one queue marker while it is not final.

PartitionKey is the hub's name. A record's RowKey begins with `import-`, a marker's with `queue-`,
so open work is found at the same cost however long the history is. `id-` leads from an import's id
to its record, `day-` counts what ended on a day, `send-` is an event that is still to be sent. What
belongs together is written in one transaction, and a write is guarded by the ETag that was read.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from shared.errors import TemporaryError
from shared.imports.days import Day, day_key
from shared.imports.entities import cause_of, plain, to_entity, to_record, typed
from shared.imports.record import (
    TRANSITIONS,
    ImportRecord,
    ImportState,
    event_key,
    index_key,
)
from shared.imports.steps import ended

__all__ = ["NOBODY", "NOTHING_TO_WAIT_FOR", "ConflictError", "Ledger", "Marker", "Work"]

#: Columns of an import that no process works on, and of one that waits for nothing.
NOBODY: dict[str, Any] = {"owner": "", "lease_until": None}
NOTHING_TO_WAIT_FOR: dict[str, Any] = {
    "place": None,
    "tries": 0,
    "next_try_at": None,
    "refused_since": None,
    "lost_since": None,
}

#: The furthest place in a queue that is counted when an import enters it.
MAX_PLACE = 100

#: Markers that a tick reads at once.
MAX_MARKERS = 10

#: How often an end is written anew because other imports of its hub ended meanwhile.
MAX_TRIES = 20

#: State changes that a record keeps; an import that waits for its hub for days makes many.
MAX_HISTORY = 50


class ConflictError(TemporaryError):
    """Another process changed the record first."""


@dataclass(frozen=True)
class Marker:
    """Stands in a hub's queue for an open import, or for the event of one that has ended."""

    row_key: str
    #: RowKey of the import's record.
    record_key: str
    #: How often an event was sent in vain, and when it is sent again.
    tries: int = 0
    next_try_at: datetime | None = None

    @property
    def uploaded_at(self) -> datetime:
        """Of a marker in the queue."""
        return datetime.fromtimestamp(int(self.row_key.split("-")[1]) / 1000, UTC)


@dataclass(frozen=True)
class Work:
    """What is to be done for a hub: the oldest open imports, and ends that nobody was told of."""

    queue: list[Marker]
    unsent: list[Marker]


class Ledger:
    """Reads and writes imports. The table is made when it is first missed.

    With `announces`, the end of each import leaves a row for the event that tells of it.
    """

    def __init__(
        self, table: TableClient, clock: Callable[[], datetime], *, announces: bool = False
    ) -> None:
        self._table = table
        self._clock = clock
        self._announces = announces
        #: By hub: the counts of the day as they were last written here, with their ETag.
        self._days: dict[str, tuple[Day, str]] = {}

    def create(self, record: ImportRecord) -> tuple[ImportRecord, bool]:
        """Write a new import, with its marker unless it is final already.

        Returns:
            The record as the table has it, and whether this call made it.
        """
        now = self._clock()
        record = record.model_copy(
            update={
                "created_at": now,
                "updated_at": now,
                "history": ((record.state, now),),
                "stamp": uuid.uuid4().hex,
            }
        )
        operations: list[Any] = []
        if record.state.is_final:
            record = record.model_copy(update={"finished_at": now})
        else:
            record = record.model_copy(update={"marker": record.marker_key()})
            operations = [("create", _marker(record))]
        index = {**_key(record, index_key(record.id)), "record": record.row_key}
        operations = [("create", to_entity(record)), *operations, ("upsert", index)]
        created, is_ours = self._create(record, operations)
        if is_ours and created.state.is_final:
            ended(created)
        return created, is_ours

    def _create(self, record: ImportRecord, operations: list[Any]) -> tuple[ImportRecord, bool]:
        try:
            try:
                return self._submit(record, operations), True
            except ResourceNotFoundError:
                with contextlib.suppress(ResourceExistsError):
                    self._table.create_table()
                return self._submit(record, operations), True
        except ResourceExistsError:
            existing = self.get(record.hub, record.row_key)
            # Ours after all, if the answer to a first try was lost.
            return existing, existing.stamp == record.stamp

    def get(self, hub: str, row_key: str) -> ImportRecord:
        """The record as it is now.

        Raises:
            ResourceNotFoundError: there is none.
        """
        return to_record(self._table.get_entity(hub, row_key))

    def imports(self, hub: str) -> Iterator[ImportRecord]:
        """All imports of a hub, the newest upload first."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'import.'",
            parameters={"hub": hub},
        )
        try:
            yield from map(to_record, rows)
        except ResourceNotFoundError:
            return

    def queue(self, hub: str, limit: int = MAX_MARKERS) -> list[Marker]:
        """The oldest open imports of the hub: one query in any history, and a thousand markers."""
        return self._markers(hub, "queue-", "queue.", limit)

    def unsent(self, hub: str) -> list[Marker]:
        """The oldest ends of the hub's imports of which no event was sent."""
        return self._markers(hub, "send-", "send.", MAX_MARKERS)

    def work(self, hub: str) -> Work:
        """The heads of both, by one query unless the queue is long."""
        if not self._announces:
            return Work(self.queue(hub), [])
        markers = self._markers(hub, "queue-", "send.", MAX_MARKERS)
        queue = [marker for marker in markers if marker.row_key.startswith("queue-")]
        unsent = self.unsent(hub) if len(queue) == MAX_MARKERS else markers[len(queue) :]
        return Work(queue, unsent)

    def _markers(self, hub: str, start: str, end: str, limit: int) -> list[Marker]:
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @start and RowKey lt @end",
            parameters={"hub": hub, "start": start, "end": end},
            # A page holds a thousand rows at most (learn: "Query timeout and pagination").
            results_per_page=min(limit, 1000),
        )
        try:
            return [
                Marker(row["RowKey"], row["record"], row.get("tries", 0), row.get("nextTryAt"))
                for row in islice(rows, limit)
            ]
        except ResourceNotFoundError:
            return []

    def place(self, record: ImportRecord) -> int | None:
        """The import's place in the queue from 1; None from `MAX_PLACE` on: one query."""
        ahead = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge 'queue-' and RowKey lt @marker",
            parameters={"hub": record.hub, "marker": record.marker},
            select=["RowKey"],
            results_per_page=MAX_PLACE,
        )
        place = 1 + sum(1 for _ in islice(ahead, MAX_PLACE))
        return place if place <= MAX_PLACE else None

    def remove_marker(self, hub: str, marker: Marker) -> None:
        """Take away a marker whose import is final or gone, or whose event was sent."""
        self._table.delete_entity(hub, marker.row_key)

    def put_off(self, hub: str, marker: Marker, until: datetime) -> None:
        """Note that an event was sent in vain; its row moves behind those that are due before it.

        Nothing happens if another process took the row away meanwhile.
        """
        moved = {
            "PartitionKey": hub,
            "RowKey": event_key(until, marker.row_key.rpartition("-")[2]),
            "record": marker.record_key,
            "tries": marker.tries + 1,
            "nextTryAt": until,
        }
        try:
            self._transact(
                [("delete", {"PartitionKey": hub, "RowKey": marker.row_key}), ("upsert", moved)]
            )
        except TableTransactionError as error:
            if error.status_code != 404:
                raise

    def restore_marker(self, record: ImportRecord) -> None:
        """Put back the marker of an import that is not final."""
        self._table.upsert_entity(_marker(record))

    def find(self, hub: str, import_id: str) -> ImportRecord | None:
        """The import with this id: two reads in any history."""
        try:
            index = self._table.get_entity(hub, index_key(import_id))
            return self.get(hub, index["record"])
        except ResourceNotFoundError:
            return None

    def jobs_started_since(self, hub: str, time: datetime) -> set[str]:
        """Ids of the jobs that imports were given since then.

        Looks through the hub's whole history: for rare occasions only.
        """
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'import.' "
            "and lastStartAt ge @time",
            parameters={"hub": hub, "time": time},
            select=["jobId"],
        )
        return {row["jobId"] for row in rows if row.get("jobId")}

    def transition(self, record: ImportRecord, state: ImportState, **changes: Any) -> ImportRecord:
        """Move the import to another state; a final one takes its marker away with it.

        Raises:
            ConflictError: the record is no longer as it was read.
            ValueError: there is no way from its state to that one.
        """
        if state not in TRANSITIONS[record.state]:
            raise ValueError(f"import {record.id}: no way from {record.state} to {state}")
        now = self._clock()
        history = (*record.history, (state, now))
        if len(history) > MAX_HISTORY:
            history = (*history[:10], *history[10 - MAX_HISTORY :])
        changes |= {"state": state, "history": history}
        if state.is_final:
            changes |= {"finished_at": now, **NOBODY, **NOTHING_TO_WAIT_FOR}
        record = self._replace(record, changes)
        if state.is_final:
            ended(record)
        return record

    def update(self, record: ImportRecord, **changes: Any) -> ImportRecord:
        """Change members of an import that stays in its state.

        Raises:
            ConflictError: the record is no longer as it was read.
        """
        if record.state.is_final:
            raise ValueError(f"import {record.id} is final: {record.state}")
        return self._replace(record, changes)

    def _replace(self, record: ImportRecord, changes: dict[str, Any]) -> ImportRecord:
        changed = record.model_copy(
            update={**changes, "updated_at": self._clock(), "stamp": uuid.uuid4().hex}
        )
        guard = _guard(record.etag)
        try:
            if changed.state.is_final:
                return self._submit(
                    changed, [("update", to_entity(changed), guard), ("delete", _marker(changed))]
                )
            # By itself it takes a third of the time of a transaction.
            metadata = self._table.update_entity(to_entity(changed), **guard)
            return changed.model_copy(update={"etag": metadata["etag"]})
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            existing = self.get(record.hub, record.row_key)
            if existing.stamp == changed.stamp:
                return existing
            raise ConflictError(
                f"The import changed from {record.state} to {existing.state} meanwhile."
            ) from error

    def _submit(self, record: ImportRecord, operations: list[Any]) -> ImportRecord:
        """Do the operations, the first of which writes the record, and count what is final."""
        if not record.state.is_final:
            try:
                metadata = self._transact(operations)
            except TableTransactionError as error:
                raise cause_of(error) from error
            return record.model_copy(update={"etag": metadata[0]["etag"]})
        if self._announces:
            due = record.finished_at or record.updated_at
            event = {**_key(record, event_key(due, record.id)), "record": record.row_key}
            operations = [*operations, ("upsert", event)]
        key = day_key(record.finished_at or record.updated_at)
        for _ in range(MAX_TRIES):
            day, count = self._count(key, record)
            try:
                metadata = self._transact([*operations, count])
            except TableTransactionError as error:
                self._days.pop(record.hub, None)
                if error.index != len(operations):
                    raise cause_of(error) from error
                self._read_day(record.hub, key)
            else:
                self._days[record.hub] = (day, metadata[-1]["etag"])
                return record.model_copy(update={"etag": metadata[0]["etag"]})
        raise ConflictError("Too many others of the import's hub end at this moment.")

    def _transact(self, operations: list[Any]) -> list[Any]:
        # A transaction is a POST, which azure-core sends again only if told to; a second try is
        # recognised by the stamp.
        return list(
            self._table.submit_transaction(operations, retry_on_methods=frozenset({"POST"}))
        )

    def _count(self, key: str, record: ImportRecord) -> tuple[Day, Any]:
        """The counts of the day with one more import, and the operation that writes them."""
        day, etag = self._days.get(record.hub, (None, ""))
        if day is None or day.row_key != key:
            day = Day.of_key(key).plus(record)
            return day, ("create", typed({**_key(record, key), **day.to_columns()}))
        day = day.plus(record)
        row = typed({**_key(record, key), **day.to_columns()})
        return day, ("update", row, _guard(etag))

    def _read_day(self, hub: str, key: str) -> None:
        with contextlib.suppress(ResourceNotFoundError):
            row = self._table.get_entity(hub, key)
            self._days[hub] = (Day.of_row(plain(row)), str(row.metadata["etag"]))


def _key(record: ImportRecord, row_key: str) -> dict[str, str]:
    return {"PartitionKey": record.hub, "RowKey": row_key}


def _guard(etag: str) -> dict[str, Any]:
    """Replace the row only as it was read."""
    return {
        "mode": UpdateMode.REPLACE,
        "etag": etag,
        "match_condition": MatchConditions.IfNotModified,
    }


def _marker(record: ImportRecord) -> dict[str, Any]:
    return {**_key(record, record.marker), "record": record.row_key}
