"""Rules of a whole file, and its staged lines."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator

import pytest

from shared.device_files.limits import Limits
from shared.device_files.lines.values import ImportMode
from shared.device_files.validation import Validation
from tests.device_files import fuzz
from tests.device_files.support import KEY, device, file_problems, ndjson, problems, validate_file


def test_a_valid_file_is_staged_unchanged() -> None:
    lines = [
        device(id=f"pump-{n}", importMode=mode, eTag="x", twinETag="x", tags={"n": n})
        for n, mode in enumerate(ImportMode)
    ]
    staged, validation = validate_file(ndjson(*lines))
    report = validation.report
    assert staged == lines
    assert report.valid == report.lines == 9
    assert report.modes == dict.fromkeys(ImportMode, 1)
    assert report.authentication_types == {"sas": 9}
    assert report.problems == []
    assert validation.lines.is_identity


def test_blank_lines_are_removed_and_line_numbers_kept() -> None:
    data = ndjson(device(id="a"), b"", b"\r", device(id="b"))
    _, validation = validate_file(data)
    assert [validation.lines.upload_line(n) for n in (1, 2)] == [1, 4]
    assert validation.report.lines == 2
    assert [(p.code, p.severity) for p in validation.report.problems] == [("blank-lines", "info")]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"[1]", "json-not-an-object"),
        (b'"text"', "json-not-an-object"),
        (b"null", "json-not-an-object"),
        (b'{"id":', "json-invalid"),
        (b"{'id':'a','status':'enabled'}", "json-invalid"),
        (b'{"id":"a","status":"enabled",}', "json-invalid"),
        (b'{"id":"a\tb","status":"enabled"}', "json-invalid"),
        (b'{"id":"\xff","status":"enabled"}', "line-encoding"),
        (b'{"id":"\xed\xa0\x80","status":"enabled"}', "line-encoding"),
        (b'{"id":"a\x00"}', "line-nul"),
        (b'{"a":' * 100_000, "json-nesting"),
    ],
)
def test_a_line_that_is_not_a_json_object(line: bytes, code: str) -> None:
    assert problems(device(id="first"), line, device(id="last")) == [(2, "", code)]


@pytest.mark.parametrize(
    ("part", "field", "code"),
    [
        (b'"tags":{},"tags":{"a":1}', "tags", "json-duplicate-member"),
        (b'"tags":{"a":{"b":1,"b":1}}', "tags.a.b", "json-duplicate-member"),
        (b'"tags":{"a":NaN}', "tags.a", "json-number"),
        (b'"tags":{"a":[1,-Infinity]}', "tags.a.1", "json-number"),
        (b'"properties":{"reported":{"a":1e999}}', "properties.reported.a", "json-number"),
        (b'"tags":{"a":%s}' % (b"9" * 5_000), "tags.a", "json-number"),
        (b'"tags":{"a":"\\ud800"}', "tags.a", "json-surrogate"),
        (b'"tags":{"a":"\\udc00\\ud800"}', "tags.a", "json-surrogate"),
        (b'"tags":{"\\ud800":1}', "tags", "json-surrogate"),
    ],
)
def test_json_that_lenient_readers_accept_is_rejected(part: bytes, field: str, code: str) -> None:
    good = ndjson(device())
    assert file_problems(good[:-1] + b"," + part + b"}") == [(1, field, code)]


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert file_problems(ndjson(device())[:-1] + b',"tags":{"a":"\\ud83d\\ude00"}}') == []


@pytest.mark.parametrize("rest", [b",", b" {}", b"x", b"}"])
def test_text_after_an_object_does_not_hide_its_problems(rest: bytes) -> None:
    assert problems(ndjson(device(status="on")) + rest) == [
        (1, "", "json-trailing-data"),
        (1, "status", "status-invalid"),
    ]


def test_each_pretty_printed_object_is_reported_once() -> None:
    pretty = [json.dumps(device(id=id_), indent=2).encode() for id_ in ("a", "b")]
    length = pretty[0].count(b"\n") + 1
    assert problems(device(id="first"), *pretty, device(id="last")) == [
        (2, "", "json-pretty-printed"),
        (2 + length, "", "json-pretty-printed"),
    ]


def test_a_carriage_return_within_a_line_does_not_end_it() -> None:
    lines = [b'{"id":"pump-%d",\r"status":"enabled","importMode":"create"}' % n for n in range(50)]
    validation = Validation()
    staged = b"".join(validation.run([b"\n".join(lines)]))
    assert staged == b"\n".join(lines).replace(b"\r", b" ") + b"\n"
    assert problems(b'{"id":"a\rb","status":"enabled"}') == [(1, "", "json-invalid")]


def test_all_lines_after_a_truncated_object_are_read() -> None:
    good = [device(id=f"pump-{n}") for n in range(16)]
    halves = [b'{"id":"x","status":"enabled",', b'"id":"y","status":"enabled"}', b"{"]
    assert problems(*good[:6], halves[0], *good[6:], b"garbage", halves[1], halves[2]) == [
        (7, "", "json-pretty-printed"),
        (18, "", "json-invalid"),
        (19, "", "json-not-an-object"),
        (20, "", "json-pretty-printed"),
    ]
    assert problems(b"{", *good[:10], b'"x"', b"{", b"garbage") == [
        (1, "", "json-pretty-printed"),
        (12, "", "json-not-an-object"),
        (13, "", "json-pretty-printed"),
        (14, "", "json-invalid"),
    ]


def test_a_duplicate_device_names_both_lines() -> None:
    lines = [device(id="a"), b"", device(id="b"), device(id="a", moduleId="m"), device(id="a")]
    _, validation = validate_file(ndjson(*lines))
    (_, problem) = validation.report.problems
    assert (problem.line, problem.id, problem.field, problem.code) == (5, "a", "id", "id-duplicate")
    assert "first on line 1" in problem.message


def test_a_duplicate_module() -> None:
    lines = [device(id="a"), device(id="a", moduleId="m"), device(id="a", moduleId="m")]
    assert problems(*lines) == [(3, "moduleId", "id-duplicate")]


def test_an_invalid_line_counts_as_the_first_occurrence() -> None:
    lines = [device(id="a", status="on"), device(id="b"), device(id="a")]
    _, validation = validate_file(ndjson(*lines))
    assert [problem.code for problem in validation.report.problems] == [
        "status-invalid",
        "id-duplicate",
    ]
    assert "first on line 1" in validation.report.problems[1].message


def test_a_file_appended_to_itself() -> None:
    """Each line has a distant duplicate, which must be found without a search."""
    lines = [device(id=f"pump-{number}") for number in range(20_000)]
    _, validation = validate_file(ndjson(*lines, *lines), Limits(max_problems=2))
    report = validation.report
    assert report.codes == {"id-duplicate": 20_000}
    assert [problem.line for problem in report.problems] == [20_001, 20_002]
    assert [problem.message.split()[-1] for problem in report.problems] == ["1)", "2)"]
    assert report.valid == report.modes["createOrUpdate"] == 20_000


def test_ids_differ_by_case() -> None:
    assert problems(device(id="Pump"), device(id="pump")) == []


def test_a_module_after_its_device_and_before_it() -> None:
    module = {**device(id="a", moduleId="m")}
    assert problems(device(id="a"), module) == []
    assert problems(module, device(id="a")) == [(1, "moduleId", "module-without-device")]
    assert problems({**module, "importMode": "update"}) == []


@pytest.mark.parametrize("data", [b"", b"\n\r\n  \n", b"[]", b"[ \n ]", b"id,status\n"])
def test_an_empty_file(data: bytes) -> None:
    assert file_problems(data) == [(None, "", "file-empty")]


def test_the_longest_line() -> None:
    line = device(id="x", tags={"a": "y" * 100})
    size = len(json.dumps(line))
    assert problems(line, limits=Limits(max_line_bytes=size)) == []
    assert problems(line, device(), limits=Limits(max_line_bytes=size - 1)) == [
        (1, "", "line-too-long")
    ]


def test_the_largest_file() -> None:
    data = ndjson(device(id="a"), device(id="b"))
    assert file_problems(data, Limits(max_file_bytes=len(data))) == []
    _, validation = validate_file(data, Limits(max_file_bytes=len(data) - 1))
    assert [problem.code for problem in validation.report.problems] == ["file-too-large"]
    assert validation.report.is_unusable


def test_the_most_devices() -> None:
    lines = [device(id=f"pump-{n}") for n in range(10)]
    assert problems(*lines, limits=Limits(max_devices=10)) == []
    assert problems(*lines, limits=Limits(max_devices=9)) == [(None, "", "file-too-many-devices")]


@pytest.mark.parametrize(
    ("limits", "confirmed", "is_refused"),
    [
        (Limits(max_deletes=3), 0, False),
        (Limits(max_deletes=2), 0, True),
        (Limits(max_deletes=2), 2, True),
        (Limits(max_deletes=2), 3, False),
        (Limits(max_delete_share=0.3), 0, False),
        (Limits(max_delete_share=0.2), 0, True),
        (Limits(max_delete_share=0.2), 3, False),
    ],
)
def test_a_mass_deletion_requires_confirmation(
    limits: Limits, confirmed: int, is_refused: bool
) -> None:
    modes = ["delete", "deleteIfMatchETag", "delete"] + ["create"] * 7
    lines = [device(id=f"pump-{n}", importMode=mode, eTag="x") for n, mode in enumerate(modes)]
    _, validation = validate_file(ndjson(*lines), limits, confirmed_deletes=confirmed)
    codes = [problem.code for problem in validation.report.problems]
    assert codes == ["too-many-deletes"] * is_refused
    assert validation.report.is_unusable == is_refused
    assert not is_refused or "confirmDeletes=3" in validation.report.problems[0].message


def test_all_problems_are_counted_and_the_first_of_each_severity_are_kept() -> None:
    """A million warnings must not displace the only error in the report."""
    lines = [{"id": f"pump-{n}", "status": "enabled"} for n in range(20)]
    _, validation = validate_file(ndjson(*lines, b"{}"), Limits(max_problems=5))
    report = validation.report
    assert [(problem.line, problem.severity) for problem in report.problems] == [
        *((n, "warning") for n in range(1, 6)),
        (21, "error"),
        (21, "error"),
    ]
    assert report.codes == {"authentication-missing": 21, "id-missing": 1, "status-missing": 1}
    assert report.counts_json()["truncated"]


def test_lines_of_a_known_shape_are_fully_checked() -> None:
    """Most lines are accepted by the shape of earlier ones; these must be rejected."""
    shapes = [
        device(id="a", tags={"site": "east", "line": 7}),
        device(id="a", moduleId="m", tags={"site": "east", "line": 7}),
        {"id": "a", "status": "enabled", "surprise": "x", "tags": {"site": "e", "line": 7}},
    ]
    for shape in shapes:
        lines = [{**shape, "id": f"pump-{n}"} for n in range(50)]
        base = set(problems(*lines))
        for broken, field, code in (
            ({"id": "a b"}, "id", "id-characters"),
            ({"id": "x" * 129}, "id", "id-length"),
            ({"id": "a+b"}, "id", "id-unusual"),
            ({"status": "on"}, "status", "status-invalid"),
            ({"status": "Enabled"}, "status", "value-case"),
            ({"tags": {"site": "x" * 5000, "line": 7}}, "tags.site", "twin-value-length"),
            ({"tags": {"site": "x", "line": 2**53}}, "tags.line", "twin-integer-range"),
            ({"tags": {"site": "x", "line": None}}, "tags.line", "twin-null"),
        ):
            changed = [*lines[:40], {**lines[40], **broken}, *lines[41:]]
            assert (41, field, code) in set(problems(*changed)) - base
        duplicate = [*lines[:40], lines[7], *lines[41:]]
        field = "moduleId" if "moduleId" in shape else "id"
        assert (41, field, "id-duplicate") in problems(*duplicate)
        raw = ndjson(*lines).replace(b'"pump-40"', b'"pump-40","id":"x"')
        assert (41, "id", "json-duplicate-member") in file_problems(raw)
        raw = ndjson(*lines).replace(b"pump-40", b"pump-\xff")
        assert (41, "", "line-encoding") in file_problems(raw)


def test_messages_contain_no_key() -> None:
    lines = [
        {"id": KEY + " ", "status": KEY, "importMode": KEY, "moduleId": KEY + " "},
        ndjson(device(id="x"))[:-30],
        device(authentication={"type": KEY, "symmetricKey": {"primaryKey": KEY[:-2]}}),
        device(authentication={"x509Thumbprint": {"primaryThumbprint": KEY}}),
    ]
    _, validation = validate_file(ndjson(*lines))
    assert len(validation.report.problems) >= 8
    for problem in validation.report.problems:
        assert KEY[:10] not in problem.message + problem.remedy + problem.field


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file() -> None:
    def peak(text_bytes: int) -> int:
        tags = b'"tags":{%s}' % b",".join(b'"t%d":"%s"' % (n, b"y" * text_bytes) for n in range(5))

        def chunks() -> Iterator[bytes]:
            for n in range(4_000):
                yield b'{"id":"pump-%d","status":"enabled",%s}\n' % (n, tags)

        validation = Validation(Limits(max_problems=1))
        tracemalloc.start()
        for _ in validation.run(chunks()):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert validation.report.valid == 4_000
        return highest

    assert peak(1_500) - peak(50) < 1024 * 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        b'{"id":"a","status":"enabled","properties":{"reported":%s}}' % (b"[" * 63 + b"]" * 63),
        b'{"id":"a","status":"enabled","%s":1}' % (b"x" * 900_000),
        b'{"id":"%s","status":"enabled"}' % (b"x" * 900_000),
        b'{"id":"a","status":"enabled","tags":{"%s":[%s1]}}' % (b"k" * 1000, b"null," * 150_000),
        b'{"id":"a","status":"enabled","tags":{"a":[%s1]}}' % (b"NaN," * 150_000),
        b"{%s}" % b",".join(b'"m%d":1' % n for n in range(5_000)),
    ],
)
def test_one_line_cannot_exhaust_memory_or_the_report(line: bytes) -> None:
    tracemalloc.start()
    _, validation = validate_file(line)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert highest < 64 * 1024 * 1024
    text = json.dumps(validation.report.problems_json("devices")) + "".join(
        validation.report.problems_csv()
    )
    assert len(text) < 2_000_000


def test_excessive_nesting_is_rejected_by_a_rule() -> None:
    for depth, code in ((62, None), (63, "json-nesting"), (500, "json-nesting")):
        line = b'{"id":"a","status":"enabled","properties":{"reported":{"a":%s}}}' % (
            b"[" * (depth - 1) + b"]" * (depth - 1)
        )
        codes = [code for _, _, code in file_problems(line)]
        assert ("json-nesting" in codes) == (code is not None)


def test_a_module_before_its_device() -> None:
    lines: list[dict[str, object]] = [
        {
            "moduleId": f"m{n % 5}",
            "id": f"pump-{n // 5}",
            "status": "enabled",
            "importMode": "update",
        }
        for n in range(50)
    ]
    lines = [{**line, "authentication": {"type": "certificateAuthority"}} for line in lines]
    assert problems(*lines) == []
    assert problems(*lines, lines[20]) == [(51, "moduleId", "id-duplicate")]


def test_a_section_with_many_long_strings_is_measured() -> None:
    def line(n: int, text: str) -> dict[str, object]:
        return device(id=f"pump-{n}", tags={f"tag-number-{k:03}": text for k in range(400)})

    small = [line(n, "") for n in range(50)]
    assert problems(*small, line(99, "abc")) == []
    assert problems(*small, line(99, "\u00e4" * 7)) == [(51, "tags", "twin-tags-size")]


def test_unique_property_names_do_not_accumulate() -> None:
    lines = (
        b'{"id":"pump-%d","status":"enabled","tags":{"serial-%d":1,"also-%d":"x"}}\n' % (n, n, n)
        for n in range(5_000)
    )
    validation = Validation(Limits(max_problems=1))
    tracemalloc.start()
    for _ in validation.run(lines):
        pass
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert validation.report.valid == 5_000
    assert highest < 16 * 1024 * 1024


@pytest.mark.slow
def test_lines_with_hundreds_of_unknown_properties() -> None:
    unknown = {f"member-{n}": n for n in range(900)}
    lines = [device(id=f"pump-{n}", **unknown) for n in range(50)]
    _, validation = validate_file(ndjson(*lines))
    assert validation.report.codes == {"member-unknown": 50 * 900}


def test_millions_of_blank_lines_are_fast() -> None:
    line = b'{"id":"a","status":"enabled","importMode":"create"}'
    data = b"\n" * 3_000_000 + line + b"\n" * 2_000_000
    with fuzz.time_limit():
        staged, validation = validate_file(data)
    assert [line["id"] for line in staged] == ["a"]
    assert validation.lines.upload_line(1) == 3_000_001
    assert "4,999,999" in validation.report.problems[0].message
