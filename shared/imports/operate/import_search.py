"""Finds imports, newest upload first, at a cost that is bounded whatever the history."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from shared.imports.model.keys import uploaded_at_of
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.services import Services
from shared.imports.store.queries import NewestPage
from shared.imports.store.table import MAX_PAGE

__all__ = ["Found", "search"]

#: A search ends when it has read so many records, or after so many seconds; a page of each hub is
#: always read, and a request takes up to 5 seconds at storage.
MAX_READ = 20_000
MAX_SECONDS = 10.0

_NO_PAGE = NewestPage((), "", 0)

T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """Calls a function with each item, several at the same time."""

    def __call__(self, call: Callable[[T], R], items: Sequence[T], /) -> Iterator[R]: ...


@dataclass(frozen=True)
class Found:
    """What a search found, the newest upload first."""

    imports: Sequence[ImportRecord]
    #: Row key of a record: the next search goes on behind it. "" if there is nothing behind.
    position: str = ""
    #: Set if the search ended early: older imports may fit, too.
    searched_back_to: datetime | None = None


def search(
    services: Services,
    hubs: Sequence[str],
    wanted: ImportFilter,
    *,
    limit: int,
    after: str,
    each: Each,
) -> Found:
    """The newest imports of some hubs that fit a filter.

    Each hub's records are read page by page, at first all hubs' at the same time, then always
    those of the hub that is behind. So at each moment all records up to one row key were read.

    Args:
        limit: how many are returned at most.
        after: the row key behind which the search begins; "" for the newest.
    """
    read = min(MAX_PAGE, max(1, MAX_READ // len(hubs)))
    readers = [_HubReader(services, hub, wanted, after, limit + 1, read) for hub in hubs]
    end = time.monotonic() + MAX_SECONDS
    behind = readers
    while True:
        for _ in each(_HubReader.advance, behind):
            pass
        reached = min((reader.position for reader in readers if not reader.is_done), default="")
        found = _merge(readers, reached)
        if len(found) > limit:
            return Found(found[:limit], found[limit - 1].row_key)
        if not reached:
            return Found(found)
        if sum(reader.count for reader in readers) >= MAX_READ or time.monotonic() >= end:
            return Found(found, reached, uploaded_at_of(reached))
        behind = [reader for reader in readers if reader.position == reached]


def _merge(readers: Iterable[_HubReader], reached: str) -> list[ImportRecord]:
    """The imports that were found up to a row key."""
    merged = heapq.merge(*(reader.found for reader in readers), key=lambda record: record.row_key)
    return [record for record in merged if not reached or record.row_key <= reached]


class _HubReader:
    """Reads the records of one hub as far as they are needed."""

    def __init__(
        self,
        services: Services,
        hub: str,
        wanted: ImportFilter,
        after: str,
        page: int,
        read: int,
    ) -> None:
        self._services = services
        self._wanted = wanted
        self._pages = services.queries.newest(
            hub,
            after=after,
            states=_stored(wanted.states),
            uploaded_after=wanted.uploaded_after,
            uploaded_before=wanted.uploaded_before,
            page=page,
            read=read,
            accepts=(lambda names: wanted.accepts_names(*names)) if wanted.has_names else None,
        )
        self.found: list[ImportRecord] = []
        #: How many records were read.
        self.count = 0
        #: The row key up to which they were read; "" after the last.
        self.position = ""
        self.is_done = False

    def advance(self) -> None:
        """Read one more page."""
        page = next(self._pages, _NO_PAGE)
        self.position = page.position
        self.is_done = not self.position
        self.count += page.count
        shown = self._services.with_jobs(page.imports)
        self.found += [record for record in shown if self._wanted.accepts(record)]


def _stored(states: frozenset[ImportState]) -> frozenset[ImportState]:
    """The states that records in the table have whose imports are shown in one of these.

    While an import has a job, its record is `starting`, and the job's record says how far it is.
    """
    stored = set(states)
    if states & {ImportState.QUEUED, ImportState.RUNNING}:
        stored.add(ImportState.STARTING)
    return frozenset(stored)
