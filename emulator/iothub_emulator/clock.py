"""The hub's clock, which tests can move, and the formats in which a hub writes times."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

_MAX_ADVANCE_SECONDS = 70 * 365 * 86400.0


class Clock:
    """The time of jobs, identities, twins and Date headers; tokens use the machine's clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Difference from the machine's clock; negative when the hub's clock is behind.
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

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
    """Format a time as .NET does: UTC with seven digits for the fraction of a second."""
    utc = time.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='microseconds')}0Z"


def http_date(time: datetime) -> str:
    """Format a time for the Date header (RFC 9110)."""
    return format_datetime(time.astimezone(UTC), usegmt=True)
