"""The table of imports: one record an import for ever, one queue marker while it is not final.

PartitionKey is the hub's name. A record's RowKey begins with `import-`, a marker's with `queue-`,
so open work is found at the same cost however long the history is. Both rows of an import are
written in one transaction, and every write is guarded by the ETag that was read.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
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
from shared.imports.entities import cause_of, to_entity, to_record
from shared.imports.record import TRANSITIONS, ImportRecord, ImportState

__all__ = ["NOBODY", "NOTHING_TO_WAIT_FOR", "ConflictError", "Ledger", "Marker"]

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

#: State changes that a record keeps; an import that waits for its hub for days makes many.
MAX_HISTORY = 50


class ConflictError(TemporaryError):
    """Another process changed the record first."""


@dataclass(frozen=True)
class Marker:
    """Stands in a hub's queue for an open import."""

    row_key: str
    #: RowKey of the import's record.
    record_key: str


class Ledger:
    """Reads and writes imports. The table is made when it is first missed."""

    def __init__(self, table: TableClient, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._clock = clock

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
        operations.insert(0, ("create", to_entity(record)))
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
        markers = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge 'queue-' and RowKey lt 'queue.'",
            parameters={"hub": hub},
            # A page holds a thousand rows at most (learn: "Query timeout and pagination").
            results_per_page=min(limit, 1000),
        )
        try:
            return [Marker(row["RowKey"], row["record"]) for row in islice(markers, limit)]
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
        """Take away a marker whose import is final or gone: nothing else removes it then."""
        self._table.delete_entity(hub, marker.row_key)

    def restore_marker(self, record: ImportRecord) -> None:
        """Put back the marker of an import that is not final."""
        self._table.upsert_entity(_marker(record))

    def find(self, hub: str, import_id: str) -> ImportRecord | None:
        """The import with this id. Looks through the hub's whole history: for people's calls."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'import.' and id eq @id",
            parameters={"hub": hub, "id": import_id},
        )
        try:
            return next(map(to_record, rows), None)
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
        return self._replace(record, changes)

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
        guard: dict[str, Any] = {
            "mode": UpdateMode.REPLACE,
            "etag": record.etag,
            "match_condition": MatchConditions.IfNotModified,
        }
        try:
            if changed.state.is_final and changed.marker:
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
                f"Import {record.id} changed from {record.state} to {existing.state} meanwhile."
            ) from error

    def _submit(self, record: ImportRecord, operations: list[Any]) -> ImportRecord:
        """Do the operations, the first of which writes the record."""
        try:
            # A transaction is a POST, which azure-core sends again only if told to; a second try
            # is recognised by the stamp.
            metadata = self._table.submit_transaction(
                operations, retry_on_methods=frozenset({"POST"})
            )
        except TableTransactionError as error:
            raise cause_of(error) from error
        return record.model_copy(update={"etag": metadata[0]["etag"]})


def _marker(record: ImportRecord) -> dict[str, Any]:
    return {"PartitionKey": record.hub, "RowKey": record.marker, "record": record.row_key}
