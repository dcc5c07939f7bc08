"""What a hub adds to devices while it is linked to a namespace of Azure Device Registry.

Names of properties are those of the azure-iot extension of the Azure CLI. Clients cannot write
them; the values here depend on the device alone, so they survive a restart.
"""

from __future__ import annotations

import uuid
from typing import Any

from iothub_emulator.clock import format_ticks
from iothub_emulator.registry.entries import Entry

_NAMESPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/emulator"
    "/providers/Microsoft.DeviceRegistry/namespaces/emulator"
)


def resource_id(entry: Entry) -> dict[str, Any]:
    """The property of the versions since 2025."""
    return {"deviceResourceId": f"{_NAMESPACE}/devices/{entry.identity.key.device_id}"}


def registry_properties(entry: Entry) -> dict[str, Any]:
    """All properties, as in exports and in answers of the newest version."""
    device_id, created = entry.identity.key.device_id, format_ticks(entry.generation_id)
    seed = f"{device_id}-{entry.generation_id}"
    return {
        "adrDeviceProperties": {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, seed)),
            "name": device_id,
            "etag": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}-{entry.revision}")),
            "systemData": {"createdAt": created, "lastModifiedAt": created},
        },
        **resource_id(entry),
    }
