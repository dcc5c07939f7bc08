"""Reads the twins that match queries."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from iothub_emulator.api.documents import twin_document
from iothub_emulator.api.requests import LATEST_VERSION
from iothub_emulator.clock import Clock
from iothub_emulator.query import Query, Source
from iothub_emulator.registry.entries import FIRST_KEY, Entry, Kind
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.registry import Registry

#: Twins read at once; other requests can use the registry between batches.
_BATCH = 1000
_KINDS = {Source.DEVICES: Kind.DEVICES, Source.MODULES: Kind.MODULES}


class Search:
    """Runs queries on the current state of the registry, not on a snapshot.

    With a lag, they find what the registry held before changes that are younger.
    """

    def __init__(self, registry: Registry, clock: Clock, lag: timedelta) -> None:
        self._registry = registry
        self._clock = clock
        self._lag = lag
        #: By key, until when queries find which entry; None for none.
        self._outdated: dict[Key, tuple[datetime, Entry | None]] = {}
        if lag:
            registry.before_change.append(self._remember)

    def matches(
        self, query: Query, version: str = LATEST_VERSION, after: Key = FIRST_KEY
    ) -> Iterator[tuple[Key, Any]]:
        """The matching documents after a key, in the order of their keys."""
        for key, document in self._documents(query.source, version, after, query.device_id):
            if query.matches(document):
                yield key, document

    def count(self, queries: Iterable[Query]) -> dict[Query, int]:
        """The number of rows of each query; each document is read only once."""
        counts = dict.fromkeys(queries, 0)
        for source in {query.source for query in counts}:
            matching: dict[Query, list[Any]] = {q: [] for q in counts if q.source is source}
            for _, document in self._documents(source):
                for query, documents in matching.items():
                    if query.matches(document):
                        counts[query] += 1
                        if query.is_aggregate:
                            documents.append(document)
            for query, documents in matching.items():
                if query.is_aggregate:
                    counts[query] = len(query.aggregate(documents))
        return {q: n if q.top is None else min(n, q.top) for q, n in counts.items()}

    def _documents(
        self,
        source: Source,
        version: str = LATEST_VERSION,
        after: Key = FIRST_KEY,
        device_id: str | None = None,
    ) -> Iterator[tuple[Key, Any]]:
        if source is Source.JOBS:
            return  # There are no scheduled jobs.
        if device_id is not None and not device_id.isascii():
            return  # Ids are ASCII; SQLite cannot look up half of a surrogate pair.
        entries = self._scan(_KINDS[source], after, device_id)
        if self._lag:
            entries = self._lagging(entries, source, after, device_id)
        for entry in entries:
            yield entry.identity.key, twin_document(entry, version, is_row=True)

    def _scan(self, kind: Kind, after: Key, device_id: str | None) -> Iterator[Entry]:
        while entries := self._registry.scan(kind, after, _BATCH, device_id):
            yield from entries
            after = entries[-1].identity.key

    def _remember(self, key: Key) -> None:
        now = self._clock.now()
        until, _ = self._outdated.get(key, (now, None))
        if until <= now:
            self._outdated[key] = (now + self._lag, self._registry.find(key))

    def _lagging(
        self, entries: Iterator[Entry], source: Source, after: Key, device_id: str | None
    ) -> Iterator[Entry]:
        """Replace entries that have changed since by the outdated ones."""
        now = self._clock.now()
        outdated = {k: entry for k, (until, entry) in self._outdated.copy().items() if until > now}
        kept = [
            entry
            for key, entry in outdated.items()
            if entry is not None
            and (key.module_id is None) == (source is Source.DEVICES)
            and _position(key) > _position(after)
            and device_id in (None, key.device_id)
        ]
        current = (entry for entry in entries if entry.identity.key not in outdated)
        kept.sort(key=_entry_position)
        return heapq.merge(kept, current, key=_entry_position)


def _position(key: Key) -> tuple[str, str]:
    return key.device_id, key.module_id or ""


def _entry_position(entry: Entry) -> tuple[str, str]:
    return _position(entry.identity.key)
