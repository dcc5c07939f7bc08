"""What operators ask: which imports there are, how one stands, what waits, what days brought."""

from __future__ import annotations

import base64
import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from azure.core.exceptions import ResourceNotFoundError

from shared.errors import PermanentError
from shared.imports.model import reasons
from shared.imports.model.record import NO_HUB, ImportRecord, ImportState
from shared.imports.operate.actions import NotPossibleError, can_be_retried, retry_id
from shared.imports.operate.api_models import FileName, ImportDetail, files_of
from shared.imports.services import Services
from shared.imports.store.daily_counts import Statistics
from shared.imports.store.days import DailyCounts
from shared.imports.store.import_container import StoredFile
from shared.imports.store.markers import Marker
from shared.imports.store.queries import Queries
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.invocation import in_this_invocation

__all__ = [
    "MAX_COUNTED",
    "FilterError",
    "HubQueue",
    "ImportFilter",
    "ImportNotFoundError",
    "Page",
    "Reader",
]

#: The longest queue that is counted: what one request tells.
MAX_COUNTED = 1000

#: Hubs that are asked for at the same time.
MAX_THREADS = 16

_IMPORT_ID = re.compile(r"[0-9a-f]{24}")

T = TypeVar("T")


class ImportNotFoundError(PermanentError):
    """There is no import with this id."""


class FilterError(PermanentError):
    """A list of imports was asked for by something that there is not."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


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
    """Some imports, the newest upload first."""

    imports: Sequence[ImportRecord]
    #: Where the next page begins, whatever is uploaded meanwhile; "" after the last.
    continuation: str


@dataclass(frozen=True)
class HubQueue:
    """What waits for a hub."""

    hub: str
    #: Imports that are not final, `MAX_COUNTED` at most.
    length: int
    #: The oldest of them, which is the one that has the hub or waits for it.
    head: ImportRecord | None


class Reader:
    """Reads for people. Each costs a few requests a hub, whatever the history."""

    def __init__(self, services: Services, queries: Queries, statistics: Statistics) -> None:
        self._services = services
        self._statistics = statistics
        self._store = services.store
        self._queries = queries
        self._pool = ThreadPoolExecutor(min(MAX_THREADS, len(services.hubs) + 1), "reader")

    def close(self) -> None:
        self._pool.shutdown()

    def page(self, wanted: ImportFilter, limit: int, continuation: str = "") -> Page:
        """The newest imports, or those after a page.

        With states in the filter the time grows with the history that has to be looked through.

        Raises:
            FilterError: there is no such hub, or the continuation is none of ours.
        """
        after = _position(continuation) if continuation else ""
        hubs = self._wanted_hubs(wanted.hubs)

        def newest(hub: str) -> Sequence[ImportRecord]:
            rows = self._queries.newest(
                hub,
                after=after,
                states=wanted.states,
                uploaded_after=wanted.uploaded_after,
                uploaded_before=wanted.uploaded_before,
                limit=limit + 1,
            )
            return list(rows)

        found = heapq.merge(*self._each(newest, hubs), key=lambda record: record.row_key)
        imports = list(islice(found, limit + 1))
        is_cut = len(imports) > limit
        return Page(
            [self.shown(record) for record in imports[:limit]],
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
        return sorted(self._services.known_hubs() - {NO_HUB})

    def _find(self, import_id: str) -> ImportRecord | None:
        return self._services.find_record(import_id) if _IMPORT_ID.fullmatch(import_id) else None

    def shown(self, record: ImportRecord) -> ImportRecord:
        """The record with what it waits for if its hub is not configured any more."""
        if record.state.is_final or record.hub in self._services.hubs:
            return record
        reason = reasons.hub_not_configured(record.hub)
        return record.model_copy(update={"failure_reason": reason})

    def detail(self, import_id: str) -> ImportDetail:
        """Everything that is known of an import.

        Raises:
            ImportNotFoundError: there is none.
        """
        return self.describe(self.get(import_id))

    def describe(self, record: ImportRecord) -> ImportDetail:
        """Everything that is known of the import of a record."""
        again = None
        if can_be_retried(record):
            again = self._find(retry_id(record.id))
        return ImportDetail.of(record, again.id if again else "")

    def file(self, import_id: str, name: FileName) -> tuple[ImportRecord, StoredFile]:
        """An import and what was written about it.

        Raises:
            ImportNotFoundError: there is no such import.
            NotPossibleError: it has no such file, or no longer.
        """
        record = self.get(import_id)
        path = files_of(record)[name]
        if not path:
            raise NotPossibleError(f"Import {record.id} is {record.state} and has no {name}.")
        try:
            return record, self._services.container_of(record).file_at(path)
        except ResourceNotFoundError as error:
            raise NotPossibleError(
                f"{name} of import {record.id} is not there any more: its container was deleted "
                "(IMPORT_RETENTION_DAYS)."
            ) from error

    def queues(self) -> Sequence[HubQueue]:
        """The queue of each hub, by name; of one that is not configured if something waits."""
        configured = self._services.hubs
        queues = self._each(self._queue, self.hubs())
        return [queue for queue in queues if queue.hub in configured or queue.length]

    def days(self, count: int) -> Sequence[DailyCounts]:
        """What ended on each of the last days (UTC) at all hubs, the oldest first."""
        today = self._services.clock().astimezone(UTC).date()
        first = today - timedelta(days=count - 1)
        days = {day: DailyCounts(day) for day in (first + timedelta(days=n) for n in range(count))}
        hubs = self._wanted_hubs()
        for parts in self._each(lambda hub: list(self._statistics.days(hub, first)), hubs):
            for one in parts:
                if one.date in days:
                    days[one.date] += one
        return list(days.values())

    def _queue(self, hub: str) -> HubQueue:
        markers = self._store.queue(hub, MAX_COUNTED)
        return HubQueue(hub, len(markers), self._head(hub, markers))

    def _head(self, hub: str, markers: Sequence[Marker]) -> ImportRecord | None:
        for marker in islice(markers, 3):
            try:
                record = self._store.get(hub, marker.record_key)
            except (ResourceNotFoundError, UnreadableRowError, NewerRowError):
                continue
            if not record.state.is_final:
                return self.shown(record)
        return None

    def _wanted_hubs(self, wanted: Iterable[str] = ()) -> Sequence[str]:
        """The hubs asked for, or all, with the place of uploads that lead to none."""
        known = (*self.hubs(), NO_HUB)
        if unknown := sorted(set(wanted) - set(known)):
            raise FilterError(
                "hub", f"There is no hub {unknown[0]!r}; there are: {', '.join(known)}."
            )
        return sorted(wanted) or known

    def _each(self, call: Callable[[str], T], hubs: Sequence[str]) -> Iterator[T]:
        if len(hubs) == 1:
            return map(call, hubs)
        return self._pool.map(in_this_invocation(call), hubs)


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
    raise FilterError("continuation", "The continuation is not one that a list ended with.")
