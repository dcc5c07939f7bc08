"""Queries over many imports, whose cost does not grow with the history unless they say so."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from azure.data.tables import TableEntity, UpdateMode

from shared.imports.model.keys import first_record_key, record_prefix
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.rows import (
    LISTED_COLUMNS,
    NewerRowError,
    UnreadableRowError,
    is_newer,
    python_values,
    readable_record,
    to_record,
)
from shared.imports.store.table import MAX_OPERATIONS, ImportsTable, guarded
from shared.logs import logger

__all__ = ["KnownImport", "Queries"]

log = logger(__name__)

#: Columns that say whether an import is final, and complete.
_COUNTS = ("state", "lines", "invalidLines", "devices", "imported", "failed", "unchanged")

_JOB_TIMES = ("jobId", "startTimeUtc", "endTimeUtc")

#: Records that are read to find how long jobs take.
MAX_JOB_RECORDS = 200


def _in_states(states: Iterable[ImportState]) -> str:
    return " or ".join(f"state eq '{state}'" for state in states)


_OPEN = _in_states(state for state in ImportState if not state.is_final)
_OPEN_RECORDS = f"RowKey ge 'import-' and RowKey lt 'import.' and ({_OPEN})"


@dataclass(frozen=True)
class KnownImport:
    """What is known of an import; False where its row cannot be read."""

    is_final: bool = False
    is_fully_imported: bool = False


class Queries:
    """Reads, changes and deletes many records at once."""

    def __init__(self, table: ImportsTable) -> None:
        self._table = table

    def rows(self, hub: str, keys: Collection[str]) -> Iterator[TableEntity]:
        """The rows of the records with these row keys, which may be unreadable."""
        rows = self._table.range(hub, min(keys), f"{max(keys)}!")
        return (row for row in rows if row["RowKey"] in keys)

    def records(self, hub: str, keys: Collection[str]) -> dict[str, ImportRecord]:
        """By row key: the records with these row keys that can be read."""
        return {record.row_key: record for record in _readable(self.rows(hub, keys))}

    def queued(self, hub: str, keys: Collection[str]) -> dict[str, ImportRecord]:
        """By row key: those of the records with these row keys that are queued and can be read."""
        rows = self._table.query(
            "PartitionKey eq @hub and RowKey ge @first and RowKey le @last and state eq 'queued'",
            {"hub": hub, "first": min(keys), "last": max(keys)},
        )
        return {record.row_key: record for record in _readable(rows) if record.row_key in keys}

    def newest(
        self,
        hub: str,
        *,
        after: str,
        states: Collection[ImportState],
        uploaded_after: datetime | None,
        uploaded_before: datetime | None,
        page: int,
    ) -> Iterator[ImportRecord]:
        """The newest imports of a hub after a row key, in some states and times.

        They are for views: without their footprints, which can have 64 KiB each.

        Args:
            page: how many one request returns at most.
        """
        # Storage reports upload times in whole seconds.
        newest = first_record_key(uploaded_before) + "." if uploaded_before else "import-"
        oldest = first_record_key(uploaded_after) + "." if uploaded_after else "import."
        condition = "PartitionKey eq @hub and RowKey ge @newest and RowKey lt @oldest"
        if after >= newest:
            newest = f"{after}!"
        if states:
            condition += f" and ({_in_states(states)})"
        rows = self._table.query(
            condition,
            {"hub": hub, "newest": newest, "oldest": oldest},
            columns=LISTED_COLUMNS,
            page=page,
        )
        return map(_listed, rows)

    def job_durations(self, hub: str, until: datetime) -> list[timedelta]:
        """How long the hub's last jobs took, by its own clock: one request.

        Args:
            until: only jobs of imports that were uploaded by then count.
        """
        rows = self._table.range(
            hub, record_prefix(until), "import.", columns=_JOB_TIMES, page=MAX_JOB_RECORDS
        )
        durations = {}
        for row in map(python_values, islice(rows, MAX_JOB_RECORDS)):
            start, end = row.get("startTimeUtc"), row.get("endTimeUtc")
            if isinstance(start, datetime) and isinstance(end, datetime) and start <= end:
                durations[row.get("jobId")] = end - start
        return list(durations.values())

    def imports_since(self, hub: str, time: datetime) -> tuple[list[ImportRecord], bool]:
        """The imports that had a job and ended after a time, or have one.

        Returns:
            Also whether these are all: only the newest records are read. Imports that had a job
            ended in the order of their keys, more or less.
        """
        rows = self._table.query(
            "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'import.' "
            "and jobRecord gt ''",
            {"hub": hub},
            page=MAX_JOB_RECORDS,
        )
        imports: list[ImportRecord] = []
        read, reaches_back, are_readable = 0, False, True
        for row in islice(rows, MAX_JOB_RECORDS):
            read += 1
            try:
                record = to_record(row)
            except (UnreadableRowError, NewerRowError):
                # A final record does not change.
                written_at = row.metadata["timestamp"]
                are_readable &= written_at is not None and written_at < time
                continue
            if not record.state.is_final or record.ended_at >= time:
                imports.append(record)
            else:
                reaches_back = True
        return imports, are_readable and (reaches_back or read < MAX_JOB_RECORDS)

    def known(self, hub: str, oldest: datetime, newest: datetime) -> dict[str, KnownImport]:
        """By row key: the imports of all uploads between two times, both included."""
        rows = self._table.range(
            hub, record_prefix(newest), f"{record_prefix(oldest)}.", columns=_COUNTS
        )
        return {row["RowKey"]: _known(row) for row in rows}

    def open_records(self, position: str) -> tuple[list[ImportRecord], str]:
        """One page of the open imports of all hubs, found by reading the whole table.

        Returns:
            The imports, and where the next page begins; "" after the last.
        """
        rows, token = self._table.page(_OPEN_RECORDS, _token(position))
        return list(_readable(rows)), json.dumps(token) if token else ""

    def jobs_started_since(self, hub: str, time: datetime) -> set[str]:
        """Ids of the jobs that were started since then, by the records of jobs and imports.

        Reads the hub's whole history: for rare occasions only.
        """
        rows = self._table.query(
            "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'job.' "
            "and lastStartAt ge @time",
            {"hub": hub, "time": time},
            columns=["jobId"],
        )
        return {row["jobId"] for row in rows if row.get("jobId")}

    def set_queue_positions(self, hub: str, positions: Sequence[tuple[ImportRecord, int]]) -> None:
        """Write queue positions.

        Raises:
            ResourceModifiedError, ResourceNotFoundError: one of the records changed, or an answer
                was lost; not all positions were written.
        """
        self._transact(
            (
                "update",
                {"PartitionKey": hub, "RowKey": record.row_key, "queuePosition": position},
                guarded(record.etag, UpdateMode.MERGE),
            )
            for record, position in positions
        )

    def ended_before(self, hub: str, time: datetime, limit: int) -> list[str]:
        """Row keys of records that were final by then."""
        rows = self._table.query(
            "PartitionKey eq @hub and RowKey ge @newest and RowKey lt 'import.' "
            "and finishedAt lt @time",
            {"hub": hub, "newest": record_prefix(time), "time": time},
            columns=(),
        )
        return [row["RowKey"] for row in islice(rows, limit) if not is_newer(row)]

    def delete(self, hub: str, row_keys: Iterable[str]) -> None:
        """Delete records.

        Raises:
            ResourceNotFoundError: another process was first, or an answer was lost.
        """
        self._transact(("delete", {"PartitionKey": hub, "RowKey": key}) for key in row_keys)

    def _transact(self, operations: Iterable[tuple[Any, ...]]) -> None:
        operations = list(operations)
        for start in range(0, len(operations), MAX_OPERATIONS):
            self._table.transact(operations[start : start + MAX_OPERATIONS])


def _known(row: TableEntity) -> KnownImport:
    if is_newer(row):
        return KnownImport()
    record = readable_record(row)
    return KnownImport(record.state.is_final, record.is_fully_imported)


def _readable(rows: Iterable[TableEntity]) -> Iterator[ImportRecord]:
    """The records of the rows that can be read; health names the others."""
    for row in rows:
        try:
            yield to_record(row)
        except (UnreadableRowError, NewerRowError) as error:
            log.warning("%s", error)


def _listed(row: TableEntity) -> ImportRecord:
    """The record of a row; what can be read of it, with the reason, if it was edited."""
    try:
        return to_record(row)
    except (UnreadableRowError, NewerRowError) as error:
        reason = str(error)
    record = readable_record(row)
    state = record.state if row.get("state") == record.state else ImportState.FAILED
    return replace(record, failure_reason=reason, state=state)


def _token(position: str) -> dict[str, Any] | None:
    """Where a query continues; at its beginning if that was edited."""
    try:
        token = json.loads(position) if position else None
    except (ValueError, RecursionError):
        token = None
    return token if isinstance(token, dict) else None
