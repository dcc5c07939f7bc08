"""Common mistakes: each makes a line that no hub accepts of a good device."""

from __future__ import annotations

import json
from collections.abc import Callable

from bench.devices import Device

__all__ = ["MISTAKES", "same_id_twice"]

#: Takes a device, to be changed, and the id of the one before it.
Mistake = Callable[[Device, str], Device | bytes]


def _no_status(device: Device, _: str) -> Device:
    del device["status"]
    return device


def _other_status(device: Device, _: str) -> Device:
    return device | {"status": "active"}


def _short_key(device: Device, _: str) -> Device:
    keys = device["authentication"]["symmetricKey"]
    keys["primaryKey"] = keys["primaryKey"][:12]
    return device


def _one_key(device: Device, _: str) -> Device:
    del device["authentication"]["symmetricKey"]["secondaryKey"]
    return device


def _blank_in_id(device: Device, _: str) -> Device:
    return device | {"id": device["id"].replace("-", " ")}


def _blank_in_name(device: Device, _: str) -> Device:
    device["tags"]["serial number"] = "4711"
    return device


def same_id_twice(device: Device, previous_id: str) -> Device:
    return device | {"id": previous_id}


def _half_a_line(device: Device, _: str) -> bytes:
    line = json.dumps(device).encode()
    return line[: len(line) // 2]


def _device_id(device: Device, _: str) -> Device:
    return {"deviceId": device.pop("id"), **device}


MISTAKES: tuple[Mistake, ...] = (
    _no_status,
    _other_status,
    _short_key,
    _one_key,
    _blank_in_id,
    _blank_in_name,
    same_id_twice,
    _half_a_line,
    _device_id,
)
