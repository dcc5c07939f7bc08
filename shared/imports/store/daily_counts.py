"""The counts of days in the table: read for people, and kept by the sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient, TableEntity, UpdateMode

from shared.imports.model.record import import_id_of
from shared.imports.store.days import DAY, DailyCounts, date_of, is_end
from shared.imports.store.rows import (
    NewerRowError,
    UnreadableRowError,
    is_newer,
    plain,
    to_record,
    typed,
)
from shared.logs import logger

__all__ = ["Statistics"]

log = logger(__name__)

#: How far back the sweep looks for ends that were not counted.
PERIOD = timedelta(days=40)

#: Ends that one transaction counts: it has 100 operations at most.
BATCH = 99


class Statistics:
    """Counts of the imports that ended on each day."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def days(self, hub: str, first: date) -> Iterator[DailyCounts]:
        """The counts of the days from that one on, in parts to be added up by their date."""
        for row in self._rows(hub, first):
            try:
                yield DailyCounts.of_row(plain(row))
            except ValueError as error:
                log.warning("%s; the sweep counts the day anew", error)

    def count_ends(self, hub: str, today: date, limit: int) -> None:
        """Add the ends that have rows of their own to the rows of their days.

        Args:
            limit: transactions that one call makes at most.

        Raises:
            HttpResponseError: another process counted them meanwhile.
        """
        for _ in range(limit):
            if not self._count_some(hub, today):
                return

    def _count_some(self, hub: str, today: date) -> bool:
        """Do one transaction; returns whether there may be more to do."""
        days: dict[str, TableEntity] = {}
        ends: dict[str, list[TableEntity]] = {}
        newer: set[str] = set()
        edited: dict[str, ValueError] = {}
        for row in self._rows(hub, today - PERIOD):
            if is_newer(row):
                newer.add(row["RowKey"][: len(DAY) + 8])
                continue
            key, day_key = row["RowKey"], row["RowKey"][: len(DAY) + 8]
            try:
                date_of(key)
            except ValueError:
                log.warning("row %s is not one of the app's", key)
                continue
            if is_end(key):
                ends.setdefault(day_key, []).append(row)
            else:
                days[day_key] = row
            try:
                DailyCounts.of_row(plain(row))
            except ValueError as error:
                edited.setdefault(day_key, error)
        for day_key in edited.keys() - newer:
            log.warning("%s; the day is counted from its records", edited[day_key])
            self._recount(hub, day_key)
            return True
        for day_key in newer:
            ends.pop(day_key, None)
        for day_key, rows in ends.items():
            self._add(hub, day_key, days.get(day_key), rows[:BATCH])
            return len(rows) > BATCH or len(ends) > 1
        return False

    def _add(
        self, hub: str, day_key: str, day: TableEntity | None, ends: Sequence[TableEntity]
    ) -> None:
        """Add ends to the row of their day and delete their rows: each is counted once."""
        counts = DailyCounts.of_row(plain(day)) if day else DailyCounts(date_of(day_key))
        for end in ends:
            counts += DailyCounts.of_row(plain(end))
        self._write(hub, counts, day, ends)

    def _recount(self, hub: str, day_key: str) -> None:
        """Write the row of a day anew, from the records; looks through the hub's history."""
        midnight = datetime.combine(date_of(day_key), time(), UTC)
        records = list(
            self._table.query_entities(
                "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'import.' "
                "and finishedAt ge @from and finishedAt lt @to",
                parameters={"hub": hub, "from": midnight, "to": midnight + timedelta(days=1)},
            )
        )
        # Read after the records: each of them that ended before has its row here or was counted.
        day, good, edited = None, set(), []
        for row in self._rows(hub, date_of(day_key)):
            if row["RowKey"] == day_key:
                day = row
            elif row["RowKey"].startswith(day_key):
                try:
                    DailyCounts.of_row(plain(row))
                    good.add(import_id_of(row["RowKey"]))
                except ValueError:
                    edited.append(row)
        counts = DailyCounts(date_of(day_key))
        for row in records:
            try:
                record = to_record(row)
            except (UnreadableRowError, NewerRowError):
                continue
            if record.id not in good:
                counts += DailyCounts.of_record(record)
        self._write(hub, counts, day, edited[:BATCH])

    def _write(
        self,
        hub: str,
        counts: DailyCounts,
        day: TableEntity | None,
        counted: Sequence[TableEntity],
    ) -> None:
        row = typed({"PartitionKey": hub, "RowKey": counts.row_key, **counts.to_columns()})
        write: Any = ("create", row)
        if day is not None:
            guard = {
                "mode": UpdateMode.REPLACE,
                "etag": day.metadata["etag"],
                "match_condition": MatchConditions.IfNotModified,
            }
            write = ("update", row, guard)
        deletions = [("delete", {"PartitionKey": hub, "RowKey": end["RowKey"]}) for end in counted]
        self._table.submit_transaction([write, *deletions])

    def _rows(self, hub: str, first: date) -> Iterator[TableEntity]:
        rows = self._table.query_entities(
            "PartitionKey eq @hub and RowKey ge @first and RowKey lt 'day.'",
            parameters={"hub": hub, "first": DailyCounts(first).row_key},
        )
        try:
            yield from rows
        except ResourceNotFoundError:
            return
