"""The identity registry: devices, their modules and their twins, in memory."""

from __future__ import annotations

import copy
import itertools
import json
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from local.hub.errors import ErrorCode, HubError, Shape
from local.hub.registry.identity import Identity, Key
from local.hub.registry.lines import parse_line
from local.hub.registry.twin import Twin, TwinChange

#: Matches whatever is stored, as in the HTTP header If-Match.
ANY_ETAG = "*"

#: Where the etag counter starts: a number of as many digits as live hubs show.
_FIRST_ETAG = 801_232_426
#: .NET counts time in ticks of 100 ns since the year 1, edge scopes contain such a number.
_TICKS_AT_EPOCH = 621_355_968_000_000_000

_NO_CHANGE = TwinChange()


@dataclass(frozen=True)
class Entry:
    """An identity as the registry holds it."""

    identity: Identity
    twin: Twin
    etag: str
    generation_id: str

    def to_json(self) -> dict[str, Any]:
        """The form in which a hub exports it."""
        identity, twin = self.identity, self.twin
        exported: dict[str, Any] = {"id": identity.key.device_id}
        if identity.key.module_id is not None:
            exported["moduleId"] = identity.key.module_id
        exported |= {
            "eTag": self.etag,
            "status": identity.status.value,
            "statusReason": identity.status_reason,
            "authentication": identity.credentials.to_json(),
            "twinETag": twin.etag,
            "tags": twin.tags,
            "properties": {"desired": twin.desired, "reported": {}},
            "capabilities": {"iotEdge": identity.iot_edge},
        }
        if identity.device_scope is not None:
            exported["deviceScope"] = identity.device_scope
            exported["parentScopes"] = list(identity.parent_scopes)
        return exported


class Registry:
    """Every method is atomic; refusals are raised as the hub words them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[Key, Entry] = {}
        self._etags = itertools.count(_FIRST_ETAG)

    def __len__(self) -> int:
        """Devices and modules together."""
        return len(self._entries)

    def get(self, device_id: str, module_id: str | None = None) -> dict[str, Any] | None:
        """An identity in the form of a line of an import file; the caller may change it."""
        entry = self.find(Key(device_id, module_id))
        return None if entry is None else copy.deepcopy(entry.to_json())

    def put(self, line: Mapping[str, Any]) -> None:
        """Register or overwrite from a line of an import file; its status defaults to enabled."""
        parsed = parse_line(json.dumps({"status": "enabled", **line}))
        self.create_or_update(parsed.identity, parsed.twin)

    def find(self, key: Key) -> Entry | None:
        with self._lock:
            return self._entries.get(key)

    def devices(self, top: int) -> list[Entry]:
        with self._lock:
            devices = (entry for key, entry in self._entries.items() if key.module_id is None)
            return list(itertools.islice(devices, top))

    def modules(self, device_id: str) -> list[Entry]:
        with self._lock:
            return [
                entry
                for key, entry in self._entries.items()
                if key.module_id is not None and key.device_id == device_id
            ]

    def create(self, identity: Identity, twin: TwinChange = _NO_CHANGE) -> Entry:
        _check(identity, twin)
        with self._lock:
            key = identity.key
            if key in self._entries:
                raise _already_registered(key)
            if key.module_id is not None and key.parent not in self._entries:
                raise not_registered(key.parent)
            return self._store(identity, twin, None)

    def update(
        self,
        identity: Identity,
        twin: TwinChange = _NO_CHANGE,
        *,
        if_match: str = ANY_ETAG,
        if_twin_match: str = ANY_ETAG,
    ) -> Entry:
        _check(identity, twin)
        with self._lock:
            current = self._expect(identity.key)
            _match(identity.key, current.etag, if_match)
            _match(identity.key, current.twin.etag, if_twin_match)
            return self._store(identity, twin, current)

    def create_or_update(
        self,
        identity: Identity,
        twin: TwinChange = _NO_CHANGE,
        *,
        if_match: str = ANY_ETAG,
        if_twin_match: str = ANY_ETAG,
    ) -> Entry:
        with self._lock:
            if identity.key not in self._entries:
                return self.create(identity, twin)
            return self.update(identity, twin, if_match=if_match, if_twin_match=if_twin_match)

    def delete(self, key: Key, *, if_match: str = ANY_ETAG) -> None:
        """A device takes its modules with it."""
        key.check()
        with self._lock:
            _match(key, self._expect(key).etag, if_match)
            del self._entries[key]
            if key.module_id is None:
                for module in self.modules(key.device_id):
                    del self._entries[module.identity.key]

    def update_twin(self, key: Key, patch: TwinChange, *, if_match: str = ANY_ETAG) -> None:
        key.check()
        patch.check()
        with self._lock:
            current = self._expect(key)
            _match(key, current.twin.etag, if_match)
            self._entries[key] = replace(current, twin=current.twin.merged(patch))

    def _expect(self, key: Key) -> Entry:
        entry = self._entries.get(key)
        if entry is None:
            raise not_registered(key if key.parent in self._entries else key.parent)
        return entry

    def _store(self, identity: Identity, twin: TwinChange, current: Entry | None) -> Entry:
        """Write an identity; credentials without keys get new ones, on an update too."""
        entry = Entry(
            identity=_with_scope(
                replace(identity, credentials=identity.credentials.completed()), current
            ),
            twin=(current.twin if current else Twin()).replaced(twin),
            etag=b64encode(str(next(self._etags)).encode()).decode(),
            generation_id=current.generation_id if current else str(_ticks()),
        )
        self._entries[identity.key] = entry
        return entry


def _check(identity: Identity, twin: TwinChange) -> None:
    identity.check()
    twin.check()


def _with_scope(identity: Identity, current: Entry | None) -> Identity:
    """Edge devices get a scope of their own, once; a leaf's only parent is the scope it names."""
    if not identity.iot_edge:
        parents = (identity.device_scope,) if identity.device_scope else ()
        return replace(identity, parent_scopes=parents)
    old = current.identity if current else None
    if old is not None and old.iot_edge:
        return replace(identity, device_scope=old.device_scope)
    scope = f"ms-azure-iot-edge://{identity.key.device_id}-{_ticks()}"
    return replace(identity, device_scope=scope)


def _ticks() -> int:
    return _TICKS_AT_EPOCH + time.time_ns() // 100


def _match(key: Key, stored: str, wanted: str) -> None:
    if wanted not in (ANY_ETAG, stored):
        message = f"The ETag given for device '{key}' does not match the stored one."
        raise HubError(ErrorCode.PreconditionFailed, message)


def _already_registered(key: Key) -> HubError:
    if key.module_id is None:
        message = f"A device with ID '{key}' is already registered."
        return HubError(ErrorCode.DeviceAlreadyExists, message)
    message = f"Device {key.device_id} already contains Module {key.module_id}."
    return HubError(ErrorCode.ModuleAlreadyExistsOnDevice, message, Shape.E2)


def not_registered(key: Key) -> HubError:
    """The text is the bare id, as in a published importErrors.log."""
    if key.module_id is None:
        return HubError(ErrorCode.DeviceNotFound, str(key))
    return HubError(ErrorCode.ModuleNotFound, str(key), Shape.E2)
