"""Reads the twins that match queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from iothub_emulator.api.documents import twin_document
from iothub_emulator.api.requests import LATEST_VERSION
from iothub_emulator.query import Query, Source
from iothub_emulator.registry.entries import FIRST_KEY, Entry, Kind
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.lagging import LaggingRegistry

#: Twins read at once; other requests can use the registry between batches.
_BATCH = 1000
_KINDS = {Source.DEVICES: Kind.DEVICES, Source.MODULES: Kind.MODULES}


class Search:
    """Runs queries on the current state of the registry, not on a snapshot."""

    def __init__(self, registry: LaggingRegistry) -> None:
        self._registry = registry

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
        for entry in self._scan(_KINDS[source], after, device_id):
            yield entry.identity.key, twin_document(entry, version, is_row=True)

    def _scan(self, kind: Kind, after: Key, device_id: str | None) -> Iterator[Entry]:
        while entries := self._registry.scan(kind, after, _BATCH, device_id):
            yield from entries
            after = entries[-1].identity.key
