"""Keeps the lease of an import or a job while a process works on it, however long that takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from shared.imports.model.job import JobRecord
from shared.imports.model.parts import Lease
from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.imports.store.import_store import ConflictError
from shared.invocation import in_this_invocation
from shared.logs import logger

__all__ = ["KeptLease"]

log = logger(__name__)

T = TypeVar("T", ImportRecord, JobRecord)

#: Seconds between two renewals that note the progress. Work that takes less writes nothing more.
PROGRESS_SECONDS = 5.0


class KeptLease(Generic[T]):
    """A thread renews the lease each time that a third of it is over, or to note the progress."""

    def __init__(
        self,
        services: Services,
        record: T,
        update: Callable[[T], T],
        progress: Callable[[T], T] | None = None,
    ) -> None:
        """Begin with a record that has a lease.

        Args:
            update: writes a changed record under its ETag.
            progress: returns the record with how far the work is, every `PROGRESS_SECONDS`.
        """
        self._services = services
        self._duration = services.settings.retries.lease
        self._record: T = record
        self._update: Callable[[T], T] = update
        self._progress: Callable[[T], T] | None = progress
        self._conflict: ConflictError | None = None
        self._ended = threading.Event()
        renew = in_this_invocation(self._renew)
        self._thread = threading.Thread(target=renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that no other process took the work over.

        Raises:
            ConflictError: another process did.
        """
        if self._conflict is not None:
            raise self._conflict

    def release(self) -> T:
        """End the renewals; returns the record as it was written last.

        Raises:
            ConflictError: another process took the work over.
        """
        self.stop()
        self.check()
        return self._record

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        interval = self._duration.total_seconds() / 3
        if self._progress is not None:
            interval = min(interval, PROGRESS_SECONDS)
        while not self._ended.wait(interval):
            until = self._services.clock() + self._duration
            lease = Lease(owner=self._record.lease.owner, until=until)
            renewed = replace(self._record, lease=lease)
            try:
                self._record = self._update(self._progress(renewed) if self._progress else renewed)
            except ConflictError as conflict:
                self._conflict = conflict
                return
            except Exception:
                log.warning("the lease cannot be renewed now", exc_info=True)
