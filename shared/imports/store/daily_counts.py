"""Counts of the imports that ended on a day at a hub.

An end is written as a row of its own, `day-<date>-<id>`, together with the final record: nothing in
it can make an end fail. The sweep adds such rows to the day's row, `day-<date>`, and deletes them
in the same transaction, so each end is counted once. Until then readers add them up. A day whose
row was edited is counted from its records again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from azure.data.tables import TableEntity

from shared.imports.model.keys import import_id_of
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.rows import (
    SCHEMA,
    NewerRowError,
    UnreadableRowError,
    is_newer,
    python_values,
    table_values,
    to_record,
)
from shared.imports.store.table import MAX_OPERATIONS, ImportsTable, guarded
from shared.logs import logger

__all__ = ["DailyCounts", "DailyCountsStore", "end_row"]

log = logger(__name__)

_PREFIX = "day-"
#: `day-<yyyymmdd>`
_DAY_KEY_LENGTH = len(_PREFIX) + 8

#: How far back the sweep reads ends that were not counted.
PERIOD = timedelta(days=40)

#: Ends that one transaction counts, beside the row of their day.
BATCH = MAX_OPERATIONS - 1


@dataclass(frozen=True)
class DailyCounts:
    """Counts of the imports that became final on a day (UTC)."""

    date: date
    #: Imports by their final state.
    imports: Counter[ImportState] = field(default_factory=Counter)
    #: Devices and modules that were imported, and that the hub rejected, as far as it is known.
    imported: int = 0
    failed: int = 0
    #: Lines that broke rules and so never reached the hub.
    invalid: int = 0
    #: Imports whose number of imported devices is not known.
    unknown: int = 0

    def __add__(self, other: DailyCounts) -> DailyCounts:
        """The same day with other imports."""
        return DailyCounts(
            self.date,
            self.imports + other.imports,
            self.imported + other.imported,
            self.failed + other.failed,
            self.invalid + other.invalid,
            self.unknown + other.unknown,
        )

    @property
    def row_key(self) -> str:
        return f"{_PREFIX}{self.date:%Y%m%d}"

    def to_columns(self) -> dict[str, Any]:
        counts = (self.imported, self.failed, self.invalid, self.unknown)
        return {
            **{state.value: count for state, count in self.imports.items()},
            **dict(zip(_COLUMNS, counts, strict=True)),
            "schema": SCHEMA,
        }

    @classmethod
    def of_record(cls, record: ImportRecord) -> DailyCounts:
        """The counts of one import that has ended."""
        return cls(
            record.ended_at.astimezone(UTC).date(),
            Counter([record.state]),
            record.imported or 0,
            record.failed or 0,
            record.invalid_lines or 0,
            int(record.imported is None),
        )

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> DailyCounts:
        """The counts in the row of a day, or of one end.

        Raises:
            ValueError: it was edited.
        """
        columns = python_values(row)
        states = [state for state in ImportState if state in columns]
        if missing := [name for name in _COLUMNS if name not in columns]:
            raise ValueError(f"row {row['RowKey']} lacks {', '.join(missing)}")
        counts = [columns[name] for name in (*_COLUMNS, *states)]
        if not all(isinstance(count, int) and count >= 0 for count in counts):
            raise ValueError(f"row {row['RowKey']} has a column that is not a count")
        imports = Counter({state: columns[state] for state in states})
        return cls(_date_of(row["RowKey"]), imports, *counts[: len(_COLUMNS)])


_COLUMNS = ("devicesImported", "devicesFailed", "linesInvalid", "importsUnknown")


def end_row(record: ImportRecord) -> dict[str, Any]:
    """The row that counts one end until it is added to its day's."""
    counts = DailyCounts.of_record(record)
    return {
        "PartitionKey": record.hub,
        "RowKey": f"{counts.row_key}-{record.id}",
        **counts.to_columns(),
    }


