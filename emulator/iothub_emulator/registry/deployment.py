"""Applies the content of a deployment to the modules of one edge device."""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import partial
from typing import Any

from iothub_emulator.errors import ErrorCode, HubError, invalid
from iothub_emulator.registry.configurations import DEVICE, EDGE, check_content
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
from iothub_emulator.registry.settings import Setting, configured

AGENT = "$edgeAgent"
#: ``managedBy`` of the modules of deployments.
MANAGER = "iotEdge"


def apply_content(registry: Registry, device: Entry, content: Mapping[str, Any]) -> None:
    """Write desired properties, and create and delete modules as $edgeAgent lists them."""
    if not device.identity.iot_edge:
        raise invalid("Not an Azure IoT Edge device")  # Live hub; the code is an assumption.
    kind, key = check_content(content), device.identity.key
    with registry.transaction():
        if kind == DEVICE:
            _write(registry, key, content[DEVICE] or {})
        elif kind == EDGE:
            sections = content[EDGE]
            _write(registry, Key(key.device_id, AGENT), sections[AGENT])
            set_modules(registry, key.device_id, sections.keys())
            for module_id in sections.keys() - {AGENT}:
                _write(registry, Key(key.device_id, module_id), sections[module_id])
        else:
            message = f"A device requires {EDGE} or {DEVICE}."
            raise HubError(ErrorCode.InvalidConfigurationContent, message)


def _write(registry: Registry, key: Key, section: Mapping[str, Any]) -> None:
    registry.configure(key, partial(configured, settings=[Setting(section, {})]))


def set_modules(registry: Registry, device_id: str, module_ids: Set[str]) -> None:
    """Create the modules that $edgeAgent lists and those given, and delete the others.

    The modules follow from the end-to-end tests of the az CLI. That modules which another client
    has created stay is an assumption.
    """
    present = {entry.identity.key.module_id: entry for entry in registry.modules(device_id)}
    listed = present[AGENT].twin.desired.values.get("modules")
    wanted = module_ids | (listed.keys() if isinstance(listed, dict) else set())
    for module_id, entry in present.items():
        is_managed = entry.identity.managed_by == MANAGER
        if is_managed and module_id not in wanted | SYSTEM_MODULES:
            registry.delete(entry.identity.key)
    for module_id in sorted(wanted - SYSTEM_MODULES - present.keys()):
        registry.create(
            Identity(
                Key(device_id, module_id),
                DeviceStatus.ENABLED,
                Credentials(AuthenticationType.SAS),
                managed_by=MANAGER,
            )
        )
