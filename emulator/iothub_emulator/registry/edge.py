"""Edge devices: the scopes of their hierarchy and their system modules (live hub)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.registry.identity import (
    SYSTEM_MODULES,
    AuthenticationType,
    Credentials,
    DeviceStatus,
    Identity,
    Key,
)


def with_scope(identity: Identity, old: Identity | None, now: int) -> Identity:
    """Set the scopes: an edge device keeps its first scope; a leaf has the scope as its parent.

    A device that becomes an edge device cannot name a parent, and one that ceases to be one has
    none. ``now`` is in ticks, which the first scope of an edge device contains.
    """
    if not identity.iot_edge:
        if old is not None and old.iot_edge:
            return replace(identity, device_scope=None, parent_scopes=())
        if identity.device_scope is None and not identity.parent_scopes:
            return identity
        parents = (identity.device_scope,) if identity.device_scope else ()
        return replace(identity, parent_scopes=parents)
    if old is not None and old.iot_edge:
        return replace(identity, device_scope=old.device_scope)
    if old is not None and identity.device_scope:
        raise HubError(ErrorCode.ServiceUnavailable, "ServiceUnavailable")
    scope = f"ms-azure-iot-edge://{identity.key.device_id}-{now}"
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
