"""The hub's clock, which can be put forward: a job history of 30 days is seen in no time."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

_FAR_AHEAD = 70 * 365 * 86400.0


class Clock:
    """The time that jobs, identities and twins go by; tokens go by the machine's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        with self._lock:
            return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the clock forward; ValueError if that would be back, or no time at all."""
        if not 0 <= seconds < _FAR_AHEAD:
            raise ValueError("the clock goes forward only, and not beyond this century")
        with self._lock:
            self._ahead += timedelta(seconds=seconds)
