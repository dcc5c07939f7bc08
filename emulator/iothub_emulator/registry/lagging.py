"""The registry as it was some time ago, as queries and exports may show it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from iothub_emulator.clock import Clock
from iothub_emulator.registry.entries import Entry, Kind
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.registry import Registry

#: Entries read at once, beyond those that have changed.
_BATCH = 1000


class LaggingRegistry:
    """Shows entries as they were before changes that are younger than the lag."""

    def __init__(self, registry: Registry, clock: Clock, lag: timedelta) -> None:
        self._registry = registry
        self._clock = clock
        self._lag = lag
        #: By key, until when which entry is shown; None for none.
        self._outdated: dict[Key, tuple[datetime, Entry | None]] = {}
        if lag:
            registry.before_change.append(self._remember)

    def scan(self, kind: Kind, after: Key, limit: int, device_id: str | None = None) -> list[Entry]:
        """See ``EntryTable.scan``."""
        if not self._lag:
            return self._registry.scan(kind, after, limit, device_id)
        now = self._clock.now()
        outdated = {k: entry for k, (until, entry) in self._outdated.copy().items() if until > now}
        kept = [
            entry
            for key, entry in outdated.items()
            if entry is not None
            and (kind is Kind.ALL or (key.module_id is None) == (kind is Kind.DEVICES))
            and _position(key) > _position(after)
            and device_id in (None, key.device_id)
        ]
        kept.sort(key=_entry_position)
        current = (
            entry
            for entry in self._current(kind, after, device_id)
            if entry.identity.key not in outdated
        )
        return list(islice(heapq.merge(kept, current, key=_entry_position), limit))

    def _current(self, kind: Kind, after: Key, device_id: str | None) -> Iterator[Entry]:
        while entries := self._registry.scan(kind, after, _BATCH, device_id):
            yield from entries
            after = entries[-1].identity.key

    def _remember(self, key: Key) -> None:
        now = self._clock.now()
        until, _ = self._outdated.get(key, (now, None))
        if until <= now:
            self._outdated[key] = (now + self._lag, self._registry.find(key))


def _position(key: Key) -> tuple[str, str]:
    return key.device_id, key.module_id or ""


def _entry_position(entry: Entry) -> tuple[str, str]:
    return _position(entry.identity.key)
