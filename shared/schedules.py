"""NCRONTAB schedules, with exactly the semantics of the Azure Functions host.

The host disables a function with an invalid schedule and keeps running, so the settings must reject
such a schedule first. No Python library has the rules of NCrontab 3, the parser of the Timers
extension:

- Six fields: second, minute, hour, day, month and day of the week. With five, the second is 0.
- Only spaces separate fields.
- Sunday is 0; 7 is invalid. A date must match the day and the day of the week.
- Any prefix of an English name is valid, in any case; the first match counts: `ju` is June.
- The ends of a range may be swapped: `22-2` equals `2-22`.
- `10/5` equals `10-59/5`. A step of 0 or less is 1.

The host also accepts time spans, such as `00:00:30`. They are invalid here: the scale controller of
Consumption and Flex Consumption plans does not support them (learn: "AZFD0015"), and they are
misleading: `30` means 30 days, `24:00:00` 24 days.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from itertools import pairwise

__all__ = ["NEVER", "Schedule"]

#: The next run of a schedule whose dates do not exist, such as 30 February, as in the host.
NEVER = datetime(MAXYEAR, 12, 31, 23, 59, 59, tzinfo=UTC)

#: Maximum years between two dates of a schedule: 29 February on a given day of the week.
_MAX_YEARS = 40

# As int.Parse of .NET: 32 bits, with white space around.
_VALUE = re.compile(r"[0-9]+[\t-\r]*")
_STEP = re.compile(r"[\t-\r]*[+-]?[0-9]+[\t-\r]*")
_MAX_INT = 2**31 - 1


@dataclass(frozen=True)
class _Field:
    """A field of an expression, and its range of values."""

    name: str
    first: int
    last: int
    #: Names of the values, in lower case.
    names: tuple[str, ...] = ()

    def values(self, text: str) -> tuple[int, ...]:
        """Return the selected values in ascending order.

        Raises:
            ValueError: the text is invalid for the host.
        """
        return tuple(sorted({value for item in text.split(",") for value in self._item(item)}))

    def _item(self, text: str) -> range:
        text, slash, step_text = text.partition("/")
        if slash and not _STEP.fullmatch(step_text):
            raise ValueError(f"has an invalid step in the {self.name} field")
        step = int(step_text) if slash else 1
        first, last = self._ends(text, bool(slash))
        if not self.first <= first <= last <= self.last:
            raise self._invalid()
        # The host adds a step to the position of a value.
        if not -_MAX_INT - 1 <= step <= _MAX_INT - (first - self.first):
            raise ValueError(f"has an invalid step in the {self.name} field")
        return range(first, last + 1, max(step, 1))

    def _ends(self, text: str, has_step: bool) -> tuple[int, int]:
        if text == "*":
            return self.first, self.last
        start, dash, end = text.partition("-")
        first = self._value(start)
        last = self._value(end) if dash else self.last if has_step else first
        return min(first, last), max(first, last)

    def _value(self, text: str) -> int:
        if _VALUE.fullmatch(text):
            return int(text)
        for value, name in enumerate(self.names, self.first):
            if text and name.startswith(text.lower()):
                return value
        raise self._invalid()

    def _invalid(self) -> ValueError:
        sunday = " (0 is Sunday)" if self.first == 0 and self.names else ""
        names = ", or an English name" if self.names else ""
        return ValueError(
            f"has an invalid {self.name} field, which allows {self.first} to {self.last}"
            f"{sunday}{names}"
        )


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field(
        "month",
        1,
        12,
        (
            *("january", "february", "march", "april", "may", "june"),
            *("july", "august", "september", "october", "november", "december"),
        ),
    ),
    _Field(
        "day of the week",
        0,
        6,
        ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
    ),
)


@dataclass(frozen=True)
class Schedule:
    """The runs of a timer, in UTC. The values of each field are in ascending order."""

    expression: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    #: 0 is Sunday.
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, expression: str) -> Schedule:
        """Parse an NCRONTAB expression.

        Raises:
            ValueError: it is invalid for the host, or a time span. The message contains no part of
                it.
        """
        texts = [text for text in expression.split(" ") if text]
        if len(texts) == len(_FIELDS) - 1:
            texts.insert(0, "0")
        if len(texts) != len(_FIELDS):
            raise ValueError("is not an NCRONTAB expression of six fields, separated by spaces")
        return cls(
            expression,
            *(field.values(text) for field, text in zip(_FIELDS, texts, strict=True)),
        )

    def __str__(self) -> str:
        return self.expression

    def next(self, after: datetime) -> datetime:
        """Return the next run after an aware time; `NEVER` if there is none.

        Like the host, it may skip runs in the first seconds of a minute: `*/30 41 * * * *` runs at
        13:41:30 after 13:00:00.
        """
        if after >= NEVER:
            return NEVER
        base = after.astimezone(UTC)
        for day in self._dates(base.date()):
            first = time(self.hours[0], self.minutes[0], self.seconds[0])
            run = first if day > base.date() else self._later_time(base)
            if run is not None:
                return datetime.combine(day, run, UTC)
        return NEVER

    @property
    def shortest_interval(self) -> timedelta:
        """The shortest time between two runs, as if every date matched."""
        intervals = []
        # From the first to the last run within a minute, then an hour, then a day.
        span = 0
        for values, unit in ((self.seconds, 1), (self.minutes, 60), (self.hours, 3600)):
            intervals += [(end - start) * unit - span for start, end in pairwise(values)]
            span += (values[-1] - values[0]) * unit
        return timedelta(seconds=min([*intervals, 24 * 3600 - span]))

    def _dates(self, start: date) -> Iterator[date]:
        """Yield the matching dates from `start` on."""
        for year in range(start.year, min(start.year + _MAX_YEARS, MAXYEAR) + 1):
            for month in self.months:
                length = monthrange(year, month)[1]
                for day in (day for day in self.days if day <= length):
                    candidate = date(year, month, day)
                    if candidate >= start and candidate.isoweekday() % 7 in self.weekdays:
                        yield candidate

    def _later_time(self, base: datetime) -> time | None:
        """The next run after `base` on the same day."""
        second = _at_least(base.second + 1, self.seconds)
        minute = _at_least(base.minute + (second is None), self.minutes)
        hour = _at_least(base.hour + (minute is None), self.hours)
        if hour is None:
            return None
        if minute is None or hour > base.hour:
            minute = self.minutes[0]
        # Like in the host, a later minute or hour does not reset the second.
        return time(hour, minute, self.seconds[0] if second is None else second)


def _at_least(limit: int, values: tuple[int, ...]) -> int | None:
    return next((value for value in values if value >= limit), None)
