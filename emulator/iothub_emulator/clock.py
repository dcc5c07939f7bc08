"""The hub's clock, which tests can move, and the formats in which a hub writes times."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

_MAX_ADVANCE_SECONDS = 70 * 365 * 86400.0
#: .NET counts time in ticks of 100 ns since the year 1.
_TICKS_PER_SECOND = 10_000_000
_TICKS_AT_EPOCH = 62_135_596_800 * _TICKS_PER_SECOND


class Clock:
    """The time of jobs, identities, twins and Date headers; tokens use the machine's clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Difference from the machine's clock; negative when the hub's clock is behind.
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def ticks(self) -> int:
        """Return the time as generation ids contain it: units of 100 ns since the year 1."""
        ahead = self.ahead // timedelta(microseconds=1) * 10
        return _TICKS_AT_EPOCH + time.time_ns() // 100 + ahead

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Raises
        ------
        ValueError
            ``seconds`` is negative, not a number, or more than 70 years.
        """
        if not 0 <= seconds < _MAX_ADVANCE_SECONDS:
            raise ValueError("the clock moves forward only, and by at most 70 years")
        with self._lock:
            self.ahead += timedelta(seconds=seconds)


def format_time(time: datetime) -> str:
    """Format a time as a hub does: UTC, without zeros at the end of the fraction of a second."""
    utc = time.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='microseconds').rstrip('0').removesuffix('.')}Z"


def format_ticks(ticks: int) -> str:
    """Format ``Clock.ticks`` as ``format_time`` does a time."""
    seconds, fraction = divmod(ticks - _TICKS_AT_EPOCH, _TICKS_PER_SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    return f"{whole}.{fraction:07}".rstrip("0").removesuffix(".") + "Z"


def http_date(time: datetime) -> str:
    """Format a time for the Date header (RFC 9110)."""
    return format_datetime(time.astimezone(UTC), usegmt=True)
