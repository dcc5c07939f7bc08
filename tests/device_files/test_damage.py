"""Values damaged by other tools."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.device_files.lines import damage
from shared.device_files.lines.fast_path import _DAMAGED_ITEM, _DAMAGED_VALUE
from shared.device_files.lines.strict_json import encode
from shared.device_files.validation_report import Problem
from tests.device_files.support import device, ndjson, nested, validate_file

DAMAGED = [
    *(("System.Object[]", "PowerShell"), ("System.Collections.Hashtable", "PowerShell")),
    *(("System.String[]", "PowerShell"), ("@{interval=30; mode=fast}", "PowerShell")),
    ("System.Management.Automation.PSCustomObject", "PowerShell"),
    *(("[object Object]", "JavaScript"), ("undefined", "JavaScript")),
    *(("#REF!", "spreadsheet"), ("#N/A", "spreadsheet"), ("#NAME?", "spreadsheet")),
    *(("#####", "spreadsheet"), ("8.96529E+19", "spreadsheet"), ("1,5E+07", "spreadsheet")),
    *(("NULL", "export"), ("nan", "export"), ("NaN", "export"), ("None", "export")),
    *(("null", "export"), ("<NA>", "export"), ("nil", "export"), ("<nil>", "export")),
    *(("\\N", "export"), ("\\\\N", "export")),
    ("Microsoft.Azure.Commands.Management.IotHub.Models.PSAuthenticationMechanism", "PowerShell"),
    *(("Newtonsoft.Json.Linq.JObject", "Json.NET"), ("Newtonsoft.Json.Linq.JArray", "Json.NET")),
    *(("java.lang.Object@1b6d3586", "Java"), ("[Ljava.lang.String;@4554617c", "Java")),
    *(("com.example.Site$Floor@74a14482", "Java"), ("[B@1540e19d", "Java")),
    ("<__main__.Site object at 0x7f3a2c1b>", "Python"),
    *(("8.96529e+19", "pandas"), ("1e+05", "pandas"), ("8.96529E19", "Java")),
    *((error, "spreadsheet") for error in ("#WERT!", "#WERT", "#NV", "#BEZUG!", "#DIV/0!")),
    *((error, "spreadsheet") for error in ("#ZAHL!", "#ÜBERLAUF!", "#VALEUR!", "#NOM?")),
    *((error, "spreadsheet") for error in ("#¡VALOR!", "#¿NOMBRE?", "#NÚM!", "#RIF!", "#N/D")),
]
MEANT = [
    *("", "none", "Null", "nancy", "NULLARBOR", "1E5", "12E4", "E+19", "#12", "#", "@{", "N/A"),
    *("System.Status", "System", "object Object", "[object]", "8.9E+19 m", "3-Jan", "TRUE"),
    *("1001.0", "8.9e+19 m", "1.5E3", "12e4", "#NVMe", "#WERTE!", "NOM?", "nils", "Nil", "N"),
    *("\\n", "C:\\N", "java.lang.Object", "java.dev@example.com", "com.example.module@1.2"),
    *("Newtonsoft.Json", "Microsoft.Azure.Devices.Edge", "<site>", "3-Mai"),
]
IDS = [
    *("3-Jan", "12-Dec", "Jan-24", "Mar-2024", "1001.0", "TRUE", "FALSE", "8.96529E+19"),
    *("#NAME?", "NULL", "nan", "None", "8.96529e+19", "#NV", "#WERT!", "nil"),
    *("1-Mrz", "3-Mai", "4-Okt", "5-Dez", "Okt-24", "3-Jan-24", "03-Jan-2024", "6-janv"),
    *("WAHR", "FAUX", "03. Jan", "1.Mrz 24", "1/31/2024"),
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
def test_an_intended_value(text: str) -> None:
    assert damages(device(tags={"a": text, "b": [text]}, statusReason=text)) == []


@pytest.mark.parametrize("device_id", IDS)
def test_a_damaged_id(device_id: str) -> None:
    problem = damages(device(id=device_id))[0]
    assert (problem.field, problem.severity) == ("id", "warning")


@pytest.mark.parametrize(
    "device_id", ["3-January", "1001.00", "True", "12E4", "JAN-24x", "A1.0", "3-Mainz"]
)
def test_an_intended_id(device_id: str) -> None:
    assert damages(device(id=device_id)) == []


@given(st.from_regex(damage.DAMAGED, fullmatch=True))
def test_the_fast_path_recognizes_damaged_strings(text: str) -> None:
    assert re.match(damage.DAMAGED_STARTS, text)
    assert _DAMAGED_VALUE.search(encode({"a": text}))
    assert _DAMAGED_ITEM.search(encode(["x", 1, text]))


@pytest.mark.parametrize("kind", ["number", "boolean", "json"])
@pytest.mark.parametrize(
    ("cell", "tool"),
    [
        *(("#REF!", "spreadsheet"), ("#WERT!", "spreadsheet"), ("NULL", "export")),
        *(("nan", "export"), (" None ", "export"), ("\\N", "export")),
        *(("[object Object]", "JavaScript"), ("@{a=1; b=2}", "PowerShell")),
    ],
)
def test_a_damaged_cell_names_the_tool(kind: str, cell: str, tool: str) -> None:
    header = f"id,status,authentication.type,properties.desired.a:{kind}"
    file = f"{header}\na,enabled,certificateAuthority,{cell}\n"
    _, validation = validate_file(file.encode())
    (problem,) = validation.report.problems
    assert (problem.code, problem.field) == (f"csv-{kind}", "properties.desired.a")
    assert tool in problem.message
    assert cell.strip() not in problem.message
