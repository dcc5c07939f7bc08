"""The identity registry: devices, their modules and their twins."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from iothub_emulator.choices import ASSUMED, Choices
from iothub_emulator.clock import Clock
from iothub_emulator.errors import ErrorCode, HubError, Shape
from iothub_emulator.registry.entry import Entry
from iothub_emulator.registry.identity import (
    SYSTEM_MODULES,
    AuthenticationType,
    Credentials,
    DeviceStatus,
    Identity,
    Key,
    invalid,
)
from iothub_emulator.registry.limits import DEFAULT_LIMITS, Limits
from iothub_emulator.registry.lines import parse_line
from iothub_emulator.registry.rows import from_row, to_row
from iothub_emulator.registry.twin import NEVER, Twin, TwinChange
from iothub_emulator.store import Store
from iothub_emulator.times import shown_time

#: Matches whatever is stored, as in the HTTP header If-Match.
ANY_ETAG = "*"

#: Before the first: a number of as many digits as live hubs show in their etags.
_FIRST_REVISION = 801_232_426
#: .NET counts time in ticks of 100 ns since the year 1, edge scopes contain such a number.
_TICKS_AT_EPOCH = 621_355_968_000_000_000

_NO_CHANGE = TwinChange()
_NEW_TWIN = Twin()

_FIND = "SELECT * FROM identities WHERE device_id = ? AND module_id = ?"
_EXISTS = "SELECT 1 FROM identities WHERE device_id = ? AND module_id = ?"
_SCAN = "SELECT * FROM identities WHERE (device_id, module_id) > (?, ?)"
_MODULES = "SELECT * FROM identities WHERE device_id = ? AND module_id <> '' ORDER BY module_id"
_COUNT_MODULES = "SELECT count(*) FROM identities WHERE device_id = ? AND module_id <> ''"
_COUNT_DEVICES = "SELECT enabled, count(*) FROM identities WHERE module_id = '' GROUP BY enabled"
_WRITE = f"REPLACE INTO identities VALUES ({', '.join('?' * 17)})"
_DELETE = "DELETE FROM identities WHERE device_id = ? AND module_id = ?"
_DELETE_DEVICE = "DELETE FROM identities WHERE device_id = ?"


class Kind(StrEnum):
    """What a scan of the registry comes upon; the values are conditions of SQL."""

    ALL = "true"
    DEVICES = "module_id = ''"
    MODULES = "module_id <> ''"


@dataclass(frozen=True)
class Statistics:
    """How many devices there are; modules do not count."""

    enabled: int
    disabled: int


class Registry:
    """Every method is atomic; refusals are raised as the hub words them."""

    def __init__(
        self,
        store: Store | None = None,
        *,
        choices: Choices = ASSUMED,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
        hub_name: str = "hub",
    ) -> None:
        self._store = store or Store()
        self._choices = choices
        self._limits = limits
        self._clock = clock or Clock()
        self._hub_name = hub_name
        self._count: int = 0
        self._last_revision: int = _FIRST_REVISION
        self.reload()

    def __len__(self) -> int:
        """Devices and modules together."""
        return self._count

    def get(self, device_id: str, module_id: str | None = None) -> dict[str, Any] | None:
        """An identity in the form of a line of an import file."""
        entry = self.find(Key(device_id, module_id))
        return None if entry is None else entry.to_json()

    def put(self, line: Mapping[str, Any]) -> None:
        """Register or overwrite from a line of an import file; its status defaults to enabled."""
        parsed = parse_line(json.dumps({"status": "enabled", **line}), self._choices)
        self.create_or_update(parsed.identity, parsed.twin)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Stores the changes made inside together, which is faster; a refusal undoes nothing."""
        try:
            with self._store.transaction():
                yield
        except BaseException:
            self.reload()
            raise

    def reload(self) -> None:
        """Count again, after the store has changed by itself."""
        self._count, last = self._store.fetch_one("SELECT count(*), max(revision) FROM identities")
        self._last_revision = max(self._last_revision, last or 0)

    def find(self, key: Key) -> Entry | None:
        row = self._store.fetch_one(_FIND, (key.device_id, key.module_id or ""))
        return row and from_row(row)

    def scan(self, kind: Kind, after: Key, limit: int, device_id: str | None = None) -> list[Entry]:
        """Identities in the order of their keys, each device before its modules.

        If a device is named, only it and its modules are looked at.
        """
        condition, named = kind.value, []
        if device_id is not None:
            condition, named = f"{condition} AND device_id = ?", [device_id]
        sql = f"{_SCAN} AND {condition} ORDER BY device_id, module_id LIMIT ?"
        rows = self._store.fetch(sql, (after.device_id, after.module_id or "", *named, limit))
        return [from_row(row) for row in rows]

    def modules(self, device_id: str) -> list[Entry]:
        return [from_row(row) for row in self._store.fetch(_MODULES, (device_id,))]

    def statistics(self) -> Statistics:
        counted = dict(self._store.fetch(_COUNT_DEVICES))
        return Statistics(enabled=counted.get(1, 0), disabled=counted.get(0, 0))

    def create(self, identity: Identity, twin: TwinChange = _NO_CHANGE) -> Entry:
        twin = self._checked(identity, twin)
        with self._store.transaction():
            if self._exists(identity.key):
                raise self._already_registered(identity.key)
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
            current = self._expect(identity.key)
            return self._update(current, identity, twin, if_match, if_twin_match)

    def create_or_update(
        self,
        identity: Identity,
        twin: TwinChange = _NO_CHANGE,
        *,
        if_match: str = ANY_ETAG,
        if_twin_match: str = ANY_ETAG,
    ) -> Entry:
        twin = self._checked(identity, twin)
        with self._store.transaction():
            current = self.find(identity.key)
            if current is None:
                return self._create(identity, twin)
            return self._update(current, identity, twin, if_match, if_twin_match)

    def delete(self, key: Key, *, if_match: str = ANY_ETAG) -> None:
        """A device takes its modules with it."""
        key.check()
        with self._store.transaction():
            _match(key, self._expect(key).etag, if_match)
            if key.module_id is None:
                self._count -= self._store.execute(_DELETE_DEVICE, (key.device_id,))
            else:
                self._count -= self._store.execute(_DELETE, (key.device_id, key.module_id))

    def update_twin(self, key: Key, patch: TwinChange, *, if_match: str = ANY_ETAG) -> Entry:
        """Merge a patch into a twin; null removes a member."""
        return self._change_twin(key, patch, if_match, Twin.merged)

    def replace_twin(self, key: Key, twin: TwinChange, *, if_match: str = ANY_ETAG) -> Entry:
        """Tags and desired properties become what is given; null is refused (live hub)."""
        if twin.has_null():
            raise invalid("A twin that is replaced cannot hold null.")
        return self._change_twin(key, twin, if_match, Twin.replaced)

    def _change_twin(
        self,
        key: Key,
        change: TwinChange,
        if_match: str,
        apply: Callable[[Twin, TwinChange, str], Twin],
    ) -> Entry:
        key.check()
        change = self._checked_twin(change)
        with self._store.transaction():
            current = self._expect(key)
            _match(key, current.twin.etag, if_match)
            return self._write(replace(current, twin=apply(current.twin, change, self._now())))

    def _exists(self, key: Key) -> bool:
        return bool(self._store.fetch_one(_EXISTS, (key.device_id, key.module_id or "")))

    def _expect(self, key: Key) -> Entry:
        entry = self.find(key)
        if entry is None:
            raise not_registered(key if self._exists(key.parent) else key.parent)
        return entry

    def _create(self, identity: Identity, twin: TwinChange) -> Entry:
        """Register an identity that is not there."""
        if self._choices.null_in_new_twin == "refuse" and twin.has_null():
            raise invalid("A new twin cannot hold null.")
        key = identity.key
        if key.module_id is not None:
            self._check_room_for_module(key)
        if self._count >= self._limits.identities:
            raise self._quota_exceeded()
        entry = self._write(
            Entry(
                identity=_with_scope(identity.completed(), None),
                twin=_NEW_TWIN.replaced(twin, self._now()),
                revision=self._next_revision(),
                generation_id=str(_ticks()),
                status_updated=NEVER,
            )
        )
        self._count += 1
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
        """Overwrite an identity; credentials without keys get new ones here too."""
        _match(identity.key, current.etag, if_match)
        _match(identity.key, current.twin.etag, if_twin_match)
        old, now = current.identity, self._now()
        entry = self._write(
            Entry(
                identity=_with_scope(identity.completed(), old),
                twin=current.twin.replaced(self._completed(twin), now),
                revision=self._next_revision(),
                generation_id=current.generation_id,
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
        """What has no effect cannot break a rule."""
        if twin.reported is not None and self._choices.reported == "ignore":
            twin = replace(twin, reported=None)
        twin.check()
        return twin

    def _completed(self, twin: TwinChange) -> TwinChange:
        """What an update says about a twin, with what it is silent about."""
        if self._choices.absent_twin_parts == "keep":
            return twin
        return replace(twin, tags=twin.tags or {}, desired=twin.desired or {})

    def _check_room_for_module(self, key: Key) -> None:
        if not self._exists(key.parent):
            raise not_registered(key.parent)
        (present,) = self._store.fetch_one(_COUNT_MODULES, (key.device_id,))
        if present >= self._limits.modules_per_device:
            message = f"Device {key.device_id} has {present} modules, and cannot have more."
            raise HubError(ErrorCode.TooManyModulesOnDevice, message, Shape.E2)

    def _add_system_modules(self, device: Key) -> None:
        """A hub gives edge devices two modules without credentials (live hub)."""
        for name in sorted(SYSTEM_MODULES):
            key = Key(device.device_id, name)
            if not self._exists(key):
                self._count += 1
                self._write(
                    Entry(
                        identity=Identity(
                            key,
                            DeviceStatus.ENABLED,
                            Credentials(AuthenticationType.NONE),
                            managed_by="iotEdge",
                        ),
                        twin=_NEW_TWIN,
                        revision=self._next_revision(),
                        generation_id=str(_ticks()),
                        status_updated=NEVER,
                    )
                )

    def _write(self, entry: Entry) -> Entry:
        self._store.execute(_WRITE, to_row(entry))
        return entry

    def _next_revision(self) -> int:
        self._last_revision += 1
        return self._last_revision

    def _now(self) -> str:
        return shown_time(self._clock.now())

    def _already_registered(self, key: Key) -> HubError:
        """The texts of a live hub."""
        if key.module_id is None:
            message = f"A device with ID '{key}' is already registered."
            return HubError(ErrorCode.DeviceAlreadyExists, message)
        device = f"Device {key.device_id} in IotHub {self._hub_name}"
        message = f"{device} already contains Module {key.module_id}."
        return HubError(ErrorCode.ModuleAlreadyExistsOnDevice, message, Shape.E2)

    def _quota_exceeded(self) -> HubError:
        message = (
            f"Total number of devices on IotHub '{self._hub_name}' exceeded the allocated quota. "
            f"Max allowed device count : '{self._limits.identities}', "
            f"current device count : '{self._count}'. "
            "Consider increasing the units for this hub to increase the quota."
        )
        return HubError(ErrorCode.IotHubQuotaExceeded, message)


def _match(key: Key, stored: str, wanted: str) -> None:
    if wanted not in (ANY_ETAG, stored):
        message = f"The ETag given for device '{key}' does not match the stored one."
        raise HubError(ErrorCode.PreconditionFailed, message)


def _with_scope(identity: Identity, old: Identity | None) -> Identity:
    """Edge devices get a scope of their own, once; a leaf's only parent is the scope it names."""
    if not identity.iot_edge:
        if identity.device_scope is None and not identity.parent_scopes:
            return identity
        parents = (identity.device_scope,) if identity.device_scope else ()
        return replace(identity, parent_scopes=parents)
    if old is not None and old.iot_edge:
        return replace(identity, device_scope=old.device_scope)
    scope = f"ms-azure-iot-edge://{identity.key.device_id}-{_ticks()}"
    return replace(identity, device_scope=scope)


def _ticks() -> int:
    return _TICKS_AT_EPOCH + time.time_ns() // 100


def not_registered(key: Key) -> HubError:
    """The text is the bare id, as in a published importErrors.log."""
    if key.module_id is None:
        return HubError(ErrorCode.DeviceNotFound, str(key))
    return HubError(ErrorCode.ModuleNotFound, str(key), Shape.E2)
