"""Edge devices: the scopes of their hierarchy and their system modules (live hub)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from iothub_emulator.registry.identity import (
    SYSTEM_MODULES,
    AuthenticationType,
    Credentials,
    DeviceStatus,
    Identity,
    Key,
)

#: .NET counts time in ticks of 100 ns since the year 1.
_TICKS_AT_EPOCH = 621_355_968_000_000_000


def ticks() -> int:
    """The current time as generation ids and scopes contain it."""
    return _TICKS_AT_EPOCH + time.time_ns() // 100


def with_scope(identity: Identity, old: Identity | None) -> Identity:
    """Set the scopes: an edge device keeps its first scope; a leaf has the scope as its parent."""
    if not identity.iot_edge:
        if identity.device_scope is None and not identity.parent_scopes:
            return identity
        parents = (identity.device_scope,) if identity.device_scope else ()
        return replace(identity, parent_scopes=parents)
    if old is not None and old.iot_edge:
        return replace(identity, device_scope=old.device_scope)
    scope = f"ms-azure-iot-edge://{identity.key.device_id}-{ticks()}"
    return replace(identity, device_scope=scope)


def system_modules(device_id: str) -> Iterator[Identity]:
    """The modules that every edge device has; they have no credentials."""
    for module_id in sorted(SYSTEM_MODULES):
        yield Identity(
            Key(device_id, module_id),
            DeviceStatus.ENABLED,
            Credentials(AuthenticationType.NONE),
            managed_by="iotEdge",
        )
