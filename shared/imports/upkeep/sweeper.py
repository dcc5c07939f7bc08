"""What no event and no job brings about: forgotten uploads, work that died, places in the queue.

All of it is safe to repeat and to leave off at any point. One run reads a bounded number of rows
and blobs of each kind, and the next one goes on where it stopped.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from shared import logs, telemetry
from shared.errors import TemporaryError
from shared.imports import metrics
from shared.imports.model.record import NO_HUB, ImportRecord, ImportState
from shared.imports.services import Services
from shared.imports.store.claims import Claim
from shared.imports.store.daily_counts import Statistics
from shared.imports.store.import_store import ConflictError
from shared.imports.store.queries import Queries
from shared.imports.tracing import log_context, with_log_context
from shared.imports.upkeep.retention import Retention
from shared.imports.workflow.intake import Intake
from shared.imports.workflow.job_starter import JobStarter
from shared.imports.workflow.upload_scan import UploadScan
from shared.invocation import in_this_invocation

__all__ = ["Sweeper"]

log = logs.logger(__name__)

#: Imports at the head of a queue that one run looks at.
MAX_QUEUE = 5000

#: Transactions that one run makes for the daily counts of each hub.
MAX_COUNTING = 50

#: Seconds after which a run validates no further file: the largest take minutes, and
#: `functionTimeout` of host.json ends the run.
VALIDATION_TIME = 600

#: Hubs that a run looks after at the same time. A validation takes a CPU and 100 MB.
PARALLEL_HUBS = 2


class Sweeper:
    """What a tick of the slow timer does."""

    def __init__(
        self,
        services: Services,
        queries: Queries,
        statistics: Statistics,
        uploads: UploadScan,
        intake: Intake,
        queue: JobStarter,
    ) -> None:
        self._statistics = statistics
        self._services = services
        self._store = services.store
        self._queries = queries
        self._uploads = uploads
        self._intake = intake
        self._queue = queue
        self._retention = Retention(services, queries)

    def sweep(self) -> None:
        """Do a part of each task.

        Raises:
            TemporaryError: at least one of them failed; the others were done.
        """
        with telemetry.suppress_sdk_spans():
            self._sweep()

    def _sweep(self) -> None:
        deadline = time.monotonic() + VALIDATION_TIME
        queues = {
            f"queue of {hub}": functools.partial(self._look_after, hub, deadline)
            for hub in self._services.hubs
        }
        failed = _failed(
            {
                "uploads": self._uploads.sweep,
                "markers": self._restore_markers,
                "daily counts": self._count_ends,
            }
        )
        with ThreadPoolExecutor(PARALLEL_HUBS) as pool:
            each = in_this_invocation(lambda queue: _failed(dict([queue])))
            for some in pool.map(each, queues.items()):
                failed += some
        failed += _failed(self._retention.tasks())
        if failed:
            raise TemporaryError(f"could not be swept: {', '.join(failed)}; see the log")

    def _look_after(self, hub: str, deadline: float) -> None:
        """Count the places of a queue, and validate what nobody is validating."""
        with logs.log_context(logs.LogContext(hub=hub)):
            self._count_and_validate(hub, deadline)

    def _count_and_validate(self, hub: str, deadline: float) -> None:
        keys = [marker.record_key for marker in self._store.queue(hub, MAX_QUEUE)]
        metrics.queue_length(hub, len(keys))
        if not keys:
            return
        records = {
            record.row_key: record
            for record in self._queries.records(hub, oldest=max(keys), newest=min(keys))
        }
        queue = [records[key] for key in keys if key in records]
        places = [
            (record, place)
            for place, record in enumerate(queue, 1)
            if record.state is ImportState.QUEUED and record.place != place
        ]
        for record in queue:
            is_waiting = record.waits(self._services.clock())
            if (
                record.state is ImportState.VALIDATING
                and not is_waiting
                and time.monotonic() < deadline
            ):
                self._validate(record)
        try:
            self._queries.set_places(hub, places)
        except (ResourceModifiedError, ResourceNotFoundError):
            log.info("the queue moves; places are counted at the next sweep")

    def _count_ends(self) -> None:
        """Bring the counts of each day up to date."""
        today = self._services.clock().astimezone(UTC).date()
        for hub in self._services.known_hubs() | {NO_HUB}:
            self._statistics.count_ends(hub, today, MAX_COUNTING)

    @with_log_context
    def _validate(self, record: ImportRecord) -> None:
        try:
            record = self._intake.resume(record)
            if record.state is ImportState.QUEUED:
                self._queue.enter(record)
        except ConflictError as conflict:
            log.info("%s", conflict)
        except Exception:
            # It was noted in the record, and must not hold up the uploads behind it.
            log.exception("not validated")

    def _restore_markers(self) -> None:
        """Put back markers and claims of open imports that people took away."""
        cursor = self._queries.load("markers")
        page, position = self._queries.open_records(cursor.position)
        for hub in {record.hub for record in page}:
            self._services.claims.remember_hub(hub)
            found = {marker.record_key for marker in self._store.queue(hub, MAX_QUEUE)}
            missing = [one for one in page if one.hub == hub and one.row_key not in found]
            for record in missing[: MAX_QUEUE - len(found)]:
                if not self._store.get(hub, record.row_key).state.is_final:
                    with log_context(record):
                        log.error("the import has no marker; it gets one")
                    self._store.restore_marker(record)
                    claim = Claim(record.id, record.hub, record.row_key, record.file)
                    self._services.claims.make(claim)
        if (cursor.position, position) != ("", ""):
            self._queries.save(replace(cursor, position=position))


def _failed(tasks: dict[str, Callable[[], None]]) -> list[str]:
    """Do all tasks; returns the names of those that failed."""
    failed = []
    for name, task in tasks.items():
        try:
            task()
        except Exception:
            log.exception("%s: not swept", name)
            failed.append(name)
    return failed
