"""The slow timer: forgotten uploads, validations that died, queue positions, counts, retention.

All of it is safe to repeat and to stop at any point. One run reads a bounded number of rows and
blobs of each kind, and the next one continues where it stopped.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from shared import logs, telemetry
from shared.errors import TemporaryError
from shared.imports import metrics
from shared.imports.model.record import NO_HUB, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.claims import Claim
from shared.imports.store.import_store import ConflictError
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.imports.tracing import log_context, with_log_context
from shared.imports.upkeep.retention import Retention
from shared.imports.workflow.holds import end_if_over
from shared.imports.workflow.hub_queue import HubQueue
from shared.imports.workflow.intake import Intake
from shared.imports.workflow.job_choice import queue_positions
from shared.imports.workflow.registration import record_deletion
from shared.imports.workflow.upload_scan import UploadScan
from shared.invocation import in_this_invocation

__all__ = ["Sweeper"]

log = logs.logger(__name__)

#: Imports at the head of a queue that one run reads.
MAX_QUEUE = 5000

#: Transactions that one run makes for the daily counts of each hub.
MAX_COUNTING = 50

#: Seconds after which a run validates no further file: the largest take minutes, and
#: `functionTimeout` of host.json ends the run.
VALIDATION_TIME = 600

#: Hubs whose queues a run processes at the same time. A validation takes a CPU and 100 MB.
PARALLEL_HUBS = 2


class Sweeper:
    """One run of the slow timer."""

    def __init__(
        self, services: Services, upload_scan: UploadScan, intake: Intake, hub_queue: HubQueue
    ) -> None:
        self._services = services
        self._store = services.store
        self._upload_scan = upload_scan
        self._intake = intake
        self._hub_queue = hub_queue
        self._retention = Retention(services)

    def sweep(self) -> None:
        """Do a part of each task.

        Raises:
            TemporaryError: at least one of them failed; the others were done.
        """
        with telemetry.suppress_sdk_spans():
            deadline = time.monotonic() + VALIDATION_TIME
            failed = _failed(
                {
                    "uploads": self._upload_scan.sweep,
                    "queue rows": self._restore_queue_rows,
                    "held imports": self._end_holds,
                    "daily counts": self._count_ends,
                    "upload tickets": self._delete_tickets,
                }
            )
            queues = {
                f"queue of {hub}": functools.partial(self._sweep_queue, hub, deadline)
                for hub in self._services.hubs
            }
            with ThreadPoolExecutor(PARALLEL_HUBS) as pool:
                sweep_one = in_this_invocation(lambda queue: _failed(dict([queue])))
                for names in pool.map(sweep_one, queues.items()):
                    failed += names
            failed += _failed(self._retention.tasks())
        if failed:
            raise TemporaryError(f"could not be swept: {', '.join(failed)}; see the log")

    def _sweep_queue(self, hub: str, deadline: float) -> None:
        """Count queue positions, and validate what no process validates."""
        with logs.log_context(logs.LogContext(hub=hub)):
            keys = [row.record_key for row in self._services.queue_rows.oldest(hub, MAX_QUEUE)]
            metrics.queue_length(hub, len(keys))
            if not keys:
                return
            records = self._services.queries.records(hub, frozenset(keys))
            queue = [*self._services.with_jobs(records[key] for key in keys if key in records)]
            for record in queue:
                is_validating = record.state is ImportState.VALIDATING
                is_due = not record.is_backing_off(self._services.clock())
                if is_validating and is_due and time.monotonic() < deadline:
                    self._validate(record)
            jobs, now = self._services.settings.jobs, self._services.clock()
            positions = [
                (record, position)
                for record, position in queue_positions(queue, jobs, now)
                if record.state is ImportState.QUEUED
                and not record.job_record
                and record.queue_position != position
            ]
            try:
                self._services.queries.set_queue_positions(hub, positions)
            except (ResourceModifiedError, ResourceNotFoundError):
                log.info("the queue changed; positions are counted at the next sweep")

    @with_log_context
    def _validate(self, record: ImportRecord) -> None:
        try:
            record = self._intake.resume(record)
            if record.state is ImportState.QUEUED:
                self._hub_queue.enter(record)
        except ConflictError as conflict:
            log.info("%s", conflict)
        except Exception:
            # The record contains the error; it must not hold up the uploads behind it.
            log.exception("the validation failed")

    def _count_ends(self) -> None:
        """Bring the counts of each day up to date."""
        today = self._services.clock().astimezone(UTC).date()
        for hub in self._services.all_hubs() | {NO_HUB}:
            try:
                self._services.daily_counts.count_ends(hub, today, MAX_COUNTING)
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                log.info("another process counts the ends of %s", hub)

    def _delete_tickets(self) -> None:
        self._services.tickets.delete_expired(self._services.clock())

    def _end_holds(self) -> None:
        """End held imports whose time is over or whose uploads were replaced."""
        for hub in self._services.known_hubs.guarded():
            since = []
            for key in self._services.held_rows.record_keys(hub):
                try:
                    held_at = self._end_hold(hub, key)
                except (ConflictError, UnreadableRowError, NewerRowError) as error:
                    log.warning("%s", error)
                else:
                    since += [held_at] if held_at else []
            metrics.held(hub, since, self._services.clock())

    def _end_hold(self, hub: str, record_key: str) -> datetime | None:
        """End a hold if it is over; returns since when it lasts, if not."""
        try:
            record = self._store.get(hub, record_key)
        except ResourceNotFoundError:
            log.error("the record %s of a held import was deleted", record_key)
            record_deletion(self._services, hub, record_key)
        else:
            if record.state is ImportState.HELD:
                with log_context(record):
                    is_over = end_if_over(self._services, record) is not None
                return None if is_over else record.hold.since
        self._services.held_rows.remove(hub, record_key)
        return None

    def _restore_queue_rows(self) -> None:
        """Write deleted queue rows and claims of open imports again."""
        cursor = self._services.cursors.load("queue rows")
        page, position = self._services.queries.open_records(cursor.position)
        for hub in {record.hub for record in page}:
            self._services.known_hubs.add(hub)
            records = [record for record in page if record.hub == hub]
            held = [record for record in records if record.state is ImportState.HELD]
            if held:
                self._services.known_hubs.add_guarded(hub)
                found = set(self._services.held_rows.record_keys(hub))
                self._restore([record for record in held if record.row_key not in found])
            rows = self._services.queue_rows.oldest(hub, MAX_QUEUE)
            queued = {row.record_key for row in rows}
            missing = [
                record
                for record in records
                if record.row_key not in queued and record.state is not ImportState.HELD
            ]
            self._restore(missing[: MAX_QUEUE - len(queued)])
        if (cursor.position, position) != ("", ""):
            self._services.cursors.save(replace(cursor, position=position))

    def _restore(self, records: Iterable[ImportRecord]) -> None:
        """Write the rows again that stand for open imports, and their claims."""
        for found in records:
            record = self._store.get(found.hub, found.row_key)
            if record.state.is_final:
                continue
            is_held = record.state is ImportState.HELD
            with log_context(record):
                log.error(
                    "the %s row of the import was deleted; it is written again",
                    "held" if is_held else "queue",
                )
            (self._services.held_rows if is_held else self._services.queue_rows).restore(record)
            self._services.claims.make(Claim.of(record))


def _failed(tasks: Mapping[str, Callable[[], None]]) -> list[str]:
    """Do all tasks; returns the names of those that failed."""
    failed = []
    for name, task in tasks.items():
        try:
            task()
        except Exception:
            log.exception("%s: not swept", name)
            failed.append(name)
    return failed
