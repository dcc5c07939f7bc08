"""Values that tools damaged."""

from __future__ import annotations

import pytest

from shared.devices.report import Problem
from tests.devices.support import device, ndjson, nested, validate_file

DAMAGED = [
    *(("System.Object[]", "PowerShell"), ("System.Collections.Hashtable", "PowerShell")),
    *(("System.String[]", "PowerShell"), ("@{interval=30; mode=fast}", "PowerShell")),
    ("System.Management.Automation.PSCustomObject", "PowerShell"),
    *(("[object Object]", "JavaScript"), ("undefined", "JavaScript")),
    *(("#REF!", "spreadsheet"), ("#N/A", "spreadsheet"), ("#NAME?", "spreadsheet")),
    *(("#####", "spreadsheet"), ("8.96529E+19", "spreadsheet"), ("1,5E+07", "spreadsheet")),
    *(("NULL", "export"), ("nan", "export"), ("NaN", "export"), ("None", "export")),
    *(("null", "export"), ("<NA>", "export")),
]
MEANT = [
    *("", "none", "Null", "nancy", "NULLARBOR", "1E5", "12E4", "E+19", "#12", "#", "@{", "N/A"),
    *(
        "System.Status",
        "System",
        "object Object",
        "[object]",
        "8.9E+19 m",
        "3-Jan",
        "TRUE",
        "1001.0",
    ),
]
IDS = [
    *("3-Jan", "12-Dec", "Jan-24", "Mar-2024", "1001.0", "TRUE", "FALSE", "8.96529E+19"),
    *("#NAME?", "NULL", "nan", "None"),
]


def damages(line: object) -> list[Problem]:
    _, validation = validate_file(ndjson(*[device(id=f"pump-{n}") for n in range(70)], line))
    return [p for p in validation.report.problems if p.code == "value-damaged"]


@pytest.mark.parametrize(("text", "tool"), DAMAGED)
def test_a_damaged_value(text: str, tool: str) -> None:
    line = device(
        tags={"a": text, "b": [1, "x", text], "c": nested(3, text)},
        properties={"desired": {"d": [{"e": text}]}},
        statusReason=text,
    )
    problems = damages(line)
    assert {p.field for p in problems} == {
        *("tags.a", "tags.b.2", "tags.c.a.a.a", "properties.desired.d.0.e", "statusReason")
    }
    assert all(tool in p.message for p in problems)
    assert not any(text in p.message for p in problems)
    assert {p.severity for p in problems} == {"warning"}


@pytest.mark.parametrize("text", MEANT)
def test_a_value_that_is_meant(text: str) -> None:
    assert damages(device(tags={"a": text, "b": [text]}, statusReason=text)) == []


@pytest.mark.parametrize("device_id", IDS)
def test_a_damaged_id(device_id: str) -> None:
    (problem,) = damages(device(id=device_id))
    assert (problem.field, problem.severity) == ("id", "warning")


@pytest.mark.parametrize("device_id", ["3-January", "1001.00", "True", "12E4", "JAN-24x", "A1.0"])
def test_an_id_that_is_meant(device_id: str) -> None:
    assert damages(device(id=device_id)) == []
