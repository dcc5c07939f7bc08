"""How long a job takes: the time it needs, and no less than it is told to take."""

from __future__ import annotations

import threading
import time

#: The part of a job's time that it waits before it runs.
ENQUEUED_SHARE = 0.25
#: Identities that are handled as one, at most.
MAX_BATCH = 500
#: Seconds that a batch of a slow job should last, so that its progress is seen.
_BATCH_SECONDS = 0.1


class StoppedError(Exception):
    """The job is not to go on: it was cancelled or forgotten, or the hub goes down."""


class Pace:
    """Waits of one job, which end at once when it is stopped.

    Parameters
    ----------
    seconds
        The least time from the job's creation to its end.
    rate
        Identities per second that it handles at most; 0 for as many as it can.
    """

    def __init__(self, seconds: float, rate: float) -> None:
        self._seconds = seconds
        self._rate = rate
        self._created = time.monotonic()
        self._stop_requested = threading.Event()

    @property
    def batch(self) -> int:
        """How many identities to handle before waiting again."""
        if not self._rate:
            return MAX_BATCH
        return max(1, min(MAX_BATCH, int(self._rate * _BATCH_SECONDS)))

    def stop(self) -> None:
        self._stop_requested.set()

    def wait_to_run(self) -> None:
        self._wait_until(ENQUEUED_SHARE * self._seconds)

    def wait(self, handled: int, progress: float) -> None:
        """Wait for the moment at which so many identities, and so much of 1, may be done."""
        share = ENQUEUED_SHARE + (1 - ENQUEUED_SHARE) * progress
        by_rate = handled / self._rate if self._rate else 0
        self._wait_until(max(share * self._seconds, by_rate))

    def wait_for_ever(self) -> None:
        self._stop_requested.wait()
        raise StoppedError

    def _wait_until(self, seconds: float) -> None:
        left = self._created + seconds - time.monotonic()
        if self._stop_requested.wait(max(0, left)):
            raise StoppedError
