"""Objects that go on over several lines of NDJSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.device_files.support import device, validate_file

DEVICES = [
    device(id=f"pump-{n}", tags={"a": [1, 2, {"x": 3}], "b": "}{"}, properties={"desired": {}})
    for n in range(20)
]


def allman(line: dict[str, Any]) -> str:
    return json.dumps(line, indent=2).replace(": {", ":\n{")


@pytest.mark.parametrize(
    "printed",
    [
        lambda line: json.dumps(line, indent=2) + "\n",
        lambda line: json.dumps(line, indent="\t") + "\r\n\r\n",
        lambda line: json.dumps(line, indent=1),  # one behind the other
        lambda line: json.dumps(line, indent=4) + ",\n",
        lambda line: allman(line) + "\n",
        lambda line: f"{json.dumps(line, indent=2)}\n# next\n",
    ],
)
def test_each_object_is_one_line_with_one_problem(printed: Callable[[Any], str]) -> None:
    staged, validation = validate_file("".join(map(printed, DEVICES)).encode())
    report = validation.report
    assert staged == []
    assert (report.lines, report.codes["json-pretty-printed"]) == (20, 20)
    assert report.codes.keys() <= {"json-pretty-printed", "blank-lines", "json-comment"}


@pytest.mark.parametrize("torn", ['{"id":"torn","status":', '{"id":"torn","tags":{', "{"])
@pytest.mark.parametrize("next_line", [DEVICES[0], {**DEVICES[0], "status": "on"}])
def test_what_follows_an_object_that_was_cut_off(torn: str, next_line: dict[str, Any]) -> None:
    lines = [json.dumps(line) for line in (DEVICES[1], next_line, DEVICES[2])]
    data = "\n".join([lines[0], torn, *lines[1:]]).encode()
    staged, validation = validate_file(data)
    assert validation.report.lines == 4
    assert [line["id"] for line in staged][-1] == "pump-2"


def test_a_device_behind_the_end_of_another_is_a_line() -> None:
    data = b'{\n"id":"a","status":"enabled"\n}' + json.dumps(DEVICES[0]).encode() + b"\n"
    staged, validation = validate_file(data + json.dumps(DEVICES[1]).encode())
    assert [line["id"] for line in staged] == ["pump-0", "pump-1"]
    assert validation.report.lines == 3
