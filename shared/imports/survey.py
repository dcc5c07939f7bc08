"""The table as sweeper and catalog see it: many imports at once, and how far rounds have come."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from shared.imports.days import Day
from shared.imports.entities import cause_of, plain, to_record
from shared.imports.record import ImportRecord, ImportState, index_key, record_key

__all__ = ["BEGINNING", "Cursor", "Survey"]

#: Before every upload.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

#: Partition of the sweeper's own rows. Not a possible name of a hub.
SWEEP = "(sweep)"

#: The most operations of a transaction (learn: "Performing entity group transactions").
MAX_OPERATIONS = 100

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


class Survey:
    """Reads of many rows, in requests that do not grow with the history unless it says so."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def load(self, task: str) -> Cursor:
        try:
            row = self._table.get_entity(SWEEP, task)
        except ResourceNotFoundError:
            return Cursor(task)
        return Cursor(task, row["position"], row["beganAt"], row["doneUntil"])

    def save(self, cursor: Cursor) -> None:
        row = {
            "PartitionKey": SWEEP,
            "RowKey": cursor.task,
            "position": cursor.position,
            "beganAt": cursor.began_at,
            "doneUntil": cursor.done_until,
        }
        try:
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)
        except ResourceNotFoundError:
            self._table.create_table()
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def records(self, hub: str, oldest: str, newest: str) -> Iterator[ImportRecord]:
        """The imports between two RowKeys, both included, the newest first."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @newest and RowKey le @oldest",
            parameters={"hub": hub, "newest": newest, "oldest": oldest},
        )
        return map(to_record, _existing(rows))

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
        newest = record_key(uploaded_before) + "." if uploaded_before else "import-"
        oldest = record_key(uploaded_after) + "." if uploaded_after else "import."
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
        return map(to_record, islice(_existing(rows), limit))

    def days(self, hub: str, first: date) -> Iterator[Day]:
        """The counts of the days from that one on."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @first and RowKey lt @end",
            parameters={"hub": hub, "first": Day(first).row_key, "end": "day."},
        )
        return (Day.of_row(plain(row)) for row in _existing(rows))

    def states(self, hub: str, oldest: datetime, newest: datetime) -> dict[str, ImportState]:
        """RowKey and state of each import of what was uploaded between two moments."""
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @newest and RowKey lt @after",
            parameters={
                "hub": hub,
                "newest": record_key(newest),
                "after": f"{record_key(oldest)}.",
            },
            select=["RowKey", "state"],
        )
        return {row["RowKey"]: ImportState(row["state"]) for row in _existing(rows)}

    def open_records(self, position: str) -> tuple[list[ImportRecord], str]:
        """One page of the open imports of all hubs, found by looking through the whole table.

        Returns:
            The imports, and where the next page begins; "" after the last.
        """
        pages = self._table.query_entities(
            f"RowKey ge 'import-' and RowKey lt 'import.' and ({_OPEN})"
        ).by_page(json.loads(position) if position else None)
        rows = list(next(pages, ()))
        token = pages.continuation_token  # type: ignore[attr-defined]
        return [to_record(row) for row in rows], json.dumps(token) if token else ""

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

    def prune(self, hub: str, before: datetime, limit: int) -> int:
        """Delete records of imports that were final by then; returns how many.

        Raises:
            ResourceNotFoundError: another process was first, or an answer was lost.
        """
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @newest and RowKey lt 'import.' "
            "and finishedAt lt @before",
            parameters={"hub": hub, "newest": record_key(before), "before": before},
            select=["PartitionKey", "RowKey", "id"],
        )
        doomed = list(_existing(islice(rows, limit)))
        operations: list[Any] = []
        for row in doomed:
            index = {"PartitionKey": hub, "RowKey": index_key(row["id"])}
            operations += [("delete", row), ("delete", index)]
        self._submit(operations)
        return len(doomed)

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
