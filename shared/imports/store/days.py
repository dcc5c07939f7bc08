"""Counts of the imports that ended on one day at one hub.

An end is written as a row of its own, `day-<date>-<id>`, together with the final record: nothing in
it can make an end fail. The sweep adds such rows to the day's row, `day-<date>`, and deletes them
in the same transaction, so each end is counted once. Until then readers add them up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from shared.imports.model.record import SCHEMA, ImportRecord, ImportState

__all__ = ["DAY", "DailyCounts", "date_of", "day_key", "end_row", "is_end"]

#: RowKeys of days begin so.
DAY = "day-"

_IMPORTED, _FAILED, _INVALID = "devicesImported", "devicesFailed", "linesInvalid"
_UNKNOWN = "importsUnknown"


@dataclass(frozen=True)
class DailyCounts:
    """Counts of the imports that became final on a day (UTC)."""

    date: date
    #: Imports by their final state.
    imports: Counter[ImportState] = field(default_factory=Counter)
    #: Devices and modules that the hub took, and those that it refused, as far as that is known.
    imported: int = 0
    failed: int = 0
    #: Lines that broke rules and so never reached the hub.
    invalid: int = 0
    #: Imports of which it is not known how many devices the hub took.
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

    def to_columns(self) -> dict[str, Any]:
        return {
            **{state.value: count for state, count in self.imports.items()},
            _IMPORTED: self.imported,
            _FAILED: self.failed,
            _INVALID: self.invalid,
            _UNKNOWN: self.unknown,
            "schema": SCHEMA,
        }

    @classmethod
    def of_record(cls, record: ImportRecord) -> DailyCounts:
        """The counts of one import that has ended."""
        return cls(
            _ended(record).date(),
            Counter([record.state]),
            record.imported or 0,
            record.failed or 0,
            record.invalid_lines or 0,
            int(record.imported is None),
        )

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> DailyCounts:
        """The counts of a day's row, or of that of one end.

        Raises:
            ValueError: people edited it.
        """
        counts = {
            name: row[name]
            for name in (*(state.value for state in ImportState), *_COLUMNS)
            if name in row
        }
        if not all(isinstance(count, int) and count >= 0 for count in counts.values()):
            raise ValueError(f"row {row['RowKey']} has a column that is not a count")
        if missing := [name for name in _COLUMNS if name not in counts]:
            raise ValueError(f"row {row['RowKey']} lacks {', '.join(missing)}")
        return cls(
            date_of(row["RowKey"]),
            Counter({state: counts[state.value] for state in ImportState if state.value in counts}),
            *(counts[name] for name in _COLUMNS),
        )

    @property
    def row_key(self) -> str:
        return f"{DAY}{self.date:%Y%m%d}"


_COLUMNS = (_IMPORTED, _FAILED, _INVALID, _UNKNOWN)


def end_row(record: ImportRecord) -> dict[str, Any]:
    """The row that tells of the end of one import until it is added to its day's."""
    counts = DailyCounts.of_record(record)
    return {
        "PartitionKey": record.hub,
        "RowKey": f"{counts.row_key}-{record.id}",
        **counts.to_columns(),
    }


def is_end(row_key: str) -> bool:
    """Whether the row is that of one end, and not of a day."""
    return row_key.count("-") > 1


def date_of(row_key: str) -> date:
    """The day of a row.

    Raises:
        ValueError: the RowKey is not one of these.
    """
    return datetime.strptime(row_key.removeprefix(DAY)[:8], "%Y%m%d").date()


def day_key(moment: datetime) -> str:
    """RowKey of the day of that moment: the oldest day first."""
    return DailyCounts(moment.astimezone(UTC).date()).row_key


def _ended(record: ImportRecord) -> datetime:
    return (record.finished_at or record.updated_at).astimezone(UTC)
