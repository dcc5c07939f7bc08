"""What operators read: lists of imports, one import, the queues, the counts of days."""

from __future__ import annotations

import base64
import contextlib
import heapq
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from azure.core.exceptions import ResourceNotFoundError

from shared.errors import FilterError, ImportNotFoundError, NotPossibleError
from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.record import NO_HUB, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import FileName, ImportDetail, UndoSummary, files_of
from shared.imports.operate.expected_start import with_expected_start
from shared.imports.operate.plan_report import MAX_BYTES, StoredPlan
from shared.imports.operate.retry import retry_id
from shared.imports.operate.undo import latest_undo
from shared.imports.services import Services
from shared.imports.store.daily_counts import DailyCounts
from shared.imports.store.queue_rows import QueueRow
from shared.imports.store.rows import NewerRowError, UnreadableRowError, to_job
from shared.imports.workflow import upload_reasons as reasons
from shared.imports.workflow.holds import later_imports
from shared.invocation import in_this_invocation
from shared.storage.blobs import StoredFile

__all__ = ["MAX_COUNTED", "HubQueueView", "ImportFilter", "Page", "Reader"]

#: The longest queue that is counted: the rows of one request.
MAX_COUNTED = 1000

#: Hubs that are read at the same time.
MAX_THREADS = 16

_IMPORT_ID = re.compile(r"[0-9a-f]{24}")

T = TypeVar("T")


@dataclass(frozen=True)
class ImportFilter:
    """Which imports a list shows. Empty means all."""

    hubs: frozenset[str] = frozenset()
    states: frozenset[ImportState] = frozenset()
    #: Uploaded at or after the first and before the second.
    uploaded_after: datetime | None = None
    uploaded_before: datetime | None = None


@dataclass(frozen=True)
class Page:
    """A page of a list of imports, the newest upload first."""

    imports: Sequence[ImportRecord]
    #: Where the next page begins, whatever is uploaded meanwhile; "" after the last.
    continuation: str


@dataclass(frozen=True)
class HubQueueView:
    """The queue of a hub."""

    hub: str
    #: Imports that are not final, `MAX_COUNTED` at most.
    length: int
    #: Of these, those whose jobs run or are being ended.
    running: int
    #: The others, without `head`.
    waiting: int
    #: The first of them, which uses the hub's job slot or waits for it.
    head: ImportRecord | None


