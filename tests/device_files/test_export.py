"""Exports of a hub can be imported unchanged, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iothub_emulator.registry.registry import Registry
from local import samples
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy
from tests.device_files.support import file_problems, validate_file


def exported() -> list[dict[str, Any]]:
    """An export of the emulator with all kinds of devices and modules."""
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


def test_an_export_without_keys_would_create_new_keys() -> None:
    lines = exported()
    for line in lines:
        line["authentication"]["symmetricKey"] = {"primaryKey": None, "secondaryKey": None}
    note = "The keys of the devices are not part of this export.\n"
    data = (note + "".join(json.dumps(line) + "\n" for line in lines)).encode()
    staged, validation = validate_file(data)
    assert staged == []
    assert (1, "", "file-export-without-keys") in file_problems(data)
    assert not any(map(validation.report.may_be_imported, Policy))


@pytest.mark.parametrize("policy", Policy)
def test_modules_that_the_hub_creates_are_skipped(policy: Policy) -> None:
    device, *_ = exported()
    modules = [
        {**exported()[-3], "id": device["id"], "moduleId": name}
        for name in ("$edgeAgent", "$edgeHub", "own")
    ]
    data = "".join(json.dumps(line) + "\n" for line in [device, *modules]).encode()
    staged, validation = validate_file(data)
    report = validation.report
    assert staged == [device, modules[2]]
    assert (report.lines, report.valid, report.left_out) == (2, 2, 2)
    assert [(p.line, p.code, p.severity) for p in report.problems] == [
        (None, "system-modules", "info")
    ]
    assert report.may_be_imported(policy)
    assert [validation.lines.upload_line(line) for line in (1, 2)] == [1, 4]


def test_modules_of_the_hub_cannot_be_deleted() -> None:
    line = {"id": "a", "moduleId": "$edgeHub", "status": "enabled", "importMode": "delete"}
    assert file_problems(json.dumps(line).encode()) == [(1, "moduleId", "module-id-reserved")]
