"""Devices, modules and twins as JSON in answers, as recorded from live hubs.

The form in files is different.
"""

from __future__ import annotations

from typing import Any

from iothub_emulator.api.requests import (
    ATTRIBUTES_VERSION,
    LATEST_VERSION,
    MODELS_VERSION,
    MODULES_VERSION,
    TWINS_VERSION,
)
from iothub_emulator.clock import format_ticks
from iothub_emulator.registry.device_registry import registry_properties, resource_id
from iothub_emulator.registry.entries import Entry
from iothub_emulator.registry.twin import NEVER, Properties, metadata_of

_NEVER = format_ticks(NEVER)


def device_document(entry: Entry, version: str, *, is_linked: bool = False) -> dict[str, Any]:
    """A device; ``is_linked`` tells whether the hub is linked to a device registry."""
    identity = entry.identity
    document = {
        **_names(entry),
        "status": identity.status.value,
        "statusReason": identity.status_reason,
        "connectionStateUpdatedTime": _NEVER,
        "statusUpdatedTime": format_ticks(entry.status_updated),
        **_rest(entry, version),
    }
    if version < TWINS_VERSION:
        # Captures of 2016 contain keys and thumbprints, but no type.
        del document["authentication"]["type"]
    if version >= MODULES_VERSION:
        document["capabilities"] = {"iotEdge": identity.iot_edge}
    if is_linked and version >= ATTRIBUTES_VERSION:
        is_latest = version >= LATEST_VERSION
        document |= registry_properties(entry) if is_latest else resource_id(entry)
    return document | entry.scopes()


def module_document(entry: Entry, version: str) -> dict[str, Any]:
    identity = entry.identity
    return {
        "moduleId": identity.key.module_id,
        "managedBy": identity.managed_by,
        **_names(entry),
        "connectionStateUpdatedTime": _NEVER,
        **_rest(entry, version),
    }


def unzoned(document: dict[str, Any]) -> dict[str, Any]:
    """An identity as the answer to its creation has it: the times end without Z."""
    return {
        name: value.removesuffix("Z") if name.endswith("Time") else value
        for name, value in document.items()
    }


def twin_document(
    entry: Entry, version: str = LATEST_VERSION, *, is_row: bool = False
) -> dict[str, Any]:
    """A twin, with the properties of its identity that a hub copies into it.

    The twin of a module has capabilities in the rows of a query only.
    """
    identity, twin = entry.identity, entry.twin
    is_module = identity.key.module_id is not None
    document: dict[str, Any] = {"deviceId": identity.key.device_id}
    if is_module:
        document["moduleId"] = identity.key.module_id
    document |= {
        "etag": twin.etag,
        "deviceEtag": entry.etag,
        "status": identity.status.value,
        "statusUpdateTime": format_ticks(entry.status_updated),
        "connectionState": "Disconnected",
        "lastActivityTime": _NEVER,
        "cloudToDeviceMessageCount": 0,
        "authenticationType": identity.credentials.type.value,
        "x509Thumbprint": identity.credentials.to_json()["x509Thumbprint"],
        # A new twin has version 2 and the ETag of version 1.
        "version": twin.version + 1,
    }
    if version >= MODELS_VERSION:
        document["modelId"] = ""
    if twin.tags:
        document["tags"] = twin.tags
    document["properties"] = {
        "desired": _section(twin.desired),
        "reported": _section(twin.reported),
    }
    if entry.configurations:
        statuses = entry.configurations.items()
        document["configurations"] = {id_: {"status": status} for id_, status in statuses}
    if is_row or not is_module:
        document["capabilities"] = {"iotEdge": identity.iot_edge}
    if identity.status_reason is not None:
        document["statusReason"] = identity.status_reason
    return document | entry.scopes()


def _names(entry: Entry) -> dict[str, Any]:
    """What devices and modules begin with."""
    return {
        "deviceId": entry.identity.key.device_id,
        "generationId": str(entry.generation_id),
        "etag": entry.etag,
        "connectionState": "Disconnected",
    }


def _rest(entry: Entry, version: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "lastActivityTime": _NEVER,
        "cloudToDeviceMessageCount": 0,
        "authentication": entry.identity.credentials.to_json(),
    }
    if version >= ATTRIBUTES_VERSION and entry.identity.attributes is not None:
        document["attributes"] = entry.identity.attributes
    return document


def _section(properties: Properties) -> dict[str, Any]:
    return {
        **properties.values,
        "$metadata": metadata_of(properties),
        "$version": properties.version,
    }
