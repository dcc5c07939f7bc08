"""Devices, modules and twins as JSON in answers; the form in files is different."""

from __future__ import annotations

from typing import Any

from iothub_emulator.api.requests import MODULES_VERSION, TWINS_VERSION
from iothub_emulator.registry.entries import Entry
from iothub_emulator.registry.twin import NEVER, Properties, metadata_of


def device_document(entry: Entry, version: str) -> dict[str, Any]:
    identity = entry.identity
    document = {
        **_identity_document(entry),
        "status": identity.status.value,
        "statusReason": identity.status_reason,
        "statusUpdatedTime": _unzoned(entry.status_updated),
    }
    if version < TWINS_VERSION:
        # Captures of 2016 contain keys and thumbprints, but no type.
        del document["authentication"]["type"]
    if version >= MODULES_VERSION:
        document["capabilities"] = {"iotEdge": identity.iot_edge}
    return document | entry.scopes()


def module_document(entry: Entry) -> dict[str, Any]:
    identity = entry.identity
    return {
        **_identity_document(entry),
        "moduleId": identity.key.module_id,
        "managedBy": identity.managed_by,
    }


def twin_document(entry: Entry) -> dict[str, Any]:
    """A twin, with the properties of its identity that a hub copies into it."""
    identity, twin = entry.identity, entry.twin
    document: dict[str, Any] = {"deviceId": identity.key.device_id}
    if identity.key.module_id is not None:
        document["moduleId"] = identity.key.module_id
    document |= {
        "etag": twin.etag,
        "deviceEtag": entry.etag,
        "status": identity.status.value,
        "statusUpdateTime": entry.status_updated,
        "connectionState": "Disconnected",
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authenticationType": identity.credentials.type.value,
        "x509Thumbprint": identity.credentials.to_json()["x509Thumbprint"],
        "modelId": "",
        # A new twin has version 2 and the ETag of version 1 (learn pages).
        "version": twin.version + 1,
        "tags": twin.tags,
        "properties": {"desired": _section(twin.desired), "reported": _section(twin.reported)},
        "capabilities": {"iotEdge": identity.iot_edge},
    }
    if identity.status_reason is not None:
        document["statusReason"] = identity.status_reason
    return document | entry.scopes()


def _identity_document(entry: Entry) -> dict[str, Any]:
    return {
        "deviceId": entry.identity.key.device_id,
        "generationId": entry.generation_id,
        "etag": entry.etag,
        "connectionState": "Disconnected",
        "connectionStateUpdatedTime": _unzoned(NEVER),
        "lastActivityTime": _unzoned(NEVER),
        "cloudToDeviceMessageCount": 0,
        "authentication": entry.identity.credentials.to_json(),
    }


def _unzoned(time: str) -> str:
    """Times of identities have no Z, unlike those of twins and jobs (captures)."""
    return time.removesuffix("Z")


def _section(properties: Properties) -> dict[str, Any]:
    return {
        **properties.values,
        "$metadata": metadata_of(properties),
        "$version": properties.version,
    }
