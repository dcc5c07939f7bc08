"""The table of imports: one record an import for ever, one queue marker while it is not final.

PartitionKey is the hub's name. A record's RowKey begins with `import-`, a marker's with `queue-`,
so open work is found at the same cost however long the history is. `send-` is an event that is
still to be sent, and `day-<date>-<id>` an end that is still to be added to the counts of its day.
What belongs together is written in one transaction, and a write is guarded by the ETag that was
read.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
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
from shared.imports.model.record import (
    SCHEMA,
    TRANSITIONS,
    ImportRecord,
    ImportState,
    event_key,
)
from shared.imports.store.days import end_row
from shared.imports.store.markers import Marker, Work, event_of_row, is_event, place_of_row
from shared.imports.store.rows import (
    NewerRowError,
    UnreadableRowError,
    cause_of,
    is_newer,
    plain,
    salvage,
    to_entity,
    to_record,
    typed,
)
from shared.imports.tracing import report_end
from shared.logs import logger

__all__ = ["NOBODY", "NOTHING_TO_WAIT_FOR", "ConflictError", "ImportStore"]

#: Columns of an import that no process works on, and of one that waits for nothing.
NOBODY: dict[str, Any] = {"owner": "", "lease_until": None}
NOTHING_TO_WAIT_FOR: dict[str, Any] = {
    "place": None,
    "tries": 0,
    "next_try_at": None,
    "refused_since": None,
    "unresolved_since": None,
    "errors": 0,
}

#: The furthest place in a queue that is counted when an import enters it.
MAX_PLACE = 100

#: Markers that a tick reads at once.
MAX_MARKERS = 10

#: State changes that a record keeps; an import that waits for its hub for days makes many.
MAX_HISTORY = 50


log = logger(__name__)


class ConflictError(TemporaryError):
    """Another process changed the record first."""


class ImportStore:
    """Reads and writes imports. The table is made when it is first missed.

    With `announces`, the end of each import leaves a row for the event that tells of it.
    """

    def __init__(
        self, table: TableClient, clock: Callable[[], datetime], *, announces: bool = False
    ) -> None:
        self._table = table
        self._clock = clock
        self._announces = announces

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
        operations = [("create", to_entity(record)), *operations, *self._ending(record)]
        created, is_ours = self._create(record, operations)
        if is_ours and created.state.is_final:
            report_end(created)
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
            UnreadableRowError: people edited it.
            NewerRowError: a newer version of the app wrote it.
        """
        return to_record(self._table.get_entity(hub, row_key))

    def imports(self, hub: str) -> Iterator[ImportRecord]:
        """All imports of a hub that can be read, the newest upload first."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'import.'",
            parameters={"hub": hub},
        )
        try:
            for row in rows:
                with contextlib.suppress(UnreadableRowError, NewerRowError):
                    yield to_record(row)
        except ResourceNotFoundError:
            return

    def queue(self, hub: str, limit: int = MAX_MARKERS) -> list[Marker]:
        """The oldest open imports of the hub: one query in any history, and a thousand markers."""
        return self._markers(hub, "queue-", "queue.", limit)

    def unsent(self, hub: str) -> list[Marker]:
        """The oldest ends of the hub's imports of which no event was sent."""
        return self._markers(hub, "send-", "send.", MAX_MARKERS)

    def work(self, hub: str, after: str = "") -> Work:
        """The heads of both, by one query unless the queue is long.

        Args:
            after: RowKey of a marker; those up to it are left out.
        """
        # A sign that sorts before every other that a longer RowKey could go on with.
        start = f"{after}!" if after else "queue-"
        if not self._announces:
            return Work(self._markers(hub, start, "queue.", MAX_MARKERS), [])
        markers = self._markers(hub, start, "send.", MAX_MARKERS)
        queue = [marker for marker in markers if not is_event(marker.row_key)]
        unsent = markers[len(queue) :]
        if len(queue) == MAX_MARKERS:
            unsent = self.unsent(hub)
        return Work(queue, unsent)

    def _markers(self, hub: str, start: str, end: str, limit: int) -> list[Marker]:
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @start and RowKey lt @end",
            parameters={"hub": hub, "start": start, "end": end},
            # A page holds a thousand rows at most (learn: "Query timeout and pagination").
            results_per_page=min(limit, 1000),
        )
        markers: list[Marker] = []
        try:
            for row in rows:
                if len(markers) == limit:
                    break
                if is_event(row["RowKey"]):
                    markers.append(event_of_row(row))
                    continue
                try:
                    markers.append(place_of_row(row))
                except ValueError as error:
                    log.warning("%s and is ignored", error)
        except ResourceNotFoundError:
            return []
        return markers

    def has_marker(self, record: ImportRecord) -> bool:
        """Whether the import has a place in the queue, whenever it was first seen."""
        start, _, import_id = record.marker_key().rsplit("-", 2)
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @start and RowKey lt @end",
            parameters={"hub": record.hub, "start": f"{start}-", "end": f"{start}."},
            select=["RowKey"],
        )
        return any(row["RowKey"].endswith(import_id) for row in rows)

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
        now = self._clock()
        moved = {
            "PartitionKey": hub,
            "RowKey": event_key(until, marker.import_id),
            "record": marker.record_key,
            "tries": marker.tries + 1,
            "since": min(marker.since or now, now),
            # For people: the app goes by the RowKey.
            "nextTryAt": until,
            "schema": SCHEMA,
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
            report_end(record)
        return record

    def update(self, record: ImportRecord, **changes: Any) -> ImportRecord:
        """Change members of an import that stays in its state.

        Raises:
            ConflictError: the record is no longer as it was read.
        """
        if record.state.is_final:
            raise ValueError(f"import {record.id} is final: {record.state}")
        return self._replace(record, changes)

    def note_error(
        self, hub: str, row_key: str, reason: str, back_off: Callable[[int], datetime]
    ) -> int | None:
        """Count an unexpected error of an open import, also if its row cannot be read.

        Args:
            back_off: when the work on it goes on, by how many errors there were before.

        Returns:
            How many there were in a row with this one; None if the import is final or gone. One
            that comes before it is time to try again does not count.

        Raises:
            NewerRowError: a newer version of the app wrote the row.
            ConflictError: another process changed it meanwhile.
        """
        try:
            row = self._table.get_entity(hub, row_key)
        except ResourceNotFoundError:
            return None
        if is_newer(row):
            raise NewerRowError(row)
        record = salvage(plain(row))
        if record.state.is_final:
            return None
        now = self._clock()
        if record.waits(now):
            return record.errors
        changes = {
            "PartitionKey": hub,
            "RowKey": row_key,
            "schema": SCHEMA,
            "errors": record.errors + 1,
            "nextTryAt": back_off(record.errors),
            "failureReason": reason,
            "updatedAt": now,
            "owner": "",
            # A column cannot be removed by a merge.
            "leaseUntil": now,
            "stamp": uuid.uuid4().hex,
        }
        guard = {**_guard(row.metadata["etag"] or ""), "mode": UpdateMode.MERGE}
        try:
            self._table.update_entity(changes, **guard)
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise ConflictError("The import changed meanwhile.") from error
        return record.errors + 1

    def end_unreadable(self, hub: str, row_key: str, reason: str) -> ImportRecord | None:
        """End an open import as failed by what can be read of its row: needs the table alone.

        Returns:
            The final record; None if the row is gone.

        Raises:
            NewerRowError, ConflictError: as `note_error`.
        """
        try:
            row = self._table.get_entity(hub, row_key)
        except ResourceNotFoundError:
            return None
        if is_newer(row):
            raise NewerRowError(row)
        record = salvage({**plain(row), "etag": row.metadata["etag"]})
        if record.state.is_final:
            return record
        had_no_job = (
            row.get("state") in (ImportState.VALIDATING, ImportState.QUEUED)
            and not record.staged_generation
        )
        count = 0 if had_no_job else None
        # A report that was written before would tell of another state.
        return self.transition(
            record,
            ImportState.FAILED,
            failure_reason=reason,
            report="",
            imported=count,
            failed=count,
        )

    def _replace(self, record: ImportRecord, changes: dict[str, Any]) -> ImportRecord:
        changed = record.model_copy(
            update={**changes, "updated_at": self._clock(), "stamp": uuid.uuid4().hex}
        )
        guard = _guard(record.etag)
        try:
            if changed.state.is_final:
                return self._end(changed, guard)
            # By itself it takes a third of the time of a transaction.
            metadata = self._table.update_entity(to_entity(changed), **guard)
            return changed.model_copy(update={"etag": metadata["etag"]})
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            try:
                existing = self.get(record.hub, record.row_key)
            except ResourceNotFoundError:
                raise ConflictError("The record of the import was deleted.") from error
            if existing.stamp == changed.stamp:
                return existing
            raise ConflictError(
                f"The import changed from {record.state} to {existing.state} meanwhile."
            ) from error

    def _end(self, record: ImportRecord, guard: dict[str, Any]) -> ImportRecord:
        """Write a final record and take its marker away, which people may have done before."""
        operations = [("update", to_entity(record), guard), *self._ending(record)]
        if not record.marker:
            return self._submit(record, operations)
        try:
            return self._submit(record, [*operations, ("delete", _marker(record))])
        except ResourceNotFoundError:
            return self._submit(record, operations)

    def _ending(self, record: ImportRecord) -> list[Any]:
        """What is written together with a final record: for the day's counts, and its event."""
        if not record.state.is_final:
            return []
        operations: list[Any] = [("upsert", typed(end_row(record)))]
        if self._announces:
            due = record.finished_at or record.updated_at
            event = {
                **_key(record, event_key(due, record.id)),
                "record": record.row_key,
                "schema": SCHEMA,
            }
            operations.append(("upsert", event))
        return operations

    def _submit(self, record: ImportRecord, operations: list[Any]) -> ImportRecord:
        """Do the operations, the first of which writes the record."""
        try:
            metadata = self._transact(operations)
        except TableTransactionError as error:
            raise cause_of(error) from error
        return record.model_copy(update={"etag": metadata[0]["etag"]})

    def _transact(self, operations: list[Any]) -> list[Any]:
        # A transaction is a POST, which azure-core sends again only if told to; a second try is
        # recognised by the stamp.
        return list(
            self._table.submit_transaction(operations, retry_on_methods=frozenset({"POST"}))
        )


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
    return {**_key(record, record.marker), "schema": SCHEMA}
