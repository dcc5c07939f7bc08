"""Snapshots of the imports that `watch` follows, with as few requests as possible."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from cli.unregistered import app_activity
from shared.errors import ImportNotFoundError
from shared.imports.app import Importer
from shared.imports.model.record import NO_HUB, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.imports.workflow.job_choice import queue_positions

__all__ = ["OpenImport", "OpenImports", "SelectedImports", "Snapshot"]

#: Imports that are read from the queue of a hub, and how many of them are shown one by one.
MAX_QUEUED, MAX_SHOWN = 100, 10

#: Uploads that are read to find those that ended between two snapshots: maximum age and number.
_RECENT, _MAX_RECENT = timedelta(minutes=10), 50

#: Imports that a command to paste names.
MAX_IDS = 10

#: Seconds for which an app usually needs no explanation; cold starts take some.
ACTIVITY_DELAY = 5.0

MAX_THREADS = 8

_FINAL = frozenset(state for state in ImportState if state.is_final)


@dataclass(frozen=True)
class OpenImport:
    """An import that has not ended."""

    record: ImportRecord
    #: Position of its job in the hub's queue, from 1; None if unknown.
    queue_position: int | None = None


@dataclass
class Snapshot:
    """The imports at one time."""

    open: list[OpenImport] = field(default_factory=list)
    #: Imports that ended since the last snapshot, in the order of their ends.
    ended: list[ImportRecord] = field(default_factory=list)
    #: Uploaded files that the app has not registered yet.
    unregistered: list[str] = field(default_factory=list)
    #: When the app was last active, if there are such files for some seconds; else "".
    activity: str = ""
    #: Open imports that are not in `open`, by hub.
    more: dict[str, int] = field(default_factory=dict)

    def add(self, record: ImportRecord, queue_position: int | None = None) -> None:
        if record.state.is_final:
            self.ended.append(record)
        else:
            self.open.append(OpenImport(record, queue_position))

    @property
    def held(self) -> list[ImportRecord]:
        """The imports that wait for an approval."""
        records = (item.record for item in self.open)
        return [record for record in records if record.state is ImportState.HELD]

    @property
    def is_idle(self) -> bool:
        """Whether no import is open but for those that wait for people."""
        return not (self.unregistered or self.more) and len(self.open) == len(self.held)


class SelectedImports:
    """Given imports until all have ended or wait for an approval.

    A snapshot takes two queries per hub, and a read for each import that they do not find. While
    some of them wait for the app to register them, one more.
    """

    def __init__(self, importer: Importer, imports: Iterable[ImportRecord]) -> None:
        """Follow these imports, of which the app may not have registered some yet."""
        self._importer = importer
        self._open = list(imports)
        self._started = time.monotonic()

    @property
    def arguments(self) -> list[str]:
        """Arguments of `watch` that follow what is still open; none for too many imports."""
        ids = [record.id for record in self._open]
        return ids if len(ids) <= MAX_IDS else []

    def read(self) -> Snapshot:
        snapshot = Snapshot()
        by_hub: dict[str, list[str]] = {}
        for record in self._open:
            by_hub.setdefault(record.hub, []).append(record.row_key)
        found: dict[str, ImportRecord] = {}
        for hub, keys in by_hub.items():
            found |= self._importer.reader.shown_by_key(hub, keys)
        for record in self._open:
            current = found.get(record.row_key) or self._find(record)
            if current is None:
                snapshot.unregistered.append(record.file)
            else:
                snapshot.add(current, current.queue_position)
        ended = {record.id for record in snapshot.ended}
        self._open = [record for record in self._open if record.id not in ended]
        if snapshot.unregistered and time.monotonic() - self._started > ACTIVITY_DELAY:
            snapshot.activity = app_activity(self._importer)
        return snapshot

    def _find(self, record: ImportRecord) -> ImportRecord | None:
        try:
            # The app may have registered the upload when its folder belonged to another hub.
            return self._importer.reader.get(record.id)
        except ImportNotFoundError:
            return None
        except (UnreadableRowError, NewerRowError):
            return record


class OpenImports:
    """All imports of some hubs that are open or become so.

    A snapshot takes four queries per hub at most, however many of its imports change.
    """

    def __init__(self, importer: Importer, hubs: Sequence[str]) -> None:
        """Follow the imports of these hubs; empty: of all."""
        self._importer = importer
        #: Arguments of `watch` that follow the same.
        self.arguments = [argument for hub in hubs for argument in ("--hub", hub)]
        self._queues = [_Queue(importer, hub) for hub in hubs or importer.reader.hubs()]
        self._hubs = frozenset((*hubs, NO_HUB)) if hubs else frozenset[str]()
        #: Ids of imports that had ended; None before the first snapshot.
        self._ended: set[str] | None = None

    def read(self) -> Snapshot:
        snapshot = Snapshot()
        # Before the queues: what ends in between counts as ended in the next snapshot.
        recent = self._recently_ended()
        with ThreadPoolExecutor(min(MAX_THREADS, len(self._queues))) as pool:
            for part in pool.map(_Queue.read, self._queues):
                snapshot.open += part.open
                snapshot.ended += part.ended
                snapshot.more |= part.more
        if self._ended is None:
            self._ended = {record.id for record in recent}
        by_id = {record.id: record for record in (*recent, *snapshot.ended)}
        snapshot.ended = [record for record in by_id.values() if record.id not in self._ended]
        snapshot.ended.sort(key=lambda record: record.finished_at or record.updated_at)
        self._ended |= by_id.keys()
        return snapshot

    def _recently_ended(self) -> list[ImportRecord]:
        """Imports may end before a snapshot sees them in a queue, such as a rejected file."""
        since = self._importer.services.clock() - _RECENT
        filter = ImportFilter(self._hubs, _FINAL, uploaded_after=since)
        return list(self._importer.reader.page(filter, _MAX_RECENT).imports)


class _Queue:
    """The queue of one hub."""

    def __init__(self, importer: Importer, hub: str) -> None:
        self._importer = importer
        self._hub = hub
        #: Row keys of the records that are followed.
        self._keys: set[str] = set()

    def read(self) -> Snapshot:
        snapshot = Snapshot()
        services = self._importer.services
        queue = services.queue_rows.oldest(self._hub, MAX_QUEUED)
        keys = [row.record_key for row in queue]
        left = self._keys - set(keys)
        records = self._importer.reader.shown_by_key(self._hub, [*keys[:MAX_SHOWN], *left])
        head = [records[key] for key in keys[:MAX_SHOWN] if key in records]
        for record, position in queue_positions(head, services.settings.jobs, services.clock()):
            snapshot.add(record, position)
        if len(keys) > MAX_SHOWN:
            snapshot.more[self._hub] = len(keys) - MAX_SHOWN
        self._keys = set(keys)
        for key in left & records.keys():
            snapshot.add(records[key])
            # Still open only if someone deleted its queue row: follow it to its end.
            if not records[key].state.is_final:
                self._keys.add(key)
        return snapshot