class Reader:
    """Each method costs a few requests per hub, whatever the history."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._pool = ThreadPoolExecutor(min(MAX_THREADS, len(services.hubs) + 1), "reader")

    def close(self) -> None:
        self._pool.shutdown()

    def page(self, wanted: ImportFilter, limit: int, continuation: str = "") -> Page:
        """The newest imports, or those after a page.

        With states in the filter the time grows with the history that is read.

        Raises:
            FilterError: there is no such hub, or the continuation is invalid.
        """
        after = _position(continuation) if continuation else ""
        hubs = self._wanted_hubs(wanted.hubs)

        def newest(hub: str) -> Sequence[ImportRecord]:
            records = self._services.queries.newest(
                hub,
                after=after,
                states=_stored(wanted.states),
                uploaded_after=wanted.uploaded_after,
                uploaded_before=wanted.uploaded_before,
                page=limit + 1,
            )
            shown = self._services.with_jobs(records)
            fitting = (item for item in shown if not wanted.states or item.state in wanted.states)
            return list(islice(fitting, limit + 1))

        merged = heapq.merge(*self._each(newest, hubs), key=lambda record: record.row_key)
        imports = list(islice(merged, limit + 1))
        is_cut = len(imports) > limit
        return Page(
            [self._shown(record) for record in imports[:limit]],
            _continuation(imports[limit - 1]) if is_cut else "",
        )

    def get(self, import_id: str) -> ImportRecord:
        """The import with this id, whichever hub it is of.

        Raises:
            ImportNotFoundError: there is none.
        """
        record = self._find(import_id)
        if record is None:
            raise ImportNotFoundError(f"There is no import {import_id!r}.")
        return self.shown(record)

    def hubs(self) -> Sequence[str]:
        """The hubs that are configured, and those that uploads were claimed for, by name."""
        return sorted(self._services.all_hubs() - {NO_HUB})

    def _find(self, import_id: str) -> ImportRecord | None:
        return self._services.find_record(import_id) if _IMPORT_ID.fullmatch(import_id) else None

    def shown(self, record: ImportRecord) -> ImportRecord:
        """The record with what its job adds; with the reason if its hub is not configured."""
        return self._shown(next(self._services.with_jobs([record])))

    def _shown(self, record: ImportRecord) -> ImportRecord:
        """With the reason why it waits if its hub is not configured."""
        if record.state.is_final or record.hub in self._services.hubs:
            return record
        reason = reasons.hub_not_configured(record.hub)
        return replace(record, failure_reason=reason)

    def detail(self, import_id: str) -> ImportDetail:
        """An import with all details.

        Raises:
            ImportNotFoundError: there is none.
        """
        return self.describe(self.get(import_id))

    def describe(self, record: ImportRecord) -> ImportDetail:
        """The details of the import of a record."""
        retry = None
        if record.can_be_retried:
            retry = self._find(retry_id(record.id))
        others: Sequence[ImportRecord] = ()
        if record.shares_job:
            members = self.job_imports(record.hub, record.job_record)
            others = [member for member in members if member.id != record.id]
        later: Iterable[ImportRecord] = ()
        if record.state is ImportState.HELD:
            later = later_imports(self._services, record)
        record, start = with_expected_start(self._services, record)
        retried_as = retry.id if retry else ""
        return ImportDetail.of(record, others, start, retried_as, self._undo_of(record), later)

    def _undo_of(self, record: ImportRecord) -> UndoSummary | None:
        if not record.backup.container:
            return None
        latest = latest_undo(self._services, record.id)[1] if record.can_be_undone else None
        days = self._services.settings.retention.import_days
        ended = record.finished_at
        return UndoSummary(
            deletes=record.creates or 0,
            until=ended + timedelta(days=days) if ended and days else None,
            undone_as=latest.id if latest else "",
        )

    def job_imports(self, hub: str, job_record: str) -> Sequence[ImportRecord]:
        """The imports of a job whose records can be read, in queue order."""
        keys = self._services.jobs.members_of(hub, job_record)
        records = self.shown_by_key(hub, keys)
        return [records[key] for key in keys if key in records]

    def shown_by_key(self, hub: str, keys: Collection[str]) -> dict[str, ImportRecord]:
        """By row key: imports of a hub as they are shown, as far as they can be read."""
        if not keys:
            return {}
        records = self._services.queries.records(hub, keys)
        shown = map(self._shown, self._services.with_jobs(records.values()))
        return {record.row_key: record for record in shown}

    def file(self, import_id: str, name: FileName) -> tuple[ImportRecord, StoredFile]:
        """An import and one of its files.

        Raises:
            ImportNotFoundError: there is no such import.
            NotPossibleError: it has no such file, or it was deleted.
        """
        record = self.get(import_id)
        path = files_of(record)[name]
        if not path:
            raise NotPossibleError(f"Import {record.id} is {record.state} and has no {name}.")
        try:
            return record, self._services.container_of(record).file_at(path)
        except ResourceNotFoundError as error:
            raise NotPossibleError(
                f"{name} of import {record.id} was deleted with its container "
                "(IMPORT_RETENTION_DAYS)."
            ) from error

    def plan(self, record: ImportRecord) -> StoredPlan | None:
        """The plan of an import; None if it has none, or none that can be read.

        It takes one request if there is one.
        """
        if not record.plan.path:
            return None
        try:
            return StoredPlan.model_validate_json(
                self._services.container_of(record).beginning_of(record.plan.path, MAX_BYTES)
            )
        except (ResourceNotFoundError, ValueError):
            return None

    def queues(self) -> Sequence[HubQueueView]:
        """The queue of each hub, by name; of a hub that is not configured if imports wait."""
        configured = self._services.hubs
        queues = self._each(self._queue, self.hubs())
        return [queue for queue in queues if queue.hub in configured or queue.length]

    def held_count(self, hubs: Collection[str] = ()) -> int:
        """How many imports wait for approval at some hubs; by default at all."""
        held = self._services.held()
        return sum(len(keys) for hub, keys in held.items() if not hubs or hub in hubs)

    def days(self, count: int) -> Sequence[DailyCounts]:
        """The counts of the last days (UTC) at all hubs, the oldest first."""
        today = self._services.clock().astimezone(UTC).date()
        first = today - timedelta(days=count - 1)
        days = {day: DailyCounts(day) for day in (first + timedelta(days=n) for n in range(count))}
        hubs = self._wanted_hubs()
        for counts in self._each(
            lambda hub: list(self._services.daily_counts.since(hub, first)), hubs
        ):
            for part in counts:
                if part.date in days:
                    days[part.date] += part
        return list(days.values())

    def _queue(self, hub: str) -> HubQueueView:
        work = self._services.queue_rows.open_work(hub, MAX_COUNTED)
        jobs = []
        for row in work.jobs:
            with contextlib.suppress(UnreadableRowError, NewerRowError):
                jobs.append(to_job(row))
        job_of = {key: job for job in jobs for key in job.members}

        def has_ended(row: QueueRow) -> bool:
            job = job_of.get(row.record_key)
            return job is not None and job.state is JobState.ENDED

        # What occupies the hub's slot comes before what is being ended.
        rows = sorted(work.queue, key=has_ended)
        head = self._head(hub, rows, job_of)
        running = {
            row.record_key
            for row in rows
            if row.record_key in job_of
            and job_of[row.record_key].import_state is ImportState.RUNNING
        }
        others = running | {head.row_key} if head else running
        return HubQueueView(hub, len(rows), len(running), len(rows) - len(others), head)

    def _head(
        self, hub: str, rows: Sequence[QueueRow], job_of: Mapping[str, JobRecord]
    ) -> ImportRecord | None:
        for row in islice(rows, 3):
            try:
                record = self._store.get(hub, row.record_key)
            except (ResourceNotFoundError, UnreadableRowError, NewerRowError):
                continue
            if not record.state.is_final:
                job = job_of.get(record.row_key)
                return self._shown(job.member(record) if job else record)
        return None

    def _wanted_hubs(self, wanted: Iterable[str] = ()) -> Sequence[str]:
        """The requested hubs, or all, including the partition of uploads that lead to none."""
        known = (*self.hubs(), NO_HUB)
        if unknown := sorted(set(wanted) - set(known)):
            raise FilterError("hub", f"There is no hub {unknown[0]!r}. Hubs: {', '.join(known)}.")
        return sorted(wanted) or known

    def _each(self, call: Callable[[str], T], hubs: Sequence[str]) -> Iterator[T]:
        if len(hubs) == 1:
            return map(call, hubs)
        return self._pool.map(in_this_invocation(call), hubs)


def _stored(states: frozenset[ImportState]) -> frozenset[ImportState]:
    """The states that records in the table have whose imports are shown in one of these.

    While an import has a job, its record is `starting`, and the job's record says how far it is.
    """
    stored = set(states)
    if states & {ImportState.QUEUED, ImportState.RUNNING}:
        stored.add(ImportState.STARTING)
    return frozenset(stored)


def _continuation(last: ImportRecord) -> str:
    return base64.urlsafe_b64encode(last.row_key.encode()).decode().rstrip("=")


def _position(continuation: str) -> str:
    """RowKey of the last import of the page before."""
    try:
        padded = continuation + "=" * (-len(continuation) % 4)
        row_key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        if re.fullmatch(r"import-[0-9]{10}-[0-9a-f]{24}", row_key):
            return row_key
    except ValueError:
        pass
    raise FilterError("continuation", "The continuation is invalid. Use that of the page before.")