class DailyCountsStore:
    """Reads and adds up the rows of days and ends."""

    def __init__(self, table: ImportsTable) -> None:
        self._table = table

    def since(self, hub: str, first: date, ends: set[str] | None = None) -> Iterator[DailyCounts]:
        """The counts of the days from that one on, in parts to be added up by their date.

        Args:
            ends: collects the ids of the imports that are not added to their day yet.
        """
        for row in self._rows(hub, first):
            if ends is not None and _is_end(row["RowKey"]):
                ends.add(import_id_of(row["RowKey"]))
            try:
                yield DailyCounts.of_row(row)
            except ValueError as error:
                log.warning("%s; the sweep counts the day again", error)

    def count_ends(self, hub: str, today: date, limit: int) -> None:
        """Add the rows of ends to the rows of their days.

        Args:
            limit: transactions that one call makes at most.

        Raises:
            HttpResponseError: another process counted them.
        """
        for _ in range(limit):
            if not self._count_batch(hub, today):
                return

    def _count_batch(self, hub: str, today: date) -> bool:
        """Do one transaction; returns whether there may be more to do."""
        days: dict[str, TableEntity] = {}
        ends: dict[str, list[TableEntity]] = {}
        newer: set[str] = set()
        edited: dict[str, ValueError] = {}
        for row in self._rows(hub, today - PERIOD):
            key, day_key = row["RowKey"], row["RowKey"][:_DAY_KEY_LENGTH]
            if is_newer(row):
                newer.add(day_key)
                continue
            try:
                _date_of(key)
            except ValueError:
                log.warning("row %s was not written by the app", key)
                continue
            if _is_end(key):
                ends.setdefault(day_key, []).append(row)
            else:
                days[day_key] = row
            try:
                DailyCounts.of_row(row)
            except ValueError as error:
                edited.setdefault(day_key, error)
        for day_key in edited.keys() - newer:
            log.warning("%s; the day is counted from its records", edited[day_key])
            self._recount(hub, day_key)
            return True
        for day_key in newer:
            ends.pop(day_key, None)
        for day_key, rows in ends.items():
            counts = DailyCounts(_date_of(day_key))
            day = days.get(day_key)
            for row in (*([day] if day else ()), *rows[:BATCH]):
                counts += DailyCounts.of_row(row)
            self._write(hub, counts, day, rows[:BATCH])
            return len(rows) > BATCH or len(ends) > 1
        return False

    def _recount(self, hub: str, day_key: str) -> None:
        """Count a day from its records; reads the hub's history."""
        midnight = datetime.combine(_date_of(day_key), time(), UTC)
        records = list(
            self._table.query(
                "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'import.' "
                "and finishedAt ge @from and finishedAt lt @to",
                {"hub": hub, "from": midnight, "to": midnight + timedelta(days=1)},
            )
        )
        # Read after the records: an end among these has its row here or was counted before.
        day, pending, edited = None, set(), []
        for row in self._rows(hub, _date_of(day_key)):
            if row["RowKey"] == day_key:
                day = row
            elif row["RowKey"].startswith(day_key):
                try:
                    DailyCounts.of_row(row)
                    pending.add(import_id_of(row["RowKey"]))
                except ValueError:
                    edited.append(row)
        counts = DailyCounts(_date_of(day_key))
        for row in records:
            try:
                record = to_record(row)
            except (UnreadableRowError, NewerRowError):
                continue
            if record.id not in pending:
                counts += DailyCounts.of_record(record)
        self._write(hub, counts, day, edited[:BATCH])

    def _write(
        self, hub: str, counts: DailyCounts, day: TableEntity | None, counted: Sequence[TableEntity]
    ) -> None:
        """Write the row of a day, and delete the rows of the ends that it now contains."""
        row = table_values({"PartitionKey": hub, "RowKey": counts.row_key, **counts.to_columns()})
        write = ("update", row, guarded(str(day.metadata["etag"]))) if day else ("create", row)
        deletions = [("delete", {"PartitionKey": hub, "RowKey": end["RowKey"]}) for end in counted]
        self._table.transact([write, *deletions])

    def _rows(self, hub: str, first: date) -> Iterator[TableEntity]:
        return self._table.range(hub, DailyCounts(first).row_key, "day.")


def _is_end(row_key: str) -> bool:
    return row_key.count("-") > 1


def _date_of(row_key: str) -> date:
    """The day of a row.

    Raises:
        ValueError: the row key is not that of a day or an end.
    """
    return datetime.strptime(row_key[len(_PREFIX) : _DAY_KEY_LENGTH], "%Y%m%d").date()
