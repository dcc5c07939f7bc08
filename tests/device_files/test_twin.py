"""Rules of tags and desired properties, with valid and invalid values at each limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.device_files.support import device, ndjson, nested, problems, validate_file


def desired(value: object) -> dict[str, Any]:
    return device(properties={"desired": value})


@pytest.mark.parametrize(
    "line",
    [
        device(tags={"k" * 1024: 1}),
        device(tags={"ä" * 512: 1}),
        device(tags={"a": "v" * 4096}),
        device(tags={"a": "ä" * 2048}),
        device(tags={"a": 2**52 - 1, "b": -(2**52), "c": 1e300, "d": False}),
        device(tags=nested(10, {"a": 1})),
        desired(nested(10, {"a": [1]})),
        device(tags={"a": "v" * 4096, "b": "v" * 4094}),
        device(tags={"a": "v" * 4096, "b": "v" * 4078, "c": 1, "d": False, "ee": ""}),
        desired({str(n): "v" * 4095 for n in range(8)}),
        device(tags={"\u00e4\u4e2d\U0001f600": "\u0085\u2028"}),
    ],
)
def test_no_problems(line: Mapping[str, Any]) -> None:
    assert problems(line) == []


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        *(
            (device(tags={f"a{sign}b": 1}), f"tags.a{sign}b", "twin-key-characters")
            for sign in ".$# \0\x1f\x7f\x9f\n"
        ),
        (desired({"a": {"$version": 1}}), "properties.desired.a.$version", "twin-key-characters"),
        (device(tags={"k" * 1025: 1}), "tags", "twin-key-length"),
        (device(tags={"a": "v" * 4097}), "tags.a", "twin-value-length"),
        (desired({"a": ["ä" * 2049]}), "properties.desired.a.0", "twin-value-length"),
        (device(tags={"a": 2**52}), "tags.a", "twin-integer-range"),
        (desired({"a": [{"b": -(2**52) - 1}]}), "properties.desired.a.0.b", "twin-integer-range"),
        (device(tags={"a": [1, None]}), "tags.a.1", "twin-null-in-array"),
        (device(importMode="updateTwin", tags={"a": [None]}), "tags.a.0", "twin-null-in-array"),
        (device(tags=nested(11, {})), "tags" + ".a" * 11, "twin-depth"),
        (device(tags={"a": "v" * 4096, "b": "v" * 4095}), "tags", "twin-tags-size"),
        (
            device(tags={"a": "v" * 4096, "b": "v" * 4078, "c": 1, "d": False, "eee": ""}),
            "tags",
            "twin-tags-size",
        ),
        (
            desired({"99": "", **{str(n): "v" * 4095 for n in range(8)}}),
            "properties.desired",
            "twin-desired-size",
        ),
    ],
)
def test_an_error(line: Mapping[str, Any], field: str, code: str) -> None:
    assert problems(device(id="first"), line) == [(2, field, code)]


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        (device(tags={"a": None}), "tags.a", "twin-null"),
        (desired({"a": {"b": None}}), "properties.desired.a.b", "twin-null"),
    ],
)
def test_a_warning(line: Mapping[str, Any], field: str, code: str) -> None:
    _, validation = validate_file(ndjson(line))
    report = validation.report
    assert [(p.field, p.code, p.severity) for p in report.problems] == [(field, code, "warning")]
    assert report.valid == 1
