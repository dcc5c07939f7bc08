"""The records of imports: one row each, written under the ETag that was read.

With a final record its queue row goes, and its event and the counts of its day come, in one
transaction. Only `workflow.completion` ends imports.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import UpdateMode

from shared.errors import TemporaryError
from shared.imports.model.job import JobRecord
from shared.imports.model.parts import NO_BACK_OFF, NO_LEASE
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.daily_counts import end_row
from shared.imports.store.held_rows import held_row
from shared.imports.store.outbox import Outbox
from shared.imports.store.queue_rows import queue_row
from shared.imports.store.rows import (
    SCHEMA,
    NewerRowError,
    is_newer,
    readable_record,
    table_values,
    to_record,
    to_row,
)
from shared.imports.store.table import ImportsTable, guarded, unchanged

__all__ = ["ConflictError", "ImportStore", "entering"]

T = TypeVar("T", ImportRecord, JobRecord)
Event = Mapping[str, Any]

#: State changes that a record keeps: the first and the last ones.
MAX_HISTORY = 50
FIRST_HISTORY = 10


class ConflictError(TemporaryError):
    """Another process changed the import first."""

    def __init__(self, message: str | None = None, record: ImportRecord | None = None) -> None:
        super().__init__(message)
        #: The import as the other process left it; None if it was deleted or cannot be read.
        self.record = record


class ImportStore:
    """Reads and writes the records of imports."""

    def __init__(self, table: ImportsTable, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._outbox = outbox
        self._clock = clock

    def create(self, record: ImportRecord) -> tuple[ImportRecord, bool]:
        """Write a new import, with its queue row unless it is final.

        Returns:
            The record in the table, and whether this call created it.
        """
        now = self._clock()
        record = replace(
            record,
            updated_at=now,
            history=((record.state, now),),
            write_id=uuid.uuid4().hex,
        )
        if record.state.is_final:
            record = replace(record, finished_at=now)
            others = self._rows_of_end(record)
        else:
            record = replace(record, queue_key=record.new_queue_key)
            others = [("create", queue_row(record))]
        try:
            return self._write(record, [("create", to_row(record)), *others]), True
        except ResourceExistsError:
            existing = self.get(record.hub, record.row_key)
            # It was this call that created it if the answer to a first attempt was lost.
            return existing, existing.write_id == record.write_id

    def get(self, hub: str, row_key: str) -> ImportRecord:
        """The record as it is now.

        Raises:
            ResourceNotFoundError: there is none.
            UnreadableRowError: it was edited.
            NewerRowError: a newer version of the app wrote it.
        """
        row = self._table.get(hub, row_key)
        if row is None:
            raise ResourceNotFoundError(f"There is no row {row_key} of hub {hub}.")
        return to_record(row)

    def update(self, record: ImportRecord) -> ImportRecord:
        """Write a changed record that stays in its state.

        Raises:
            ConflictError: another process changed it since it was read.
        """
        if record.state.is_final:
            raise ValueError(f"import {record.id} is final: {record.state}")
        return self._replace(record, record.state)

    def transition(self, record: ImportRecord, state: ImportState) -> ImportRecord:
        """Write a changed record and move it to another state that is not final.

        Raises:
            ConflictError: another process changed it since it was read.
            ValueError: that state may not follow.
        """
        if state.is_final:
            raise ValueError(f"import {record.id}: only `end` makes it {state}")
        return self._replace(entering(record, state, self._clock()), record.state)

    def end(
        self,
        record: ImportRecord,
        state: ImportState,
        job: JobRecord | None = None,
        *,
        keeps_footprint: bool = False,
    ) -> ImportRecord:
        """Write the final record.

        Args:
            job: that of the import; if it is alone in it, its row is deleted.
            keeps_footprint: whether it matters to others which devices its lines touched.

        Raises:
            ConflictError, ValueError: as `transition`.
        """
        if not state.is_final:
            raise ValueError(f"import {record.id}: {state} is not final")
        now = self._clock()
        ended = replace(
            entering(record, state, now),
            finished_at=now,
            queue_position=None,
            validated_bytes=None,
            validated_lines=None,
            footprint=record.footprint if keeps_footprint else b"",
            back_off=NO_BACK_OFF,
            lease=NO_LEASE,
        )
        return self._replace(ended, record.state, job)

    def approve(
        self, record: ImportRecord, queue_key: str, event_of: Callable[[ImportRecord], Event]
    ) -> ImportRecord:
        """Queue a held import, with its plan.

        Args:
            queue_key: the row key of its queue row.
            event_of: the event of the record as it is written.

        Raises:
            ConflictError: another process changed it since it was read.
        """
        now = self._clock()
        record = replace(
            entering(record, ImportState.QUEUED, now),
            queue_key=queue_key,
            updated_at=now,
            write_id=uuid.uuid4().hex,
        )
        created = [queue_row(record), *self._outbox.rows_of(record, event_of(record))]
        operations = [
            ("update", to_row(record), guarded(record.etag)),
            *(("upsert", row) for row in created),
        ]
        try:
            return self._write(record, operations, [("delete", held_row(record))])
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            return self._own_write(record, ImportState.HELD, error)

    def note_unexpected_error(
        self, hub: str, row_key: str, reason: str, back_off: Callable[[int], datetime]
    ) -> int | None:
        """Count an unexpected error of an open import, also if its row cannot be read.

        Args:
            back_off: when the work on it goes on, by how many errors there were before.

        Returns:
            How many there were in a row with this one; None if the import is final or deleted. One
            during the back-off does not count.

        Raises:
            NewerRowError: a newer version of the app wrote the row.
            ConflictError: another process changed it.
        """
        record = self.readable(hub, row_key)
        if record is None or record.state.is_final:
            return None
        now = self._clock()
        errors = record.back_off.unexpected_errors
        if record.is_backing_off(now):
            return errors
        changes = {
            "PartitionKey": hub,
            "RowKey": row_key,
            "schema": SCHEMA,
            "unexpectedErrors": errors + 1,
            "nextTryAt": back_off(errors),
            "failureReason": reason,
            "updatedAt": now,
            "owner": "",
            # A merge cannot remove a column.
            "leaseUntil": now,
            "writeId": uuid.uuid4().hex,
        }
        try:
            self._table.update(table_values(changes), record.etag, UpdateMode.MERGE)
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise ConflictError from error
        return errors + 1

    def readable(self, hub: str, row_key: str) -> ImportRecord | None:
        """What can be read of a record that may have been edited; None if it was deleted.

        Raises:
            NewerRowError: a newer version of the app wrote it.
        """
        row = self._table.get(hub, row_key)
        if row is None:
            return None
        if is_newer(row):
            raise NewerRowError(row)
        return readable_record(row, str(row.metadata["etag"]))

    def _replace(
        self, record: ImportRecord, former: ImportState, job: JobRecord | None = None
    ) -> ImportRecord:
        record = replace(record, updated_at=self._clock(), write_id=uuid.uuid4().hex)
        try:
            if record.state.is_final:
                return self._write_end(record, former, job)
            return replace(record, etag=self._table.update(to_row(record), record.etag))
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            return self._own_write(record, former, error)

    def _own_write(
        self, record: ImportRecord, former: ImportState, error: Exception
    ) -> ImportRecord:
        """The record as it was written, if the answer to a first attempt was lost.

        Raises:
            ConflictError: another process changed it.
        """
        try:
            existing = self.get(record.hub, record.row_key)
        except ResourceNotFoundError:
            raise ConflictError("The record of the import was deleted.") from error
        if existing.write_id == record.write_id:
            return existing
        raise ConflictError(
            f"The import changed from {former} to {existing.state}.", existing
        ) from error

    def _write_end(
        self, record: ImportRecord, former: ImportState, job: JobRecord | None
    ) -> ImportRecord:
        """Write a final record; delete its queue row, and its job's row if it is alone in it."""
        written = [("update", to_row(record), guarded(record.etag)), *self._rows_of_end(record)]
        deleted: list[tuple[Any, ...]] = []
        if former is ImportState.HELD:
            deleted.append(("delete", held_row(record)))
        elif record.queue_key:
            deleted.append(("delete", queue_row(record)))
        if job is not None and not job.is_shared:
            keys = {"PartitionKey": job.hub, "RowKey": job.row_key}
            deleted.append(("delete", keys, unchanged(job.etag)))
        return self._write(record, written, deleted)

    def _rows_of_end(self, record: ImportRecord) -> list[tuple[Any, ...]]:
        rows = [table_values(end_row(record)), *self._outbox.rows_for(record)]
        return [("upsert", row) for row in rows]

    def _write(
        self,
        record: ImportRecord,
        operations: list[tuple[Any, ...]],
        deletions: Sequence[tuple[Any, ...]] = (),
    ) -> ImportRecord:
        """Do the operations, the first of which writes the record."""
        try:
            results = self._table.transact([*operations, *deletions])
        except ResourceNotFoundError:
            # One of the rows to delete was deleted by hand.
            there = [item for item in deletions if self._table.get(record.hub, item[1]["RowKey"])]
            if len(there) == len(deletions):
                raise
            results = self._table.transact([*operations, *there])
        return replace(record, etag=results[0]["etag"])


def entering(record: T, state: Any, now: datetime) -> T:
    """The record of an import or a job in its next state, with its history.

    Raises:
        ValueError: that state may not follow.
    """
    if not record.state.may_become(state):
        raise ValueError(f"{record.row_key} cannot go from {record.state} to {state}")
    history: tuple[Any, ...] = (*record.history, (state, now))
    if len(history) > MAX_HISTORY:
        history = (*history[:FIRST_HISTORY], *history[FIRST_HISTORY - MAX_HISTORY :])
    return replace(record, state=state, history=history)
