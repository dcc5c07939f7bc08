"""Device files for the demo, with generated keys and thumbprints."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "broken_lines",
    "changes",
    "csv",
    "decommission",
    "fleet",
    "ndjson",
    "replacements",
    "site",
    "stock",
]

Line = Mapping[str, object]


def fleet(count: int) -> Sequence[Line]:
    """Devices of all authentication types, with twins."""
    return [_device(f"pump-{number:05}", number) for number in range(1, count + 1)]


def changes() -> Sequence[Line]:
    """What an operator may want to change in the fleet, and what goes wrong with it."""
    same, moved, disabled = (_device(f"pump-{number:05}", number) for number in (1, 5, 8))
    return [
        same,
        {**moved, "tags": {"site": "plant-9", "line": 2}},
        {**disabled, "status": "disabled", "statusReason": "maintenance"},
        # The hub generated its keys: without keys, an update generates others.
        _device("pump-00003", 3),
        _device("pump-01001", 1001),
        {"id": "north-sensor-001", "status": "enabled", "importMode": "delete"},
        {"id": "pump-99999", "status": "disabled", "importMode": "update"},
    ]


def decommission(count: int) -> Sequence[Line]:
    """The deletion of the first devices of the fleet."""
    return [{**_device(f"pump-{n:05}", n), "importMode": "delete"} for n in range(1, count + 1)]


def site(name: str, count: int) -> Sequence[Line]:
    """Devices of one site without keys, which the hub generates."""
    return [
        {"id": f"{name}-sensor-{number:03}", "status": "enabled", "tags": {"site": name}}
        for number in range(1, count + 1)
    ]


def replacements(count: int, existing: int) -> Sequence[Line]:
    """Devices to create; the last ones already exist (see `stock`)."""
    new = [
        {**_device(f"spare-{number:03}", number), "importMode": "create"}
        for number in range(1, count - existing + 1)
    ]
    return [*new, *({**line, "importMode": "create"} for line in stock(existing))]


def stock(count: int) -> Sequence[Line]:
    """Devices that exist in the hub before the demo starts."""
    return [{"id": f"stock-{number:03}", "status": "enabled"} for number in range(1, count + 1)]


def broken_lines() -> bytes:
    """Frequent mistakes: wrong names and values, missing status, truncated line, repeated id."""
    return b"\n".join(
        (
            b'{"id": "valve-001", "status": "enabled"}',
            b'{"deviceId": "valve-002", "status": "enabled"}',
            b'{"id": "valve-003", "importMode": "delete"}',
            b'{"id": "valve 004", "status": "on"}',
            b'{"id": "valve-005", "status": "enab',
            b'{"id": "valve-001", "status": "disabled"}',
        )
    )


def csv(lines: Sequence[Line]) -> bytes:
    """A table with a column for each property of the first line."""
    columns = [*_columns(lines[0])]
    rows = [columns, *([_columns(line)[name] for name in columns] for line in lines)]
    return "".join(f"{';'.join(row)}\n" for row in rows).encode()


def _columns(members: Line, prefix: str = "") -> dict[str, str]:
    columns: dict[str, str] = {}
    for name, value in members.items():
        if isinstance(value, Mapping):
            columns |= _columns(value, f"{prefix}{name}.")
        else:
            columns[f"{prefix}{name}"] = str(value)
    return columns


def ndjson(lines: Iterable[Line]) -> bytes:
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def _device(device_id: str, number: int) -> Line:
    return {
        "id": device_id,
        "status": "disabled" if number % 10 == 0 else "enabled",
        "authentication": _authentication(number),
        "tags": {"site": f"plant-{number % 7}", "line": number % 3},
        "properties": {"desired": {"interval": 30 + number % 60, "alarm": {"high": 80}}},
        "capabilities": {"iotEdge": number % 50 == 0},
    }


def _authentication(number: int) -> Line:
    match number % 4:
        case 0:
            return {"type": "certificateAuthority"}
        case 1:
            return {
                "type": "selfSigned",
                "x509Thumbprint": {
                    "primaryThumbprint": _digest(number, "one").hex(),
                    "secondaryThumbprint": _digest(number, "two").hex(),
                },
            }
        case 2:
            return {
                "type": "sas",
                "symmetricKey": {
                    "primaryKey": base64.b64encode(_digest(number, "one")).decode(),
                    "secondaryKey": base64.b64encode(_digest(number, "two")).decode(),
                },
            }
    return {"type": "sas"}


def _digest(number: int, which: str) -> bytes:
    return hashlib.sha256(f"made up {number} {which}".encode()).digest()
