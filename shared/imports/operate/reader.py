"""What operators read: lists of imports, one import, the queues, the counts of days."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from azure.core.exceptions import ResourceNotFoundError

from shared.errors import FilterError, ImportNotFoundError, NotPossibleError
from shared.imports.model.record import NO_HUB, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import PlanCountsView, StoredName, files_of
from shared.imports.operate.expected_start import Pace
from shared.imports.operate.hub_names import hub_names, known_hubs
from shared.imports.operate.import_detail import ImportDetail, UndoSummary
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.operate.import_ids import full_id
from shared.imports.operate.import_search import search
from shared.imports.operate.line_results import LineResult
from shared.imports.operate.plan_report import MAX_BYTES, StoredPlan
from shared.imports.operate.queue_view import (
    HubQueueView,
    OpenQueue,
    pace_of_queue,
    read_queue,
    view_of,
    with_expected_start,
)
from shared.imports.operate.results_reading import read_results
from shared.imports.operate.retry import retry_id, was_retried
from shared.imports.operate.undo import latest_undo
from shared.imports.services import Services
from shared.imports.store.daily_counts import DailyCounts
from shared.imports.workflow import upload_reasons as reasons
from shared.imports.workflow.holds import later_imports
from shared.invocation import in_this_invocation
from shared.storage.blobs import StoredFile

__all__ = ["Overview", "Page", "Reader", "continuation_at"]

#: Hubs that are read at the same time.
MAX_THREADS = 16

_IMPORT_ID = re.compile(r"[0-9a-f]{24}")

T = TypeVar("T")
H = TypeVar("H")


@dataclass(frozen=True)
class Page:
    """A page of a list of imports, the newest upload first."""

    imports: Sequence[ImportRecord]
    #: Where the next page begins, whatever is uploaded meanwhile; "" after the last.
    continuation: str = ""
    #: Set if the search ended before the page was full: older imports may fit, too.
    searched_back_to: datetime | None = None


@dataclass(frozen=True)
class Overview:
    """A page of imports, the queues and the counts, which agree with each other."""

    page: Page
    #: Of each hub, by name.
    queues: Sequence[HubQueueView]
    #: When the jobs of imports of the page may start, by id, as far as it can be told.
    expected_starts: Mapping[str, datetime]
    #: How many imports wait for approval.
    held: int
    #: The oldest first.
    days: Sequence[DailyCounts]


class Reader:
    """Each method costs a few requests per hub, whatever the history."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._pool = ThreadPoolExecutor(min(MAX_THREADS, len(services.hubs) + 1), "reader")

    def close(self) -> None:
        self._pool.shutdown()

    def page(self, wanted: ImportFilter, limit: int, continuation: str = "") -> Page:
        """The newest imports that fit a filter, or those after a page.

        A search reads a bounded number of records, see `import_search`.

        Raises:
            FilterError: there is no such hub, or the continuation is invalid.
        """
        after = _position(continuation)
        hubs = self._wanted_hubs(wanted.hubs)
        found = search(self._services, hubs, wanted, limit=limit, after=after, each=self._each)
        return Page(
            [self._shown(record) for record in found.imports],
            continuation_at(found.position) if found.position else "",
            found.searched_back_to,
        )

    def get(self, import_id: str) -> ImportRecord:
        """The import with this id or abbreviated id, whichever hub it is of.

        Raises:
            ImportNotFoundError: there is none, or there are several (AmbiguousIdError).
        """
        record = self._find(full_id(self._services, import_id))
        if record is None:
            raise ImportNotFoundError(f"There is no import {import_id!r}.")
        return self.shown(record)

    def retried(self, imports: Sequence[ImportRecord]) -> frozenset[str]:
        """Ids of those of these imports that were retried: one request each, two if it was."""
        retried = self._each(lambda record: was_retried(self._services, record.id), imports)
        found = zip(imports, retried, strict=True)
        return frozenset(record.id for record, is_known in found if is_known)

    def hubs(self) -> Sequence[str]:
        """The hubs that are configured, and those that uploads were claimed for, by name."""
        return known_hubs(self._services)

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
        return ImportDetail.of(record, others, start, retried_as, self.undo_of(record), later)

    def undo_of(self, record: ImportRecord) -> UndoSummary | None:
        """How an import can be undone; None if it has no backup."""
        if not record.backup.container:
            return None
        latest = latest_undo(self._services, record.id)[1] if record.can_be_undone else None
        days = self._services.settings.retention.import_days
        ended = record.finished_at
        counts = PlanCountsView.model_validate(record.plan.counts) if record.plan.counts else None
        return UndoSummary(
            deletes=record.creates or 0,
            recreates=counts.delete + counts.deleted_modules if counts else None,
            restores=counts.update if counts else None,
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

    def results(self, import_id: str) -> tuple[ImportRecord, Iterator[LineResult]]:
        """An import and the results of its lines, which are read as a stream.

        Raises:
            ImportNotFoundError: there is no such import.
            NotPossibleError: it has not ended, or its files were deleted or edited.
        """
        record = self.get(import_id)
        return record, read_results(self._services, record)

    def file(self, import_id: str, name: StoredName) -> tuple[ImportRecord, StoredFile]:
        """An import and one of its stored files.

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

    def overview(self, wanted: ImportFilter, limit: int, continuation: str, days: int) -> Overview:
        """A page of imports with all that the overview shows beside it.

        It takes several requests, between which imports change. What the last one says of an import
        of the page counts, and the rest is corrected by it.

        Raises:
            FilterError: as `page`.
        """
        # Before any request.
        self._wanted_hubs(wanted.hubs)
        _position(continuation)
        begun_at = self._services.clock()
        queues = {queue.hub: queue for queue in self._open_queues()}
        held = {key for keys in self._services.held().values() for key in keys}
        counted: set[str] = set()
        daily = self._days(days, counted)
        page = self.page(wanted, limit, continuation)
        open_keys = {row.record_key for queue in queues.values() for row in queue.rows} | held
        daily = _with_ends(
            daily,
            (
                record
                for record in page.imports
                if record.state.is_final
                and record.id not in counted
                and (record.row_key in open_keys or record.created_at >= begun_at)
            ),
        )
        held -= {record.row_key for record in page.imports}
        held |= {record.row_key for record in page.imports if record.state is ImportState.HELD}
        known = {hub: queue.with_records(page.imports) for hub, queue in queues.items()}
        views = list(self._each(self._view, list(known.values())))
        paces = {view.hub: pace for view, pace in views}
        imports, starts = [], {}
        for record in page.imports:
            if record.state is ImportState.QUEUED and record.hub in known:
                queue = known[record.hub]
                if start := queue.expected_start(record, paces[record.hub]):
                    starts[record.id] = start
                record = replace(record, queue_position=queue.position_of(record))
            imports.append(record)
        return Overview(
            replace(page, imports=imports),
            self._without_idle_strangers(view for view, _ in views),
            starts,
            len(held),
            daily,
        )

    def queues(self) -> Sequence[HubQueueView]:
        """The queue of each hub, by name; of a hub that is not configured if imports wait."""
        views = self._each(self._view, list(self._open_queues()))
        return self._without_idle_strangers(view for view, _ in views)

    def _open_queues(self) -> Iterator[OpenQueue]:
        return self._each(partial(read_queue, self._services), self.hubs())

    def _view(self, queue: OpenQueue) -> tuple[HubQueueView, Pace]:
        pace = pace_of_queue(self._services, queue)
        return view_of(self._services, queue, self._shown, pace), pace

    def _without_idle_strangers(self, queues: Iterable[HubQueueView]) -> Sequence[HubQueueView]:
        configured = self._services.hubs
        return [queue for queue in queues if queue.hub in configured or queue.length]

    def held_count(self, hubs: Collection[str] = ()) -> int:
        """How many imports wait for approval at some hubs; by default at all.

        Raises:
            FilterError: there is no such hub.
        """
        wanted = hub_names(self._services, hubs)
        held = self._services.held()
        return sum(len(keys) for hub, keys in held.items() if not wanted or hub in wanted)

    def days(self, count: int) -> Sequence[DailyCounts]:
        """The counts of the last days (UTC) at all hubs, the oldest first."""
        return self._days(count, set())

    def _days(self, count: int, counted: set[str]) -> Sequence[DailyCounts]:
        """The same; collects the ids of imports that ended so recently that they are known."""
        today = self._services.clock().astimezone(UTC).date()
        first = today - timedelta(days=count - 1)
        days = {day: DailyCounts(day) for day in (first + timedelta(days=n) for n in range(count))}

        def parts(hub: str) -> Sequence[DailyCounts]:
            return list(self._services.daily_counts.since(hub, first, counted))

        for counts in self._each(parts, self._wanted_hubs()):
            for part in counts:
                if part.date in days:
                    days[part.date] += part
        return list(days.values())

    def _wanted_hubs(self, wanted: Collection[str] = ()) -> Sequence[str]:
        """The requested hubs, or all, including the partition of uploads that lead to none."""
        return hub_names(self._services, wanted) or (*self.hubs(), NO_HUB)

    def _each(self, call: Callable[[H], T], hubs: Sequence[H]) -> Iterator[T]:
        """The results of a call for each hub, or for something of each hub."""
        if len(hubs) == 1:
            return map(call, hubs)
        return self._pool.map(in_this_invocation(call), hubs)


def _with_ends(days: Sequence[DailyCounts], ended: Iterable[ImportRecord]) -> Sequence[DailyCounts]:
    """The counts of days with imports that ended after they were read."""
    by_date = {day.date: day for day in days}
    for counts in map(DailyCounts.of_record, ended):
        if counts.date in by_date:
            by_date[counts.date] += counts
    return list(by_date.values())


def continuation_at(position: str) -> str:
    """The continuation of a page whose last import has this row key."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _position(continuation: str) -> str:
    """RowKey of the last import of the page before; "" for the first page."""
    if not continuation:
        return ""
    try:
        padded = continuation + "=" * (-len(continuation) % 4)
        row_key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        if re.fullmatch(r"import-[0-9]{10}-[0-9a-f]{24}", row_key):
            return row_key
    except ValueError:
        pass
    raise FilterError("continuation", "The continuation is invalid. Use that of the page before.")
