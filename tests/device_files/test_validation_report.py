from __future__ import annotations

import csv
import io

import pytest

from shared.device_files.rules import Finding, Rule
from shared.device_files.validation_report import Policy, Report
from shared.imports.workflow.upload_reasons import file_rejected
from tests.device_files.support import device, ndjson, validate_file


def test_cells_are_safe_in_spreadsheets() -> None:
    report = Report()
    for device_id in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "plain", 'a"b,c\nd', "'=1+1"):
        report.add(1, device_id, Finding("=x", Rule.ID_CHARACTERS))
    rows = list(csv.DictReader(io.StringIO("".join(report.problems_csv()), newline="")))
    assert [row["id"] for row in rows] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "'\t=1",
        "plain",
        'a"b,c\nd',
        "''=1+1",
    ]
    assert rows[0] == {
        "line": "1",
        "id": "'=1+1",
        "field": "'=x",
        "severity": "error",
        "code": "id-characters",
        "message": Rule.ID_CHARACTERS.meaning,
        "remedy": Rule.ID_CHARACTERS.remedy,
    }


def test_the_properties_of_a_problem() -> None:
    report = Report()
    report.add(3, "a b", Finding("id", Rule.ID_CHARACTERS, "U+0020"))
    [problem] = report.problems
    assert report.problems_json("west/a.ndjson") == [problem.to_json("west/a.ndjson")]
    assert problem.to_json("caf\udce9.csv") == {
        "file": "caf\ufffd.csv",
        "line": 3,
        "id": "a b",
        "field": "id",
        "severity": "error",
        "code": "id-characters",
        "message": f"{Rule.ID_CHARACTERS.meaning} (U+0020)",
        "remedy": Rule.ID_CHARACTERS.remedy,
    }


@pytest.mark.parametrize(
    "data", [b'{"id":"a\\ud800","\\udfff":1}', b"id,status,tags.caf\xe9\npump\xe9,enabled,x\n"]
)
def test_any_content_of_a_file_can_be_written(data: bytes) -> None:
    _, validation = validate_file(data)
    problems = validation.report.problems
    assert "\ufffd" in problems[-1].id
    for problem in problems:
        str(problem).encode()
    "".join(validation.report.problems_csv()).encode()


def test_problems_of_the_file_come_first_and_have_no_line() -> None:
    report = Report()
    report.add(3, "a", Finding("id", Rule.ID_DUPLICATE))
    report.add(None, "", Finding("", Rule.TOO_MANY_DELETES, "7 of 9"))
    report.add(2, "b", Finding("", Rule.TWIN_NULL))
    assert [problem.line for problem in report.problems] == [None, 2, 3]
    rows = [row.split(",")[0] for row in report.problems_csv()]
    assert rows == ["line", "", "2", "3"]


@pytest.mark.parametrize(
    ("lines", "reject", "partial"),
    [
        ([device()], True, True),
        ([device(tags={"a": None})], True, True),
        ([device(), b"{}"], False, True),
        ([b"{}"], False, False),
        ([], False, False),
    ],
)
def test_problems_allowed_by_policies(lines: list[object], reject: bool, partial: bool) -> None:
    _, validation = validate_file(ndjson(*lines))
    assert validation.report.may_be_imported(Policy.REJECT) == reject
    assert validation.report.may_be_imported(Policy.PARTIAL) == partial


def test_the_counts() -> None:
    modes = ["create", "create", "delete"]
    lines = [device(id=f"pump-{n}", importMode=mode) for n, mode in enumerate(modes)]
    _, validation = validate_file(
        ndjson(*lines, {"id": "x", "status": "enabled", "importMode": "create"}, b"", b"{")
    )
    assert validation.report.counts_json() == {
        "format": "ndjson",
        "lines": 5,
        "valid": 4,
        "leftOut": 0,
        "severities": {"error": 1, "warning": 0, "info": 1},
        "codes": {"blank-lines": 1, "json-pretty-printed": 1},
        "importModes": {"create": 3, "delete": 1},
        "authenticationTypes": {"notGiven": 1, "sas": 3},
        "truncated": False,
    }


def test_the_reason_for_an_unusable_file_is_always_kept() -> None:
    report = Report(max_problems=2)
    for line in range(1, 6):
        report.add(line, "", Finding("id", Rule.ID_MISSING))
    assert not report.is_unusable
    report.refuse(7, Finding("", Rule.ARRAY_NOT_CLOSED))
    assert report.is_unusable
    assert [problem.line for problem in report.problems] == [1, 2, 7]
    assert (report.errors, report.counts_json()["truncated"]) == (6, True)
    assert file_rejected(report).startswith("The file cannot be imported: line 7: the JSON array")
