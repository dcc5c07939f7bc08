"""Entries of the registry, each a device or module with its twin, and the table of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from iothub_emulator.registry.identity import (
    AuthenticationType,
    Credentials,
    DeviceStatus,
    Identity,
    Key,
)
from iothub_emulator.registry.twin import Properties, Twin, first_update
from iothub_emulator.store import Store

#: Of the properties in one column: status reason, scopes, who manages, kept keys and attributes.
_NOTHING_ELSE = (None, None, (), None, None, None)

#: Sorts before all other keys: a scan after it starts at the beginning.
FIRST_KEY = Key("")

_FIND = "SELECT * FROM identities WHERE device_id = ? AND module_id = ?"
_EXISTS = "SELECT 1 FROM identities WHERE device_id = ? AND module_id = ?"
_SCAN = "SELECT * FROM identities WHERE (device_id, module_id) > (?, ?)"
_MODULES = "SELECT * FROM identities WHERE device_id = ? AND module_id <> '' ORDER BY module_id"
_COUNT_MODULES = "SELECT count(*) FROM identities WHERE device_id = ? AND module_id <> ''"
_COUNT_BY_STATUS = "SELECT enabled, count(*) FROM identities WHERE module_id = '' GROUP BY enabled"
_WRITE = f"REPLACE INTO identities VALUES ({', '.join('?' * 18)})"
_DELETE = "DELETE FROM identities WHERE device_id = ? AND module_id = ?"
_DELETE_WITH_MODULES = "DELETE FROM identities WHERE device_id = ?"


@dataclass(frozen=True, slots=True)
class Entry:
    """A device or module with its twin."""

    identity: Identity
    twin: Twin
    #: Increases by one at each change of the identity.
    revision: int
    #: Time of the creation in ticks (``Clock.ticks``).
    generation_id: int
    #: Time of the last change between enabled and disabled, in ticks.
    status_updated: int
    #: Status by id of the configurations that target the twin.
    configurations: Mapping[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """The revision in Base64 (live hub)."""
        return b64encode(b"%d" % self.revision).decode()

    def to_json(self, *, with_keys: bool = True) -> dict[str, Any]:
        """The line of an export; without keys these are null."""
        identity, twin = self.identity, self.twin
        line: dict[str, Any] = {"id": identity.key.device_id}
        if identity.key.module_id is not None:
            line["moduleId"] = identity.key.module_id
        line |= {
            "eTag": self.etag,
            "status": identity.status.value,
            "statusReason": identity.status_reason,
            "authentication": identity.credentials.to_json(with_keys=with_keys),
            "twinETag": twin.etag,
            "tags": twin.tags,
            "properties": {"desired": twin.desired.values, "reported": twin.reported.values},
            "capabilities": {"iotEdge": identity.iot_edge},
        }
        if identity.attributes is not None:
            line["attributes"] = identity.attributes
        return line | self.scopes()

    def scopes(self) -> dict[str, Any]:
        """Scope properties, which only identities of an edge hierarchy have (live hub)."""
        if self.identity.device_scope is None:
            return {}
        return {
            "deviceScope": self.identity.device_scope,
            "parentScopes": list(self.identity.parent_scopes),
        }


class Kind(StrEnum):
    """What a scan returns; the values are SQL conditions."""

    ALL = "true"
    DEVICES = "module_id = ''"
    MODULES = "module_id <> ''"


class EntryTable:
    """The rows of the registry, without any rules."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def count(self) -> int:
        count: int = self._store.fetch_one("SELECT count(*) FROM identities")[0]
        return count

    def exists(self, key: Key) -> bool:
        return bool(self._store.fetch_one(_EXISTS, _parameters(key)))

    def find(self, key: Key) -> Entry | None:
        row = self._store.fetch_one(_FIND, _parameters(key))
        return row and _from_row(row)

    def scan(self, kind: Kind, after: Key, limit: int, device_id: str | None = None) -> list[Entry]:
        """Entries in the order of their keys, each device before its modules.

        ``device_id`` limits the scan to one device and its modules.
        """
        sql, parameters = f"{_SCAN} AND {kind.value}", [*_parameters(after)]
        if device_id is not None:
            sql += " AND device_id = ?"
            parameters.append(device_id)
        rows = self._store.fetch(
            f"{sql} ORDER BY device_id, module_id LIMIT ?", (*parameters, limit)
        )
        return [_from_row(row) for row in rows]

    def modules(self, device_id: str) -> list[Entry]:
        return [_from_row(row) for row in self._store.fetch(_MODULES, (device_id,))]

    def count_modules(self, device_id: str) -> int:
        count: int = self._store.fetch_one(_COUNT_MODULES, (device_id,))[0]
        return count

    def count_by_status(self) -> dict[DeviceStatus, int]:
        """Number of devices by status, without modules."""
        counts = dict(self._store.fetch(_COUNT_BY_STATUS))
        return {
            DeviceStatus.ENABLED: counts.get(1, 0),
            DeviceStatus.DISABLED: counts.get(0, 0),
        }

    def write(self, entry: Entry) -> None:
        self._store.execute(_WRITE, _to_row(entry))

    def delete(self, key: Key) -> int:
        """Delete a module, or a device with its modules; return the number of entries."""
        if key.module_id is None:
            return self._store.execute(_DELETE_WITH_MODULES, (key.device_id,))
        return self._store.execute(_DELETE, _parameters(key))


