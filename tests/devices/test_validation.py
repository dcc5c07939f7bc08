"""The rules of this validator, one at a time, with the pairs at their boundaries."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.devices.record import ImportMode
from shared.devices.report import Problem
from shared.devices.validation import Limits, Validation

IDENTIFIERS = st.text(alphabet="abcXYZ019-.+%_#*?!(),:;=@$'", min_size=1, max_size=128)


def validate(*lines: object, limits: Limits | None = None) -> tuple[bytes, Validation]:
    data = b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )
    validation = Validation(limits)
    return b"".join(validation.run([data])), validation


def problems(*lines: object, limits: Limits | None = None) -> list[tuple[int | None, str, str]]:
    _, validation = validate(*lines, limits=limits)
    return [(p.line, p.field, p.code) for p in validation.report.problems]


def device(**members: object) -> dict[str, object]:
    return {"id": "pump-1", "status": "enabled", **members}


def test_a_good_file_is_handed_on_as_it_is() -> None:
    lines = [
        device(id=f"pump-{n}", importMode=mode, tags={"n": n}) for n, mode in enumerate(ImportMode)
    ]
    staged, validation = validate(*lines)
    assert [json.loads(line) for line in staged.splitlines()] == lines
    assert staged.endswith(b"\n")
    assert validation.report.errors == 0
    assert validation.report.valid == validation.report.lines == 9
    assert validation.report.modes == dict.fromkeys(ImportMode, 1)
    assert validation.lines.is_identity


def test_blank_lines_go_and_numbers_stay() -> None:
    staged, validation = validate(b"\xef\xbb\xbf", device(id="a"), b"", b"\r", device(id="b"))
    assert staged.count(b"\n") == 2
    assert [validation.lines.upload_line(n) for n in (1, 2)] == [2, 5]
    assert validation.report.lines == 2


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        ({"status": "enabled"}, "id", "id-missing"),
        (device(id=""), "id", "id-invalid"),
        (device(id="x" * 129), "id", "id-invalid"),
        (device(id="pump 1"), "id", "id-invalid"),
        (device(id="pump\n"), "id", "id-invalid"),
        (device(id="pümp"), "id", "id-invalid"),
        (device(id=7), "id", "id-invalid"),
        (device(id=None), "id", "id-invalid"),
        (device(moduleId=""), "moduleId", "moduleId-invalid"),
        (device(moduleId="x" * 129), "moduleId", "moduleId-invalid"),
        ({"id": "pump-1"}, "status", "status-missing"),
        ({"id": "pump-1", "importMode": "delete"}, "status", "status-missing"),
        (device(status="Enabled"), "status", "status-invalid"),
        (device(status=None), "status", "status-invalid"),
        (device(importMode="upsert"), "importMode", "importMode-invalid"),
        (device(importMode=0), "importMode", "importMode-invalid"),
        (b"[1]", "", "json-not-an-object"),
        (b'"text"', "", "json-not-an-object"),
        (b"null", "", "json-not-an-object"),
        (b'{"id":', "", "json-invalid"),
        (b'{"id":"a","status":"enabled"} {}', "", "json-invalid"),
        (b"{'id':'a','status':'enabled'}", "", "json-invalid"),
        (b'{"id":"\xff","status":"enabled"}', "", "json-invalid"),
        (b"\x00", "", "json-invalid"),
        (b"[" * 100_000, "", "json-invalid"),
    ],
)
def test_a_broken_line_is_told_and_left_out(line: object, field: str, code: str) -> None:
    assert problems(device(id="first"), line) == [(2, field, code)]
    staged, _ = validate(device(id="first"), line)
    assert [json.loads(kept)["id"] for kept in staged.splitlines()] == ["first"]


@pytest.mark.parametrize(
    "line",
    [
        device(id="x" * 128),
        device(id="x"),
        device(id="A-.+%_#*?!(),:;=@$'9"),
        device(moduleId="m" * 128),
        device(moduleId=None),
        device(status="disabled"),
        device(anything={"else": [1, None]}),
    ],
)
def test_a_line_at_the_boundary_passes(line: object) -> None:
    assert problems(line) == []


def test_all_problems_of_a_line() -> None:
    assert problems({"id": "", "status": "on", "importMode": "x"}) == [
        (1, "id", "id-invalid"),
        (1, "status", "status-invalid"),
        (1, "importMode", "importMode-invalid"),
    ]


def test_the_same_device_twice_names_both_lines() -> None:
    lines = [device(id="a"), b"", device(id="b"), device(id="a", moduleId="m"), device(id="a")]
    _, validation = validate(*lines)
    assert validation.report.problems == [
        Problem(
            5,
            "a",
            "id",
            validation.report.problems[0].severity,
            "id-duplicate",
            "the device is on line 1 already: the hub would take the two in any order; keep one",
        )
    ]


def test_a_file_that_was_appended_to_itself() -> None:
    """Each line has a twin far away: finding it must not take a search."""
    lines = [device(id=f"pump-{number}") for number in range(20_000)]
    _, validation = validate(*lines, *lines, limits=Limits(max_problems=2))
    assert validation.report.codes == {"id-duplicate": 20_000}
    assert [problem.line for problem in validation.report.problems] == [20_001, 20_002]
    assert validation.report.valid == validation.report.modes["createOrUpdate"] == 20_000


@pytest.mark.parametrize(
    "value",
    [b"[" * 150 + b"]" * 150, b"[" * 5_000 + b"]" * 5_000, b"9" * 5_000, b'"\xff"', b'"\\ud800"'],
)
def test_what_is_staged_can_be_read_again(value: bytes) -> None:
    """The end of an import reads the staged lines with another parser."""
    staged, _ = validate(b'{"id":"a","status":"enabled","tags":{"x":%s}}' % value)
    assert all(json.loads(line)["id"] == "a" for line in staged.splitlines())


def test_ids_differ_by_case() -> None:
    assert problems(device(id="Pump"), device(id="pump")) == []


def test_an_empty_file_is_an_error() -> None:
    for data in (b"", b"\n\r\n  \n", b"\xef\xbb\xbf"):
        assert problems(data) == [(None, "", "file-empty")]


def test_the_longest_line() -> None:
    line = device(id="x", pad="y" * 100)
    size = len(json.dumps(line))
    assert problems(line, limits=Limits(max_line_bytes=size)) == []
    assert problems(line, limits=Limits(max_line_bytes=size - 1)) == [(1, "", "line-too-long")]


def test_all_problems_are_counted_and_the_first_are_kept() -> None:
    _, validation = validate(*[{"id": "a"}] * 20, limits=Limits(max_problems=5))
    report = validation.report
    assert len(report.problems) == 5
    assert report.codes == {"status-missing": 20}
    assert report.counts_json()["truncated"]


def test_messages_hold_no_key() -> None:
    key = "c2VjcmV0LWtleS1tYXRlcmlhbA=="
    lines = [
        {"id": key + " ", "status": key, "importMode": key, "moduleId": key + " "},
        b'{"id":"a","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"%s"'
        % key.encode(),
    ]
    _, validation = validate(*lines)
    assert len(validation.report.problems) == 5
    assert all(key not in problem.message for problem in validation.report.problems)


@given(
    st.lists(
        st.builds(
            device,
            id=IDENTIFIERS,
            status=st.sampled_from(["enabled", "disabled"]),
            importMode=st.sampled_from(list(ImportMode)),
            tags=st.dictionaries(st.text(), st.integers() | st.text()),
        ),
        min_size=1,
        unique_by=lambda line: line["id"],
    )
)
def test_every_good_device_passes(lines: list[dict[str, object]]) -> None:
    staged, validation = validate(*lines)
    assert validation.report.problems == []
    assert [json.loads(line) for line in staged.splitlines()] == lines


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_no_bytes_make_it_fail(chunks: list[bytes]) -> None:
    validation = Validation()
    staged = b"".join(validation.run(chunks))
    assert staged.count(b"\n") == validation.report.valid
    assert validation.report.valid <= validation.report.lines
    assert all(isinstance(json.loads(line), dict) for line in staged.splitlines())


def test_memory_does_not_grow_with_the_file() -> None:
    def peak(line_bytes: int) -> int:
        pad = b"y" * line_bytes

        def chunks() -> Iterator[bytes]:
            for n in range(4_000):
                yield b'{"id":"pump-%d","status":"enabled","pad":"%s"}\n' % (n, pad)

        validation = Validation()
        tracemalloc.start()
        for _ in validation.run(chunks()):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert validation.report.valid == 4_000
        return highest

    assert peak(20_000) - peak(500) < 1024 * 1024
