"""The table as sweeper and catalog see it: many imports at once, and how far rounds have come."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableClient, TableEntity, TableTransactionError, UpdateMode

from shared.imports.model.record import (
    SCHEMA,
    ImportRecord,
    ImportState,
    first_record_key,
    record_key,
)
from shared.imports.store.claims import APP
from shared.imports.store.rows import (
    NewerRowError,
    UnreadableRowError,
    cause_of,
    is_newer,
    plain,
    salvage,
    to_record,
)
from shared.logs import logger

__all__ = ["BEGINNING", "Cursor", "Known", "Queries"]

log = logger(__name__)

#: Before every upload.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

#: Partition of the sweeper's own rows. Not a possible name of a hub.
SWEEP = "(sweep)"

#: The most operations of a transaction (learn: "Performing entity group transactions").
MAX_OPERATIONS = 100

#: Columns that tell whether an import is final, and complete.
_COUNTS = ("state", "lines", "invalidLines", "devices", "imported", "failed")

_OPEN = " or ".join(f"state eq '{state.value}'" for state in ImportState if not state.is_final)


@dataclass(frozen=True)
class Cursor:
    """How far the rounds of one task have come. What it says stays true, so it may be stale."""

    task: str
    #: Where the round that is under way goes on, in the service's words; "" is the beginning.
    position: str = ""
    #: When the round that is under way began.
    began_at: datetime = BEGINNING
    #: When the last round began that has come to its end.
    done_until: datetime = BEGINNING


@dataclass(frozen=True)
class Known:
    """What is known of an import; False where its row cannot be read."""

    is_final: bool = False
    is_fully_imported: bool = False


class Queries:
    """Reads of many rows, in requests that do not grow with the history unless it says so."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def load(self, task: str) -> Cursor:
        """How far a task has come. A column that people edited is as if the task had not begun."""
        try:
            row = self._table.get_entity(SWEEP, task)
        except ResourceNotFoundError:
            return Cursor(task)
        position, *times = (row.get(name) for name in ("position", "beganAt", "doneUntil"))
        began_at, done_until = (
            time if isinstance(time, datetime) and time.tzinfo else BEGINNING for time in times
        )
        return Cursor(task, position if isinstance(position, str) else "", began_at, done_until)

    def save(self, cursor: Cursor) -> None:
        row = {
            "PartitionKey": SWEEP,
            "RowKey": cursor.task,
            "position": cursor.position,
            "beganAt": cursor.began_at,
            "doneUntil": cursor.done_until,
            "schema": SCHEMA,
        }
        self._upsert(row)

    def note_run(self, timer: str, at: datetime) -> None:
        """Note when a timer last ran."""
        self._upsert({"PartitionKey": APP, "RowKey": timer, "ranAt": at, "schema": SCHEMA})

    def last_runs(self) -> dict[str, datetime]:
        """When each timer last ran, to the minute; one that never ran is not in it."""
        rows = self._table.query_entities("PartitionKey eq @app", parameters={"app": APP})
        times = {row["RowKey"]: row.get("ranAt") for row in _existing(rows)}
        return {
            timer: time.astimezone(UTC)
            for timer, time in times.items()
            if isinstance(time, datetime) and time.tzinfo
        }

    def _upsert(self, row: dict[str, Any]) -> None:
        try:
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                self._table.create_table()
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def records(self, hub: str, oldest: str, newest: str) -> Iterator[ImportRecord]:
        """The imports between two RowKeys that can be read, both included, the newest first."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @newest and RowKey le @oldest",
            parameters={"hub": hub, "newest": newest, "oldest": oldest},
        )
        return _readable(rows)

    def rows_of_open(self, hub: str, keys: Sequence[str]) -> Iterator[TableEntity]:
        """The rows of the records with these RowKeys, which may be unreadable."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @newest and RowKey le @oldest",
            parameters={"hub": hub, "newest": min(keys), "oldest": max(keys)},
        )
        wanted = frozenset(keys)
        return (row for row in _existing(rows) if row["RowKey"] in wanted)

    def newest(
        self,
        hub: str,
        *,
        after: str,
        states: Collection[ImportState],
        uploaded_after: datetime | None,
        uploaded_before: datetime | None,
        limit: int,
    ) -> Iterator[ImportRecord]:
        """The newest imports of a hub behind a RowKey, in some states and times.

        Looks through the history until there are so many; without states these are the first.
        """
        conditions = ["PartitionKey eq @hub", "RowKey ge @newest", "RowKey lt @oldest"]
        # Storage tells upload times in whole seconds.
        newest = first_record_key(uploaded_before) + "." if uploaded_before else "import-"
        oldest = first_record_key(uploaded_after) + "." if uploaded_after else "import."
        if after >= newest:
            newest = after
            conditions[1] = "RowKey gt @newest"
        if states:
            conditions.append("(" + " or ".join(f"state eq '{one.value}'" for one in states) + ")")
        rows = self._table.query_entities(
            " and ".join(conditions),
            parameters={"hub": hub, "newest": newest, "oldest": oldest},
            results_per_page=min(limit, 1000),
        )
        return islice(map(_shown, _existing(rows)), limit)

    def known(self, hub: str, oldest: datetime, newest: datetime) -> dict[str, Known]:
        """By RowKey: each import of what was uploaded between two moments."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @newest and RowKey lt @after",
            parameters={
                "hub": hub,
                "newest": record_key(newest),
                "after": f"{record_key(oldest)}.",
            },
            select=["PartitionKey", "RowKey", "schema", *_COUNTS],
        )
        found = {}
        for row in _existing(rows):
            record = salvage(plain(row))
            is_certain = not is_newer(row)
            found[row["RowKey"]] = Known(
                is_certain and record.state.is_final, is_certain and record.is_fully_imported
            )
        return found

    def open_records(self, position: str) -> tuple[list[ImportRecord], str]:
        """One page of the open imports of all hubs, found by looking through the whole table.

        Returns:
            The imports, and where the next page begins; "" after the last.
        """
        pages = self._table.query_entities(
            f"RowKey ge 'import-' and RowKey lt 'import.' and ({_OPEN})"
        ).by_page(_token(position))
        rows = list(next(pages, ()))
        token = pages.continuation_token  # type: ignore[attr-defined]
        return list(_readable(rows)), json.dumps(token) if token else ""

    def set_places(self, hub: str, places: Sequence[tuple[ImportRecord, int]]) -> None:
        """Write places in the queue.

        Raises:
            ResourceModifiedError, ResourceNotFoundError: somebody changed one of the records
            meanwhile, or an answer was lost; not all places were written.
        """
        operations: list[Any] = [
            (
                "update",
                {"PartitionKey": hub, "RowKey": record.row_key, "place": place},
                {
                    "mode": UpdateMode.MERGE,
                    "etag": record.etag,
                    "match_condition": MatchConditions.IfNotModified,
                },
            )
            for record, place in places
        ]
        self._submit(operations)

    def outlived(self, hub: str, before: datetime, limit: int) -> list[str]:
        """RowKeys of the records of imports that were final by then."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @newest and RowKey lt 'import.' "
            "and finishedAt lt @before",
            parameters={"hub": hub, "newest": record_key(before), "before": before},
            select=["PartitionKey", "RowKey", "schema"],
        )
        return [row["RowKey"] for row in _existing(islice(rows, limit)) if not is_newer(row)]

    def prune(self, hub: str, row_keys: Iterable[str]) -> None:
        """Delete records.

        Raises:
            ResourceNotFoundError: another process was first, or an answer was lost.
        """
        keys = [{"PartitionKey": hub, "RowKey": row_key} for row_key in row_keys]
        self._submit([("delete", key) for key in keys])

    def _submit(self, operations: Sequence[Any]) -> None:
        for start in range(0, len(operations), MAX_OPERATIONS):
            try:
                self._table.submit_transaction(
                    operations[start : start + MAX_OPERATIONS],
                    retry_on_methods=frozenset({"POST"}),
                )
            except TableTransactionError as error:
                raise cause_of(error) from error


def _existing(rows: Iterable[Any]) -> Iterator[Any]:
    """The rows; none if there is no table yet."""
    try:
        yield from rows
    except ResourceNotFoundError:
        return


def _readable(rows: Iterable[Any]) -> Iterator[ImportRecord]:
    """The records of the rows; those that cannot be read are left out, health names them."""
    for row in _existing(rows):
        try:
            yield to_record(row)
        except (UnreadableRowError, NewerRowError) as error:
            log.warning("%s", error)


def _shown(row: TableEntity) -> ImportRecord:
    """The record of a row; of one that cannot be read, what is left of it, with the reason."""
    try:
        return to_record(row)
    except UnreadableRowError as error:
        reason, state = str(error), ImportState.FAILED
    except NewerRowError as error:
        reason, state = str(error), ImportState.FAILED
    record = salvage({**plain(row), "etag": ""})
    if row.get("state") == record.state:
        state = record.state
    return record.model_copy(update={"failure_reason": reason, "state": state})


def _token(position: str) -> Any:
    """Where a query goes on; at its beginning if people edited that."""
    try:
        token = json.loads(position) if position else None
    except (ValueError, RecursionError):
        token = None
    return token if isinstance(token, dict) else None
