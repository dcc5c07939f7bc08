"""Queries over many imports, whose cost does not grow with the history unless they say so."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from azure.data.tables import TableEntity, UpdateMode

from shared.imports.model.keys import (
    first_record_key,
    is_record_key,
    queued_at_of,
    record_key_before,
    record_prefix,
)
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Act
from shared.imports.model.states import ImportState
from shared.imports.store.rows import (
    LISTED_COLUMNS,
    UNKNOWN_FILE,
    NewerRowError,
    UnreadableRowError,
    is_newer,
    python_values,
    readable_record,
    to_record,
)
from shared.imports.store.table import MAX_OPERATIONS, MAX_PAGE, ImportsTable, guarded
from shared.logs import logger

__all__ = ["JobTimes", "KnownImport", "Names", "NewestPage", "Queries"]

log = logger(__name__)

#: Columns that say whether an import is final, and complete.
_COUNTS = ("state", "lines", "invalidLines", "devices", "imported", "failed", "unchanged")

_JOB_TIMES = ("jobId", "startTimeUtc", "endTimeUtc", "queueKey")

#: Columns of `Names`, and where the name is in an act.
_NAMES = ("state", "file", "acts", "jobRecord")
_WHO = Act._fields.index("who")

#: Keys that one query can compare: a filter has 15 comparisons at most (learn: "Querying tables and
#: entities").
_MAX_KEYS = 12

#: Records that are read to find when jobs ran.
MAX_JOB_RECORDS = 200


def _in_states(states: Iterable[ImportState]) -> str:
    return " or ".join(f"state eq '{state}'" for state in states)


_OPEN_STATES = frozenset(state for state in ImportState if not state.is_final)
_OPEN = _in_states(_OPEN_STATES)
_OPEN_RECORDS = f"RowKey ge 'import-' and RowKey lt 'import.' and ({_OPEN})"


class JobTimes(NamedTuple):
    """When a job ran, by the hub's clock."""

    #: When the first of its imports entered the queue, by the clock of storage.
    queued_at: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True)
class KnownImport:
    """What is known of an import; False where its row cannot be read."""

    is_final: bool = False
    is_fully_imported: bool = False


class Names(NamedTuple):
    """What a search by names looks at."""

    file: str
    #: Those who did something with the import; None if the row alone does not tell.
    who: Sequence[str] | None


@dataclass(frozen=True)
class NewestPage:
    """A part of the imports of a hub."""

    imports: Sequence[ImportRecord]
    #: The row key up to which the hub's records were read; "" after the last.
    position: str
    #: How many rows were read for it.
    count: int


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
        read: int = MAX_PAGE,
        accepts: Callable[[Names], bool] | None = None,
    ) -> Iterator[NewestPage]:
        """The newest imports of a hub after a row key, in some states and times, page by page.

        They are for views: without their footprints, which can have 64 KiB each.

        Args:
            page: how many one page contains at most.
            read: how many rows one request reads at most if `accepts` is given.
            accepts: selects imports by what storage cannot compare: the names of all are read, and
                only those in full.
        """
        # Storage reports upload times in whole seconds.
        newest = first_record_key(uploaded_before) + "." if uploaded_before else "import-"
        oldest = first_record_key(uploaded_after) + "." if uploaded_after else "import."
        condition = "PartitionKey eq @hub and RowKey ge @newest and RowKey lt @oldest"
        if after >= newest:
            newest = f"{after}!"
        if states:
            condition += f" and ({_in_states(states)})"
        for rows, token in self._table.pages(
            condition,
            {"hub": hub, "newest": newest, "oldest": oldest},
            columns=LISTED_COLUMNS if accepts is None else _NAMES,
            page=page if accepts is None else read,
        ):
            position = _position(rows, token) if token else ""
            if position is None:
                continue
            if accepts is None:
                yield NewestPage(list(map(_listed, rows)), position, len(rows))
                continue
            keys = [row["RowKey"] for row in rows if accepts(_names(row))]
            count = len(rows)
            for start in range(0, len(keys) - page, page):
                chunk = keys[start : start + page]
                yield NewestPage(self._listed_by_key(hub, chunk), chunk[-1], count)
                count = 0
            rest = keys[max(0, len(keys) - 1) // page * page :]
            yield NewestPage(self._listed_by_key(hub, rest), position, count)

    def _listed_by_key(self, hub: str, keys: Sequence[str]) -> list[ImportRecord]:
        """The records with these row keys, which are in order: one request."""
        if not keys:
            return []
        condition = "PartitionKey eq @hub and RowKey ge @first and RowKey le @last"
        parameters = {"hub": hub, "first": keys[0], "last": keys[-1]}
        if len(keys) <= _MAX_KEYS:
            each = {f"key{number}": key for number, key in enumerate(keys)}
            # Blanks end the names of parameters.
            condition += f" and ( {' or '.join(f'RowKey eq @{name}' for name in each)} )"
            parameters |= each
        rows = self._table.query(condition, parameters, columns=LISTED_COLUMNS)
        wanted = frozenset(keys)
        return [_listed(row) for row in rows if row["RowKey"] in wanted]

    def job_times(self, hub: str, until: datetime) -> list[JobTimes]:
        """When the hub's last jobs ran: one request.

        Args:
            until: only jobs of imports that were uploaded by then count.
        """
        rows = self._table.range(
            hub, record_prefix(until), "import.", columns=_JOB_TIMES, page=MAX_JOB_RECORDS
        )
        jobs: dict[object, JobTimes] = {}
        for row in map(python_values, islice(rows, MAX_JOB_RECORDS)):
            start, end = row.get("startTimeUtc"), row.get("endTimeUtc")
            if isinstance(start, datetime) and isinstance(end, datetime) and start <= end:
                job_id = row.get("jobId")
                queued_at = queued_at_of(str(row.get("queueKey"))) or start
                if job_id in jobs:
                    queued_at = min(queued_at, jobs[job_id].queued_at)
                jobs[job_id] = JobTimes(queued_at, start, end)
        return list(jobs.values())

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


def _names(row: TableEntity) -> Names:
    file = row.get("file")
    who = None
    # What people did with its job is in the row of the job.
    if not (row.get("jobRecord") and row.get("state") in _OPEN_STATES):
        with contextlib.suppress(ValueError, RecursionError, TypeError, LookupError):
            who = [str(act[_WHO]) for act in json.loads(row.get("acts") or "[]")]
    return Names(file if isinstance(file, str) else UNKNOWN_FILE, who)


def _position(rows: Sequence[TableEntity], token: Mapping[str, str | None]) -> str | None:
    """The row key up to which records were read; None if that is not known.

    A request that found nothing in its 5 seconds tells only by its token how far it came. Azure
    Storage writes the next row key there in base64, behind `1!<length>!`. That is not documented,
    so it is used only where it is the key of a record.
    """
    if rows:
        return str(rows[-1]["RowKey"])
    encoded = (token.get("RowKey") or "").rpartition("!")[2].replace("-", "=")
    try:
        row_key = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    return record_key_before(row_key) if is_record_key(row_key) else None


def _token(position: str) -> dict[str, Any] | None:
    """Where a query continues; at its beginning if that was edited."""
    try:
        token = json.loads(position) if position else None
    except (ValueError, RecursionError):
        token = None
    return token if isinstance(token, dict) else None
