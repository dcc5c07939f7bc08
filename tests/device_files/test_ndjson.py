"""NDJSON, and objects that wrongly span several of its lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.device_files.formats.ndjson import ndjson_batches
from shared.device_files.limits import Limits
from shared.device_files.validation import Validation
from tests.device_files.support import Dropped, cut, device, validate_file


def read(data: bytes, size: int, max_bytes: int, sink: Dropped) -> list[tuple[int, bytes]]:
    batches = ndjson_batches(cut(data, size), max_bytes, sink)
    return [pair for numbers, lines in batches for pair in zip(numbers, lines, strict=True)]


@given(
    st.lists(st.binary(max_size=40).map(lambda b: b.translate(None, b"\n*")), max_size=20),
    st.integers(1, 50),
)
def test_chunk_sizes_do_not_matter(lines: list[bytes], size: int) -> None:
    data = b"\n".join(lines)
    expected = [
        (number, line.strip()) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()
    ]
    numbered = read(data, size, 1000, Dropped())
    assert [(number, line.strip()) for number, line in numbered if line.strip()] == expected


def test_line_ends() -> None:
    data = b'{"a":1}\r\n\r\n  \n{"b":2}'
    for size in (1, 2, 3, 4, 100):
        numbered = read(data, size, 100, Dropped())
        assert [(number, line.strip()) for number, line in numbered if line.strip()] == [
            (1, b'{"a":1}'),
            (4, b'{"b":2}'),
        ]


@given(st.integers(1, 30))
def test_a_long_line_is_skipped_without_buffering_it(size: int) -> None:
    data = b"ok\n" + b"x" * 11 + b"\nfits__ten_\n" + b"y" * 500
    sink = Dropped()
    assert read(data, size, 10, sink) == [(1, b"ok"), (3, b"fits__ten_")]
    assert sink.codes == [(2, "line-too-long"), (4, "line-too-long")]


def test_only_a_line_feed_ends_a_line() -> None:
    line = '{"a":"\u2028\u0085\x0c"}'.encode()
    assert read(line + b"\n", 100, 100, Dropped()) == [(1, line)]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_line_ends_may_be_mixed(size: int) -> None:
    """Staged lines and line lengths do not depend on the chunk size."""
    line = b'  {"id":"d%d","status":"disabled","importMode":"create"}  '
    lines = [line % n for n in range(9)]
    ends = [b"\r\n", b"\n", b"\r\n"] * 3
    data = b"".join(text + end for text, end in zip(lines, ends, strict=True))
    limits = Limits(max_line_bytes=len(lines[0]))
    validation = Validation(limits)
    staged = b"".join(validation.run(cut(data, size)))
    assert staged == b"".join(text + b"\n" for text in lines)
    assert validation.report.problems == []


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
        lambda line: json.dumps(line, indent=1),  # without line ends between them
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
def test_lines_after_a_truncated_object(torn: str, next_line: dict[str, Any]) -> None:
    lines = [json.dumps(line) for line in (DEVICES[1], next_line, DEVICES[2])]
    data = "\n".join([lines[0], torn, *lines[1:]]).encode()
    staged, validation = validate_file(data)
    assert validation.report.lines == 4
    assert [line["id"] for line in staged][-1] == "pump-2"


def test_a_device_after_the_end_of_another_is_a_line() -> None:
    data = b'{\n"id":"a","status":"enabled"\n}' + json.dumps(DEVICES[0]).encode() + b"\n"
    staged, validation = validate_file(data + json.dumps(DEVICES[1]).encode())
    assert [line["id"] for line in staged] == ["pump-0", "pump-1"]
    assert validation.report.lines == 3
