"""The identity registry: devices, their modules and their twins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from iothub_emulator.choices import DEFAULT_CHOICES, Choices
from iothub_emulator.clock import Clock
from iothub_emulator.errors import ErrorCode, HubError, Shape, invalid
from iothub_emulator.registry import edge
from iothub_emulator.registry.entries import Entry, EntryTable, Kind
from iothub_emulator.registry.identity import (
    ANY_ETAG,
    DeviceStatus,
    Identity,
    Key,
    already_registered,
    match_etag,
    match_revision,
    not_registered,
    quota_exceeded,
)
from iothub_emulator.registry.lines import parse_line
from iothub_emulator.registry.twin import NEVER, Twin, TwinChange
from iothub_emulator.store import Store

#: First revisions look random; those in ETags of live hubs have up to ten digits.
_FIRST_REVISIONS, _SPREAD = 1 << 30, 2_654_435_761

_NO_CHANGE = TwinChange()


@dataclass(frozen=True)
class Limits:
    """How much a hub holds (learn page on quotas and throttling)."""

    #: Devices and modules together, from S1 and B1 up; a free hub holds 500.
    identities: int = 1_000_000
    #: Older pages say 20.
    modules_per_device: int = 50


DEFAULT_LIMITS = Limits()


class Registry:
    """The identities and their rules.

    Every method is atomic. Refusals are raised as HubError with the message of a hub.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        choices: Choices = DEFAULT_CHOICES,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
        hub_name: str = "hub",
    ) -> None:
        self._store = store or Store()
        self._table = EntryTable(self._store)
        self._choices = choices
        self._limits = limits
        self._clock = clock or Clock()
        self._hub_name = hub_name
        self._count = 0
        #: Each is called with the key before an identity or its twin changes.
        self.before_change: list[Callable[[Key], None]] = []
        self.reload()

    def __len__(self) -> int:
        """Number of devices and modules."""
        return self._count

    def get(self, device_id: str, module_id: str | None = None) -> dict[str, Any] | None:
        """Return an identity in the form of a line of an export; None if it does not exist."""
        entry = self.find(Key(device_id, module_id))
        return None if entry is None else entry.to_json()

    def put(self, line: Mapping[str, Any]) -> None:
        """Create or update from a line of an import file; the default of status is enabled."""
        parsed = parse_line(json.dumps({"status": "enabled", **line}), self._choices)
        assert parsed is not None
        self.create_or_update(parsed.identity, parsed.twin)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of the block together, which is faster than one by one."""
        try:
            with self._store.transaction():
                yield
        except BaseException:
            self.reload()
            raise

    def reload(self) -> None:
        """Count again, after the store has changed without the registry."""
        self._count = self._table.count()

    def find(self, key: Key) -> Entry | None:
        return self._table.find(key)

    def scan(self, kind: Kind, after: Key, limit: int, device_id: str | None = None) -> list[Entry]:
        """See ``EntryTable.scan``."""
        return self._table.scan(kind, after, limit, device_id)

    def modules(self, device_id: str) -> list[Entry]:
        return self._table.modules(device_id)

    def count_by_status(self) -> dict[DeviceStatus, int]:
        return self._table.count_by_status()

    def create(self, identity: Identity, twin: TwinChange | None = None) -> Entry:
        """Create an identity, from a line if there is a twin, even an empty one."""
        identity.check()
        twin = twin and self._checked_twin(twin)
        with self._store.transaction():
            if self._table.exists(identity.key):
                raise already_registered(identity.key, self._hub_name)
            return self._create(identity, twin)

    def update(
        self,
        identity: Identity,
        twin: TwinChange = _NO_CHANGE,
        *,
        if_match: str = ANY_ETAG,
        if_twin_match: str = ANY_ETAG,
    ) -> Entry:
        twin = self._checked(identity, twin)
        with self._store.transaction():
            current = self._existing(identity.key)
            return self._update(current, identity, twin, if_match, if_twin_match)

    def create_or_update(
        self,
        identity: Identity,
        twin: TwinChange,
        *,
        if_match: str = ANY_ETAG,
        if_twin_match: str = ANY_ETAG,
    ) -> Entry:
        twin = self._checked(identity, twin)
        with self._store.transaction():
            current = self._table.find(identity.key)
            if current is None:
                return self._create(identity, twin)
            return self._update(current, identity, twin, if_match, if_twin_match)

    def update_identity(self, identity: Identity, *, if_match: str = ANY_ETAG) -> Entry:
        """Overwrite an identity, and leave its twin alone."""
        identity.check()
        with self._store.transaction():
            current = self._existing(identity.key)
            match_revision(current.etag, if_match)
            return self._update_identity(current, identity)

    def delete(self, key: Key, *, if_match: str = ANY_ETAG) -> None:
        """Delete a module, or a device with its modules."""
        key.check()
        with self._store.transaction():
            match_revision(self._existing(key).etag, if_match)
            for entry in self._table.modules(key.device_id) if key.module_id is None else ():
                self._announce(entry.identity.key)
            self._announce(key)
            self._count -= self._table.delete(key)

    def update_twin(self, key: Key, patch: TwinChange, *, if_match: str = ANY_ETAG) -> Entry:
        """Merge a patch into a twin; null deletes a property."""
        key.check()
        return self._change_twin(key, patch, if_match, Twin.merged)

    def replace_twin(self, key: Key, twin: TwinChange, *, if_match: str = ANY_ETAG) -> Entry:
        """Replace tags and desired properties; null is refused (live hub)."""
        if twin.has_null():
            raise invalid("A twin that is replaced cannot hold null.")
        key.check()
        return self._change_twin(key, twin, if_match, Twin.replaced)

    def configure(self, key: Key, change: Callable[[Entry, int], Entry]) -> None:
        """Write what a change makes of an entry at a time, also of a system module."""
        with self._store.transaction():
            entry = self._existing(key)
            if (changed := change(entry, self._clock.ticks())) is not entry:
                self._write(changed)

    def _change_twin(
        self,
        key: Key,
        change: TwinChange,
        if_match: str,
        apply: Callable[[Twin, TwinChange, int], Twin],
    ) -> Entry:
        change = self._checked_twin(change)
        with self._store.transaction():
            current = self._existing(key)
            _match_twin(current, if_match)
            return self._write(
                replace(current, twin=apply(current.twin, change, self._clock.ticks()))
            )

    def _existing(self, key: Key) -> Entry:
        entry = self._table.find(key)
        if entry is None:
            raise not_registered(key if self._table.exists(key.parent) else key.parent)
        return entry

    def _create(self, identity: Identity, twin: TwinChange | None) -> Entry:
        """Create an identity that does not exist yet."""
        if self._choices.null_in_new_twin == "refuse" and twin and twin.has_null():
            raise invalid("A new twin cannot hold null.")
        key = identity.key
        if key.module_id is not None:
            self._check_room_for_module(key)
        if self._count >= self._limits.identities:
            raise quota_exceeded(self._hub_name, self._limits.identities, self._count)
        entry = self._write_new(identity.completed(), twin)
        if identity.iot_edge:
            self._add_system_modules(key)
        return entry

    def _update(
        self,
        current: Entry,
        identity: Identity,
        twin: TwinChange,
        if_match: str,
        if_twin_match: str,
    ) -> Entry:
        """Overwrite an identity; missing keys are generated, as for a new one."""
        match_revision(current.etag, if_match)
        _match_twin(current, if_twin_match)
        now = self._clock.ticks()
        return self._update_identity(
            replace(current, twin=current.twin.replaced(self._completed(twin), now)), identity
        )

    def _update_identity(self, current: Entry, identity: Identity) -> Entry:
        old, now = current.identity, self._clock.ticks()
        entry = self._write(
            replace(
                current,
                identity=edge.with_scope(identity.completed(old), old, now),
                revision=current.revision + 1,
                status_updated=current.status_updated if old.status is identity.status else now,
            )
        )
        if identity.iot_edge and not old.iot_edge:
            self._add_system_modules(identity.key)
        return entry

    def _checked(self, identity: Identity, twin: TwinChange) -> TwinChange:
        identity.check()
        return self._checked_twin(twin)

    def _checked_twin(self, twin: TwinChange) -> TwinChange:
        """Check a twin without its reported properties if those have no effect."""
        if twin.reported is not None and self._choices.reported == "ignore":
            twin = replace(twin, reported=None)
        twin.check()
        return twin

    def _completed(self, twin: TwinChange) -> TwinChange:
        """Apply the switch for tags and desired properties that an update omits."""
        if self._choices.absent_twin_parts == "keep":
            return twin
        return replace(twin, tags=twin.tags or {}, desired=twin.desired or {})

    def _check_room_for_module(self, key: Key) -> None:
        if not self._table.exists(key.parent):
            raise not_registered(key.parent)
        present = self._table.count_modules(key.device_id)
        if present >= self._limits.modules_per_device:
            message = f"Device {key.device_id} has {present} modules, and cannot have more."
            raise HubError(ErrorCode.TooManyModulesOnDevice, message, Shape.E2)

    def _add_system_modules(self, device: Key) -> None:
        for module in edge.system_modules(device.device_id):
            if not self._table.exists(module.key):
                self._write_new(module, None)

    def _write_new(self, identity: Identity, twin: TwinChange | None) -> Entry:
        ticks, of_module = self._clock.ticks(), identity.key.module_id is not None
        entry = Entry(
            edge.with_scope(identity, None, ticks),
            Twin.new(twin, ticks, of_module=of_module),
            revision=ticks * _SPREAD % _FIRST_REVISIONS,
            generation_id=ticks,
            status_updated=NEVER,
        )
        self._write(entry)
        self._count += 1
        return entry

    def _write(self, entry: Entry) -> Entry:
        self._announce(entry.identity.key)
        self._table.write(entry)
        return entry

    def _announce(self, key: Key) -> None:
        for notify in self.before_change:
            notify(key)


def _match_twin(entry: Entry, expected: str) -> None:
    message = f"ETag mismatch for device ID '{entry.identity.key.device_id}'"
    match_etag(entry.twin.etag, expected, message)