def _parameters(key: Key) -> tuple[str, str]:
    return key.device_id, key.module_id or ""


def _to_row(entry: Entry) -> tuple[Any, ...]:
    """The columns in the order of the table."""
    identity, twin = entry.identity, entry.twin
    credentials, desired, reported = identity.credentials, twin.desired, twin.reported
    is_self_signed = credentials.type is AuthenticationType.SELF_SIGNED
    keys = (credentials.primary_key, credentials.secondary_key)
    thumbprints = (credentials.primary_thumbprint, credentials.secondary_thumbprint)
    other = (
        identity.status_reason,
        identity.device_scope,
        identity.parent_scopes,
        identity.managed_by,
        keys if is_self_signed and any(keys) else None,
        identity.attributes,
    )
    return (
        *_parameters(identity.key),
        entry.revision,
        entry.generation_id,
        identity.status is DeviceStatus.ENABLED,
        entry.status_updated,
        credentials.type.value,
        *(thumbprints if is_self_signed else keys),
        identity.iot_edge,
        _dumps(other) if other != _NOTHING_ELSE else None,
        twin.version,
        _dump_values(twin.tags),
        _dump_values(desired.values),
        _dump_state(desired, entry),
        _dump_values(reported.values),
        _dump_state(reported, entry),
        _dump_values(entry.configurations),
    )


def _from_row(row: tuple[Any, ...]) -> Entry:
    status_reason, device_scope, parent_scopes, managed_by, kept_keys, attributes = (
        orjson.loads(row[10]) if row[10] else (None, None, (), None, None, None)
    )
    return Entry(
        identity=Identity(
            key=Key(row[0], row[1] or None),
            status=DeviceStatus.ENABLED if row[4] else DeviceStatus.DISABLED,
            credentials=_credentials(AuthenticationType(row[6]), row[7:9], kept_keys),
            status_reason=status_reason,
            iot_edge=bool(row[9]),
            device_scope=device_scope,
            parent_scopes=tuple(parent_scopes),
            managed_by=managed_by,
            attributes=attributes,
        ),
        twin=Twin(
            tags=_load_values(row[12]),
            desired=_load_properties(row, 13),
            reported=_load_properties(row, 15),
            version=row[11],
        ),
        revision=row[2],
        generation_id=row[3],
        status_updated=row[5],
        configurations=_load_values(row[17]),
    )


def _credentials(
    type_: AuthenticationType, stored: Sequence[str | None], kept_keys: Sequence[str] | None
) -> Credentials:
    if type_ is AuthenticationType.SELF_SIGNED:
        return Credentials(type_, *(kept_keys or (None, None)), *stored)
    return Credentials(type_, *stored)


def _dump_state(properties: Properties, entry: Entry) -> str | None:
    """None for the state of a new identity, which saves memory."""
    version, updated = properties.version, (properties.updated, properties.updated_version)
    if version == 1 and properties.metadata is None:
        is_module = entry.identity.key.module_id is not None
        if updated == first_update(properties.values, entry.generation_id, of_module=is_module):
            return None
    return _dumps([version, *updated, properties.metadata])


def _load_properties(row: tuple[Any, ...], column: int) -> Properties:
    values, state = _load_values(row[column]), row[column + 1]
    if state is None:
        return Properties(values, 1, *first_update(values, row[3], of_module=bool(row[1])))
    return Properties(values, *orjson.loads(state))


def _dump_values(values: Mapping[str, Any]) -> str | None:
    return _dumps(values) if values else None


def _load_values(text: str | None) -> Mapping[str, Any]:
    return orjson.loads(text) if text else {}


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
