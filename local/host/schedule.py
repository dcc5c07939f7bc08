"""NCRONTAB schedules: six fields, in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from croniter import CroniterError, croniter

__all__ = ["Schedule"]

_FIELDS: Final = 6
# croniter knows words and signs that NCRONTAB does not (@daily, L, #, ?).
_VALUE: Final = r"(?:\d+|[A-Za-z]{3})"
_ITEM: Final = rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/\d+)?"
_FIELD: Final = re.compile(rf"{_ITEM}(?:,{_ITEM})*")


@dataclass(frozen=True)
class Schedule:
    """``{second} {minute} {hour} {day} {month} {day of the week}`` (Azure Functions, NCRONTAB)."""

    expression: str

    def __post_init__(self) -> None:
        fields = self.expression.split()
        if len(fields) != _FIELDS:
            raise ValueError(
                f"schedule '{self.expression}' has {len(fields)} fields, NCRONTAB has {_FIELDS}"
            )
        wrong = [field for field in fields if not _FIELD.fullmatch(field)]
        if wrong:
            raise ValueError(f"schedule '{self.expression}': '{wrong[0]}' is not NCRONTAB")
        try:
            self.next_after(datetime.now(UTC))
        except CroniterError as error:
            raise ValueError(f"schedule '{self.expression}': {error}") from error

    def next_after(self, moment: datetime) -> datetime:
        """First occurrence after ``moment``; day and day of the week must both match."""
        times = croniter(self.expression, moment, second_at_beginning=True, day_or=False)
        occurrence: datetime = times.get_next(datetime)
        return occurrence
