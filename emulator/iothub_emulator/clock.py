"""The hub's clock, which tests set: ahead by 30 days, or behind the clock of a client."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

_FAR_AHEAD = 70 * 365 * 86400.0


class Clock:
    """The time of jobs, identities, twins and Date headers; tokens use the machine's clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: How far it is ahead of the machine's clock; negative is behind.
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        """Put the clock forward; ValueError if that would be back, or no time at all."""
        if not 0 <= seconds < _FAR_AHEAD:
            raise ValueError("the clock goes forward only, and not beyond this century")
        with self._lock:
            self.ahead += timedelta(seconds=seconds)
