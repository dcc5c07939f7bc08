"""What ended on one day at one hub: a row of counts, written together with each final record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from shared.imports.record import ImportRecord, ImportState

__all__ = ["DAY", "Day", "day_key"]

#: RowKeys of days begin so.
DAY = "day-"


@dataclass(frozen=True)
class Day:
    """Counts of the imports that became final on a day (UTC)."""

    date: date
    #: Imports by their final state.
    imports: Counter[ImportState] = field(default_factory=Counter)
    #: Devices and modules that the hub took, and those that it refused.
    imported: int = 0
    failed: int = 0
    #: Lines that broke rules and so never reached the hub.
    invalid: int = 0

    def plus(self, record: ImportRecord) -> Day:
        """The day with one more import."""
        return replace(
            self,
            imports=self.imports + Counter([record.state]),
            imported=self.imported + (record.imported or 0),
            failed=self.failed + (record.failed or 0),
            invalid=self.invalid + (record.invalid_lines or 0),
        )

    def __add__(self, other: Day) -> Day:
        """The same day at two hubs."""
        return Day(
            self.date,
            self.imports + other.imports,
            self.imported + other.imported,
            self.failed + other.failed,
            self.invalid + other.invalid,
        )

    def to_columns(self) -> dict[str, Any]:
        return {
            **{state.value: count for state, count in self.imports.items()},
            "devicesImported": self.imported,
            "devicesFailed": self.failed,
            "linesInvalid": self.invalid,
        }

    @classmethod
    def of_key(cls, row_key: str) -> Day:
        """The day of a row, with nothing counted yet."""
        return cls(datetime.strptime(row_key, f"{DAY}%Y%m%d").date())

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Day:
        return replace(
            cls.of_key(row["RowKey"]),
            imports=Counter({state: row[state.value] for state in ImportState if state in row}),
            imported=row["devicesImported"],
            failed=row["devicesFailed"],
            invalid=row["linesInvalid"],
        )

    @property
    def row_key(self) -> str:
        return day_key(datetime.combine(self.date, datetime.min.time(), UTC))


def day_key(moment: datetime) -> str:
    """RowKey of the day of that moment: the oldest day first."""
    return f"{DAY}{moment.astimezone(UTC):%Y%m%d}"
