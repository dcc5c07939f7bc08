"""What is new of imports since the last look, read with as few requests as that takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from azure.core.exceptions import ResourceNotFoundError

from shared.errors import ImportNotFoundError
from shared.imports.app import Importer
from shared.imports.model.record import NO_HUB, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.reader import ImportFilter
from shared.imports.store.rows import NewerRowError, UnreadableRowError

__all__ = ["Named", "Opened", "Sight", "Source", "Standing"]

#: Imports of a queue that are looked at, and of these those that are told one by one.
MAX_MARKERS, MAX_SHOWN = 100, 10

#: How far back uploads are looked at for those that ended between two looks, and how many.
_RECENT, _MAX_RECENT = timedelta(minutes=10), 50

MAX_THREADS = 8


@dataclass(frozen=True)
class Standing:
    """An import that is open."""

    record: ImportRecord
    #: In its hub's queue, from 1; None if it is not known.
    place: int | None = None


@dataclass
class Sight:
    """How things stand at one moment."""

    opened: list[Standing] = field(default_factory=list)
    #: Those that have ended since the last look, in that order.
    ended: list[ImportRecord] = field(default_factory=list)
    #: Files of which the app knows nothing yet.
    awaited: list[str] = field(default_factory=list)
    #: By hub: how many more are open, `MAX_MARKERS` at most.
    more: dict[str, int] = field(default_factory=dict)

    def add(self, record: ImportRecord, place: int | None = None) -> None:
        if record.state.is_final:
            self.ended.append(record)
        else:
            self.opened.append(Standing(record, place))

    @property
    def is_idle(self) -> bool:
        return not (self.opened or self.awaited or self.more)


class Source(Protocol):
    """Where looks come from."""

    def look(self) -> Sight: ...


class Named:
    """Some imports, until all have ended; one request each that has not."""

    def __init__(self, importer: Importer, imports: Iterable[ImportRecord]) -> None:
        """Follow these imports; the app may not have made some of them yet."""
        self._importer = importer
        self._left = list(imports)

    def look(self) -> Sight:
        sight = Sight()
        for record in self._left:
            now = self._read(record)
            if now is None:
                sight.awaited.append(record.file)
                continue
            sight.add(now, now.queue_position)
        ended = {record.id for record in sight.ended}
        self._left = [record for record in self._left if record.id not in ended]
        return sight

    def _read(self, record: ImportRecord) -> ImportRecord | None:
        try:
            now = _read(self._importer, record.hub, record.row_key)
            # The app may have seen the upload first when it had another hub for it.
            return now or self._importer.reader.get(record.id)
        except ImportNotFoundError:
            return None
        except (UnreadableRowError, NewerRowError):
            # Its end can be read again.
            return record


class Opened:
    """Everything that is open at some hubs or becomes so.

    A look takes two queries a hub and a read for each import that may have changed.
    """

    def __init__(self, importer: Importer, hubs: Sequence[str]) -> None:
        self._services = importer.services
        self._reader = importer.reader
        self._queues = [_Queue(importer, hub) for hub in hubs or self._reader.hubs()]
        self._hubs = frozenset((*hubs, NO_HUB)) if hubs else frozenset[str]()
        #: Ids of imports whose end is known; None before the first look.
        self._told: set[str] | None = None

    def look(self) -> Sight:
        sight = Sight()
        # First, so that what ends during the first look counts as new in the next.
        recent = self._recent_ends()
        with ThreadPoolExecutor(min(MAX_THREADS, len(self._queues))) as pool:
            for one in pool.map(_Queue.look, self._queues):
                sight.opened += one.opened
                sight.ended += one.ended
                sight.more |= one.more
        if self._told is None:
            self._told = {record.id for record in recent}
        by_id = {record.id: record for record in (*recent, *sight.ended)}
        sight.ended = [record for record in by_id.values() if record.id not in self._told]
        sight.ended.sort(key=lambda record: record.finished_at or record.updated_at)
        self._told |= by_id.keys()
        return sight

    def _recent_ends(self) -> list[ImportRecord]:
        """Those that ended too soon to be seen in a queue, as a file that breaks rules does."""
        since = self._services.clock() - _RECENT
        page = self._reader.page(ImportFilter(self._hubs, uploaded_after=since), _MAX_RECENT)
        return [record for record in page.imports if record.state.is_final]


class _Queue:
    """The queue of one hub."""

    def __init__(self, importer: Importer, hub: str) -> None:
        self._importer = importer
        self._store = importer.services.store
        self._hub = hub
        #: By RowKey: the imports that were open, as far as they were read.
        self._known: dict[str, ImportRecord | None] = {}

    def look(self) -> Sight:
        sight = Sight()
        keys = [
            marker.record_key
            for marker in self._importer.services.queue_rows.oldest(self._hub, MAX_MARKERS)
        ]
        now: dict[str, ImportRecord | None] = {key: self._known.get(key) for key in keys}
        for place, key in enumerate(keys[:MAX_SHOWN], 1):
            record = now[key]
            # Only the first of those that wait can have changed without leaving the queue.
            if record is None or record.state is not ImportState.QUEUED or place == 1:
                record = now[key] = self._read(key)
            if record is not None:
                sight.add(record, place)
        if len(keys) > MAX_SHOWN:
            sight.more[self._hub] = len(keys) - MAX_SHOWN
        for key in self._known.keys() - now.keys():
            record = self._read(key)
            if record is not None:
                sight.add(record)
                # Markers are removed together with the end; if people did it, it is still open.
                if not record.state.is_final:
                    now[key] = record
        self._known = now
        return sight

    def _read(self, key: str) -> ImportRecord | None:
        try:
            # None: a marker that was left behind, or a record that was pruned.
            return _read(self._importer, self._hub, key)
        except (UnreadableRowError, NewerRowError):
            return None


def _read(importer: Importer, hub: str, key: str) -> ImportRecord | None:
    """An import as people are shown it; None if there is no record of it."""
    try:
        return importer.reader.shown(importer.services.store.get(hub, key))
    except ResourceNotFoundError:
        return None
