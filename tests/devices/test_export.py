"""What a hub exports may be imported again, byte for byte."""

from __future__ import annotations

import json
from typing import Any

from local import samples
from local.hub.registry.registry import Registry
from shared.devices.validation import Validation
from tests.devices.support import found, validate_file


def exported() -> list[dict[str, Any]]:
    """Devices and modules of every kind, as the emulator writes them."""
    registry = Registry()
    lines: list[dict[str, Any]] = [dict(line) for line in samples.fleet(100)]
    lines += [
        {"id": "edge", "capabilities": {"iotEdge": True}},
        {"id": "edge", "moduleId": "filter"},
    ]
    for line in lines:
        registry.put(line)
    scope = (registry.get("edge") or {})["deviceScope"]
    family = [
        {"id": "leaf", "deviceScope": scope},
        {"id": "child", "capabilities": {"iotEdge": True}, "parentScopes": [scope]},
    ]
    for line in family:
        registry.put(line)
    entries = [registry.get(line["id"], line.get("moduleId")) for line in (*lines, *family)]
    return [entry for entry in entries if entry is not None]


def test_an_export_passes_unchanged() -> None:
    lines = exported()
    assert len(lines) == 104
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    staged, validation = validate_file(data)
    assert staged == lines
    assert validation.report.problems == []
    assert validation.lines.is_identity
    assert b"".join(Validation().run([data])) == data


def test_an_export_without_keys_would_mint_new_ones() -> None:
    lines = exported()
    for line in lines:
        line["authentication"]["symmetricKey"] = {"primaryKey": None, "secondaryKey": None}
    note = "The keys of the devices are not part of this export.\n"
    data = (note + "".join(json.dumps(line) + "\n" for line in lines)).encode()
    first, *others = found(data)
    assert first == (1, "", "file-export-without-keys")
    assert {code for _, _, code in others} == {"authentication-missing"}
    with_sas = [line for line in lines if line["authentication"]["type"] == "sas"]
    assert len(others) == len(with_sas)


def test_modules_that_the_hub_makes_are_told() -> None:
    lines = [*exported()[:1], {**exported()[-3], "moduleId": "$edgeAgent"}]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    assert (2, "moduleId", "module-id-reserved") in found(data)
