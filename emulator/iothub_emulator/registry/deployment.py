"""Applies the content of a deployment to the modules of one edge device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iothub_emulator.errors import ErrorCode, HubError, invalid
from iothub_emulator.registry.configurations import DESIRED, DEVICE, EDGE, check_content
from iothub_emulator.registry.entries import Entry
from iothub_emulator.registry.identity import (
    SYSTEM_MODULES,
    AuthenticationType,
    Credentials,
    DeviceStatus,
    Identity,
    Key,
)
from iothub_emulator.registry.registry import Registry
from iothub_emulator.registry.twin import TwinChange

_AGENT = "$edgeAgent"
_MANAGER = "iotEdge"


def apply_content(registry: Registry, device: Entry, content: Mapping[str, Any]) -> None:
    """Write desired properties, and create and delete modules as $edgeAgent lists them.

    The modules follow from the end-to-end tests of the az CLI. That modules which another client
    has created stay is an assumption.
    """
    if not device.identity.iot_edge:
        raise invalid("Not an Azure IoT Edge device")  # Live hub; the code is an assumption.
    kind, key = check_content(content), device.identity.key
    with registry.transaction():
        if kind == DEVICE:
            _write(registry, key, content[DEVICE])
        elif kind == EDGE:
            _set_modules(registry, key.device_id, content[EDGE])
        else:
            message = f"A device requires {EDGE} or {DEVICE}."
            raise HubError(ErrorCode.InvalidConfigurationContent, message)


def _set_modules(
    registry: Registry, device_id: str, sections: Mapping[str, Mapping[str, Any]]
) -> None:
    agent = _write(registry, Key(device_id, _AGENT), sections[_AGENT])
    listed = agent.twin.desired.values.get("modules")
    wanted = sections.keys() | (listed.keys() if isinstance(listed, dict) else set())
    wanted -= SYSTEM_MODULES
    present = {entry.identity.key.module_id: entry for entry in registry.modules(device_id)}
    for module_id, entry in present.items():
        is_managed = entry.identity.managed_by == _MANAGER
        if is_managed and module_id not in wanted | SYSTEM_MODULES:
            registry.delete(entry.identity.key)
    for module_id in sorted(wanted - present.keys()):
        registry.create(
            Identity(
                Key(device_id, module_id),
                DeviceStatus.ENABLED,
                Credentials(AuthenticationType.SAS),
                managed_by=_MANAGER,
            )
        )
    for module_id in sections.keys() - {_AGENT}:
        _write(registry, Key(device_id, module_id), sections[module_id])


def _write(registry: Registry, key: Key, section: Mapping[str, Any]) -> Entry:
    """``properties.desired`` replaces everything; a longer name, one property (layers)."""
    current = registry.find(key)
    desired = section.get(DESIRED)
    if desired is None:
        desired = current.twin.desired.values if current else {}
    if not isinstance(desired, dict):
        message = f"{DESIRED} must be an object."
        raise HubError(ErrorCode.InvalidConfigurationContent, message)
    for name, value in section.items():
        if name != DESIRED:
            desired = _with(desired, name.removeprefix(f"{DESIRED}.").split("."), value)
    return registry.deploy(key, TwinChange(desired=desired))


def _with(properties: Any, names: list[str], value: Any) -> dict[str, Any]:
    name, *rest = names
    old = properties if isinstance(properties, dict) else {}
    return {**old, name: _with(old.get(name), rest, value) if rest else value}
