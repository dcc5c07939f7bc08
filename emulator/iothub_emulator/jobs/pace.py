"""The pace of a job: the delays by which it takes at least the configured time."""

from __future__ import annotations

import threading
import time

#: The share of a job's time in which it is enqueued.
ENQUEUED_SHARE = 0.25
#: Upper limit of identities in a batch.
MAX_BATCH = 500
#: Duration of a batch of a slow job in seconds, short enough to show progress.
_BATCH_SECONDS = 0.1


class StoppedError(Exception):
    """The job must end: it was cancelled or deleted, or the emulator stops."""


class Pace:
    """Delays of one job, which ``stop`` ends.

    Parameters
    ----------
    seconds
        The least time from the job's creation to its end.
    rate
        Upper limit of identities per second; 0 for no limit.
    """

    def __init__(self, seconds: float, rate: float) -> None:
        self._seconds = seconds
        self._rate = rate
        self._created = time.monotonic()
        self._stop_requested = threading.Event()

    @property
    def batch(self) -> int:
        """Number of identities to handle before the next call of ``wait``."""
        if not self._rate:
            return MAX_BATCH
        return max(1, min(MAX_BATCH, int(self._rate * _BATCH_SECONDS)))

    def stop(self) -> None:
        self._stop_requested.set()

    def wait_to_run(self) -> None:
        self._wait_until(ENQUEUED_SHARE * self._seconds)

    def wait(self, handled: int, progress: float) -> None:
        """Wait until that many identities and that share of the job (0 to 1) may be done."""
        share = ENQUEUED_SHARE + (1 - ENQUEUED_SHARE) * progress
        by_rate = handled / self._rate if self._rate else 0
        self._wait_until(max(share * self._seconds, by_rate))

    def wait_for_ever(self) -> None:
        self._stop_requested.wait()
        raise StoppedError

    def _wait_until(self, seconds: float) -> None:
        remaining = self._created + seconds - time.monotonic()
        if self._stop_requested.wait(max(0, remaining)):
            raise StoppedError
