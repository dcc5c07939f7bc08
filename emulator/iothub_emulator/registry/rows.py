"""Entries of the registry as rows of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from iothub_emulator.registry.entry import Entry
from iothub_emulator.registry.identity import (
    AuthenticationType,
    Credentials,
    DeviceStatus,
    Identity,
    Key,
)
from iothub_emulator.registry.twin import NEVER, Properties, Twin

#: The columns in the order of the table.
Row = tuple[Any, ...]

_NEVER_CHANGED = Properties()


def to_row(entry: Entry) -> Row:
    identity, twin = entry.identity, entry.twin
    credentials, desired, reported = identity.credentials, twin.desired, twin.reported
    return (
        identity.key.device_id,
        identity.key.module_id or "",
        entry.revision,
        int(entry.generation_id),
        identity.status is DeviceStatus.ENABLED,
        entry.status_updated,
        credentials.type.value,
        credentials.primary_key or credentials.primary_thumbprint,
        credentials.secondary_key or credentials.secondary_thumbprint,
        identity.iot_edge,
        _dump_other(identity),
        twin.version,
        _dump(twin.tags),
        _dump(desired.values),
        _dump_state(desired),
        _dump(reported.values),
        _dump_state(reported),
    )


def from_row(row: Row) -> Entry:
    status_reason, device_scope, parent_scopes, managed_by = (
        orjson.loads(row[10]) if row[10] else (None, None, (), None)
    )
    return Entry(
        identity=Identity(
            key=Key(row[0], row[1] or None),
            status=DeviceStatus.ENABLED if row[4] else DeviceStatus.DISABLED,
            credentials=_credentials(AuthenticationType(row[6]), row[7], row[8]),
            status_reason=status_reason,
            iot_edge=bool(row[9]),
            device_scope=device_scope,
            parent_scopes=tuple(parent_scopes),
            managed_by=managed_by,
        ),
        twin=Twin(
            tags=_load(row[12]),
            desired=_properties(row[13], row[14]),
            reported=_properties(row[15], row[16]),
            version=row[11],
        ),
        revision=row[2],
        generation_id=str(row[3]),
        status_updated=row[5],
    )


def _credentials(type_: AuthenticationType, primary: str | None, second: str | None) -> Credentials:
    if type_ is AuthenticationType.SELF_SIGNED:
        return Credentials(type_, primary_thumbprint=primary, secondary_thumbprint=second)
    return Credentials(type_, primary_key=primary, secondary_key=second)


def _dump_other(identity: Identity) -> str | None:
    other = (
        identity.status_reason,
        identity.device_scope,
        identity.parent_scopes,
        identity.managed_by,
    )
    return _dumps(other) if any(other) else None


def _dump_state(properties: Properties) -> str | None:
    if properties.updated == NEVER:
        return None
    return _dumps([properties.version, properties.updated, properties.metadata])


def _properties(values: str | None, state: str | None) -> Properties:
    if state is None:
        return _NEVER_CHANGED
    return Properties(_load(values), *orjson.loads(state))


def _dump(values: Mapping[str, Any]) -> str | None:
    return _dumps(values) if values else None


def _load(text: str | None) -> Mapping[str, Any]:
    return orjson.loads(text) if text else {}


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
