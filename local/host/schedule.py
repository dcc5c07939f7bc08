"""Schedules of timers as the Timers extension reads them: NCRONTAB, or else a TimeSpan.

The app checks its schedules with a parser of its own. The two share no code, so that a recording
of the real host (``tests/ncrontab.jsonl``) and generated expressions show an error of either.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

__all__ = ["NEVER", "Schedule"]

#: The next occurrence of a date that does not exist, such as 30 February (.NET, DateTime.MaxValue).
NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

#: Years after which the calendar repeats, including the days of the week.
_CALENDAR_CYCLE: Final = 400
_LARGEST_NUMBER: Final = 2**31 - 1
_TIME_SPAN: Final = re.compile(
    r"(?P<sign>-?)"
    r"(?:(?P<days>\d{1,8})(?:$|\.(?=\d+:)|:(?=\d+:\d+:)))?"
    r"(?:(?P<hours>\d{1,8}):(?P<minutes>\d{1,2})"
    r"(?::(?P<seconds>\d{1,2})(?:\.(?P<fraction>\d{1,7}))?)?)?",
    re.ASCII,
)
_LONGEST_SPAN: Final = timedelta(days=10675199)


@dataclass(frozen=True)
class _Field:
    """Accepted values of a field; a name can be shortened to any prefix."""

    label: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def parse(self, text: str) -> tuple[int, ...]:
        """Return the values in ascending order; ValueError if there is any that is not accepted.

        The ends of a range can be in either order, and a step of 0 counts as 1.
        """
        values: set[int] = set()
        for item in text.split(","):
            span, slash, step = item.partition("/")
            start, dash, end = span.partition("-")
            if span == "*":
                low, high = self.first, self.last
            elif dash:
                low, high = sorted((self._value(start), self._value(end)))
            else:
                low = self._value(span)
                high = self.last if slash else low
            if not self.first <= low <= high <= self.last:
                raise ValueError(f"the {self.label} must be {self.first} to {self.last}")
            values.update(range(low, high + 1, max(1, _number(step)) if slash else 1))
        return tuple(sorted(values))

    def _value(self, text: str) -> int:
        for position, name in enumerate(self.names):
            if text and name.startswith(text.lower()):
                return self.first + position
        try:
            return _number(text)
        except ValueError as error:
            raise ValueError(f"the {self.label} is invalid") from error


def _time_span(text: str) -> timedelta:
    """Read ``days``, ``[days.]hours:minutes[:seconds[.fraction]]`` or the like, as .NET does."""
    match = _TIME_SPAN.fullmatch(text.strip())
    if match is None or not (match["days"] or match["hours"]):
        raise ValueError("neither five or six fields of NCRONTAB nor a TimeSpan")
    days, hours, minutes, seconds = (
        int(match[part] or 0) for part in ("days", "hours", "minutes", "seconds")
    )
    if hours > 23 and match["seconds"] and not (match["days"] or match["fraction"]):
        days, hours, minutes, seconds = hours, minutes, seconds, 0
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    span += timedelta(seconds=float(f"0.{match['fraction'] or 0}"))
    if hours > 23 or minutes > 59 or seconds > 59 or span > _LONGEST_SPAN:
        raise ValueError("the TimeSpan is out of range")
    return -span if match["sign"] else span


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]+", text) or int(text) > _LARGEST_NUMBER:
        raise ValueError("a number is invalid")
    return int(text)


_MONTHS: Final = tuple(name.lower() for name in calendar.month_name[1:])
_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_FIELDS: Final = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


@dataclass(frozen=True)
class Schedule:
    """The occurrences of ``expression``, in UTC.

    Raises ValueError if it is neither five or six fields (``{second} {minute} {hour} {day} {month}
    {day of the week}``, without a second 0) nor a TimeSpan.
    """

    expression: str
    #: Time from one occurrence to the next, for a TimeSpan.
    every: timedelta | None = field(init=False, default=None)
    _values: tuple[tuple[int, ...], ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        texts = [text for text in self.expression.split(" ") if text]
        if len(texts) == len(_FIELDS) - 1:
            texts.insert(0, "0")
        if len(texts) == len(_FIELDS):
            values = tuple(kind.parse(text) for kind, text in zip(_FIELDS, texts, strict=True))
            object.__setattr__(self, "_values", values)
        else:
            object.__setattr__(self, "every", _time_span(self.expression))

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence after ``moment``; day and day of the week must both match."""
        try:
            if self.every is not None:
                return moment + self.every
            start = moment.replace(microsecond=0) + timedelta(seconds=1)
        except OverflowError:
            return NEVER
        clock = self._later(start.time()) if self._is_on(start.date()) else None
        if clock is not None:
            return datetime.combine(start.date(), clock, UTC)
        seconds, minutes, hours = self._values[:3]
        for day in self._days_after(start.date()):
            return datetime.combine(day, time(hours[0], minutes[0], seconds[0]), UTC)
        return NEVER

    def _later(self, start: time) -> time | None:
        """The next time of a day.

        A later minute or hour does not reset the second to the first one, as in NCrontab before
        3.3.3 (its issue 90), which the extension uses.
        """
        seconds, minutes, hours = self._values[:3]
        second = _from(seconds, start.second)
        minute = _from(minutes, start.minute + (second is None))
        hour = _from(hours, start.hour + (minute is None))
        if hour is None:
            return None
        if minute is None or hour > start.hour:
            minute = minutes[0]
        return time(hour, minute, seconds[0] if second is None else second)

    def _is_on(self, day: date) -> bool:
        days, months, weekdays = self._values[3:]
        return day.day in days and day.month in months and day.isoweekday() % 7 in weekdays

    def _days_after(self, after: date) -> Iterator[date]:
        days, months, _ = self._values[3:]
        for year in range(after.year, min(after.year + _CALENDAR_CYCLE, 9999) + 1):
            for month in months:
                for number in days:
                    if number > calendar.monthrange(year, month)[1]:
                        break
                    day = date(year, month, number)
                    if day > after and self._is_on(day):
                        yield day


def _from(values: tuple[int, ...], least: int) -> int | None:
    return next((value for value in values if value >= least), None)
