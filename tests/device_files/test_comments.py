"""Comments and invisible characters: reported, without hiding anything else."""

from __future__ import annotations

import json
import re
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.device_files import validation as validation_module
from shared.device_files.characters import describe_character, describe_outside, visible_part
from tests.device_files import fuzz, strategies, writing
from tests.device_files.support import device, file_problems, ndjson, validate_file
from tests.device_files.writing import small_pieces

ONE, TWO = device(id="c1"), device(id="c2")
_TEXT_ONE, _TEXT_TWO, _TEXT_THREE = (
    ndjson(line).decode() for line in (ONE, TWO, device(id="commented-out"))
)
SIZES = [1, 5, 64, 1 << 20]


@pytest.mark.parametrize("chunk_bytes", SIZES)
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("// my devices\n{}\n# second\n{}\n", [1, 3]),
        ("{}\n  //\n\t#\n{}\n#", [2, 3, 5]),
        ("/* all */\n{}\n/* of\nthem\n */ {}\n", [1, 3]),
        ("/* one */ /* two */{}\n{}", [1, 1]),
        (f"{{}}\n/*\n{_TEXT_THREE}\n*/\n{{}}\n", [2]),
        ("/**\n * devices\n **/\n{}\n{}\n", [1]),
    ],
)
def test_comments_between_lines(text: str, lines: list[int], chunk_bytes: int) -> None:
    data = text
    for line in (_TEXT_ONE, _TEXT_TWO):
        data = data.replace("{}", line, 1)
    staged, validation = validate_file(data.encode(), chunk_bytes=chunk_bytes)
    assert staged == [ONE, TWO]
    assert file_problems(data.encode()) == [(line, "", "json-comment") for line in lines]
    assert validation.report.format == "ndjson"
    assert validation.report.lines == 2


@pytest.mark.parametrize("chunk_bytes", SIZES)
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[\n// first site\n{},\n{}\n]", [2]),
        ("// a [ and a {\n[{},{}]", [1]),
        ('[{}, // a "quote, and ] }\n{} /* ]\n}*/ # end\n]\n// done', [1, 2, 3, 5]),
        ("[{}\n/* , */\n,{}]/* [\n */", [2, 3]),
        ("#\n/**/[{},{}]", [1, 2]),
    ],
)
def test_comments_in_arrays(text: str, lines: list[int], chunk_bytes: int) -> None:
    data = text
    parts = re.split(r"\{\}", data)
    data = f"{parts[0]}{_TEXT_ONE}{parts[1]}{_TEXT_TWO}{parts[2]}"
    with small_pieces():
        staged, validation = validate_file(data.encode(), chunk_bytes=chunk_bytes)
        assert staged == [ONE, TWO]
        assert file_problems(data.encode(), chunk_bytes=chunk_bytes) == [
            (line, "", "json-comment") for line in lines
        ]
    assert validation.report.lines == 2


@pytest.mark.parametrize("comment", ["// x", "/* { */", "  # the [second", "//", "/* a */ // b"])
def test_comments_within_lines(comment: str) -> None:
    inner = _TEXT_ONE[:-1] + " /* { */ }"
    for first in (f"{_TEXT_ONE}{comment}", inner):
        data = f"{first}\n{_TEXT_TWO}".encode()
        staged, validation = validate_file(data)
        assert staged == [ONE, TWO]
        assert file_problems(data) == [(1, "", "json-comment")]
        assert validation.report.lines == 2
    data = f'{_TEXT_ONE[:-1]},"tags":{{"x":http://x}}}}\n{_TEXT_TWO}'.encode()
    assert file_problems(data) == [(1, "", "json-invalid")]


def test_comments_around_an_array() -> None:
    text = f'// a\n{{ // b\n"count": 1, # c\n"devices": [ // d\n{_TEXT_ONE}]\n/* e */}} // f'
    for chunk_bytes in SIZES:
        staged, validation = validate_file(text.encode(), chunk_bytes=chunk_bytes)
        assert staged == [ONE]
        assert validation.report.format == "json"
    assert file_problems(text.encode()) == [(n, "", "json-comment") for n in (1, 2, 3, 4, 6, 6)]


def test_comments_within_elements() -> None:
    """Comments may contain brackets and quotes; unquoted URLs and colours are not comments."""
    text = json.dumps([ONE, TWO], indent=1)
    lines = text.split("\n")
    lines[1] += " // the [first"
    lines[2] += " # that's \"it"
    lines[3] = "/* {" + "\n" + "} */" + lines[3]
    data = "\n".join(lines).encode()
    staged, _ = validate_file(data)
    assert staged == [ONE, TWO]
    assert file_problems(data) == [(line, "", "json-comment") for line in (2, 3, 4)]
    for value in (b"http://x", b"#fff"):
        data = b'[\n{"id":"a","tags":{"x":%s}},\n%s]' % (value, ndjson(TWO))
        staged, _ = validate_file(data)
        assert staged == [TWO]
        assert file_problems(data) == [(2, "", "json-invalid")]


@pytest.mark.parametrize("data", [b"/* %s\n%s", b"%s\n/*\n%s\n* /", b"[%s,\n%s] /* x"])
def test_an_open_comment(data: bytes) -> None:
    """The devices in it are unknown."""
    data = data % (ndjson(ONE), ndjson(TWO))
    _, validation = validate_file(data)
    assert validation.report.is_unusable
    assert file_problems(data)[-1][2] == "json-comment"


_COMMENTS = st.lists(
    st.sampled_from(["// x\n", "# {\n", "/* [\n\n { */\n", "\n", "/*\n{}\n*/\n"]), max_size=4
)


@pytest.mark.slow
@given(strategies.fleets(), st.data(), st.sampled_from(SIZES))
def test_comments_do_not_hide_problems(
    devices: list[Any], data: st.DataObject, chunk_bytes: int
) -> None:
    text = ""
    expected: list[int] = []
    for device_ in devices:
        for comment in data.draw(_COMMENTS):
            if comment.strip():
                expected.append(1 + text.count("\n"))
            text += comment
        text += writing.line(device_).decode() + "\n"
    with small_pieces():
        staged, validation = validate_file(text.encode(), chunk_bytes=chunk_bytes)
    lines = [p.line for p in validation.report.problems if p.code == "json-comment"]
    assert lines == expected
    assert json.dumps(staged) == json.dumps(devices)
    assert validation.report.lines == len(devices)


BOM, ZERO_WIDTH = "\ufeff", "\u200b"


@pytest.mark.parametrize("chunk_bytes", SIZES)
@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (f"{BOM}{BOM}{{1}}\n{{2}}", 1, "U+FEFF ZERO WIDTH NO-BREAK SPACE at character 1"),
        (f"{ZERO_WIDTH}{{1}}\n{{2}}", 1, "U+200B ZERO WIDTH SPACE at character 1"),
        ("{1}\n\u00a0 {2}", 2, "U+00A0 NO-BREAK SPACE at character 1"),
        ("{1}\n{2}\n\x1a", 3, "U+001A SUBSTITUTE at character 1"),
        ("\x1e{1}\n{2}", 1, "U+001E RECORD SEPARATOR"),
        (f"{BOM}{BOM}[{{1}},{{2}}]", 1, "U+FEFF"),
        (f"{ZERO_WIDTH}[{{1}},\n{{2}}]", 1, "U+200B"),
        ("[{1},\n\u00a0{2}]", 2, "U+00A0"),
        ("[{1},{2}]\n\x1a", 2, "U+001A"),
        (f'{BOM}{BOM}{{"devices":[{{1}},{{2}}]}}', 1, "U+FEFF"),
    ],
)
def test_characters_around_lines(text: str, line: int, expected: str, chunk_bytes: int) -> None:
    data = text.replace("{1}", _TEXT_ONE).replace("{2}", _TEXT_TWO).encode()
    with small_pieces():
        staged, validation = validate_file(data, chunk_bytes=chunk_bytes)
    assert staged == [ONE, TWO]
    (problem,) = (p for p in validation.report.problems if p.code == "line-invisible")
    assert (problem.line, problem.severity) == (line, "warning")
    assert expected in problem.message


def test_characters_before_a_header() -> None:
    text = f'{BOM}{BOM}"id","status"\np1,enabled\n'
    staged, validation = validate_file(text.encode())
    assert [line["id"] for line in staged] == ["p1"]
    assert validation.report.format == "csv"
    assert (1, "", "line-invisible") in file_problems(text.encode())


def test_characters_are_named_by_code_point() -> None:
    assert describe_character("\u2011", 2) == "U+2011 NON-BREAKING HYPHEN at character 2"
    assert describe_character("\n") == "U+000A LINE FEED"
    assert describe_character("\x01", 1200) == "U+0001 CONTROL CHARACTER at character 1,200"
    assert describe_character("\udc80") == "U+DC80 SURROGATE"
    assert describe_character("\ue000") == "U+E000 UNNAMED CHARACTER"
    allowed = re.compile(r"[a-z0-9]*")
    assert describe_outside("p1\u00a0", allowed) == "U+00A0 NO-BREAK SPACE at character 3"
    assert describe_outside(" p", allowed) == "U+0020 SPACE at character 1"
    assert describe_outside("p1", allowed) == ""


@given(st.binary())
def test_visible_characters_are_kept(line: bytes) -> None:
    rest, invisible = visible_part(line)
    assert rest in line
    assert invisible or rest == line


@pytest.mark.parametrize(
    "first", ['"id":"a","status":"enabled"}', "x" * 20, "id,status", "{'id':'a'}", "]", "-", "..."]
)
@pytest.mark.parametrize("name", ["", "devices.csv"])
def test_an_invalid_first_line_does_not_decide_the_format(first: str, name: str) -> None:
    data = f"{first}\n{_TEXT_ONE}\n{_TEXT_TWO}\n".encode()
    staged, validation = validate_file(data, name=name)
    assert staged == [ONE, TWO]
    assert validation.report.format == "ndjson"
    assert [problem.line for problem in validation.report.problems] == [1]


@pytest.mark.parametrize("name", ["", "devices.csv"])
def test_several_invalid_lines_do_not_decide_the_format(name: str) -> None:
    broken = f"{_TEXT_ONE[1:]}\n{_TEXT_TWO[1:]}\n{_TEXT_THREE}"
    staged, validation = validate_file(broken.encode(), name=name)
    assert [line["id"] for line in staged] == ["commented-out"]
    assert validation.report.format == "ndjson"
    assert [problem.line for problem in validation.report.problems] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        f"{_TEXT_ONE}\r{_TEXT_TWO}\r",
        f"{_TEXT_ONE}\r\r {_TEXT_TWO}",
        "id,status\rpump-1,enabled\r",
        "sep=;\rid;status\rpump-1;enabled",
    ],
)
def test_cr_line_ends(text: str) -> None:
    assert file_problems(text.encode()) == [(None, "", "file-line-ends")]
    assert file_problems(b"\xef\xbb\xbf" + text.encode())[-1] == (None, "", "file-line-ends")


def test_other_files_with_cr() -> None:
    for text in (f"{_TEXT_ONE}\r\r\n{_TEXT_TWO}", f"[\r{_TEXT_ONE},\r{_TEXT_TWO}\r]"):
        staged, _ = validate_file(text.encode())
        assert staged == [ONE, TWO]
    pretty = json.dumps(ONE, indent=1).replace("\n", "\r")
    assert file_problems(pretty.encode()) == []


GOOD = '{{"id":"d{}","status":"enabled","importMode":"create"}}'


@pytest.mark.parametrize(
    "before",
    [
        GOOD.format(0) + " /* off\n",
        "\u200b/* off\n",
        "  /* a */ /* off\n",
        GOOD.format(0) + " // a\n" + GOOD.format(3) + "/* off\n",
    ],
)
def test_no_device_within_a_comment_is_imported(before: str) -> None:
    data = f"{before}{GOOD.format(1)}\n end */\n{GOOD.format(2)}\n"
    staged, validation = validate_file(data.encode())
    ids = [line["id"] for line in staged]
    assert "d1" not in ids
    assert ids[-1] == "d2"
    assert "json-comment" in validation.report.codes


def test_a_comment_after_a_truncated_object() -> None:
    data = f"{GOOD.format(0)} /* off\n{GOOD.format(1)}\n"
    _, validation = validate_file(data.encode())
    assert validation.report.is_unusable


@pytest.mark.parametrize(
    "data",
    [
        GOOD.format(0).encode() + b" " + b"/* " * 80_000,
        b"/**/" * 150_000 + GOOD.format(0).encode(),
        b"[" + GOOD.format(0).encode() + b" /*" * 60_000,
        b'[{"id":"a",' + b"/**/\n" * 100_000 + b'"status":"enabled"}]',
    ],
)
def test_many_comment_characters_are_fast(data: bytes) -> None:
    with fuzz.time_limit():
        validate_file(data)


@pytest.mark.parametrize("chunk_bytes", SIZES)
@pytest.mark.parametrize("parts", [("", '"tags":{}}'), ("/* x */ ", '"tags":{}} // x'), ("", "")])
def test_a_comment_within_an_object_spans_lines(parts: tuple[str, str], chunk_bytes: int) -> None:
    start = f"{_TEXT_ONE[:-1]}," if parts[1] else _TEXT_ONE
    text = f"{_TEXT_TWO}\n{start} {parts[0]}/* off\n{_TEXT_THREE}\n end */{parts[1]}\n"
    staged, validation = validate_file(text.encode(), chunk_bytes=chunk_bytes)
    assert [line["id"] for line in staged] == ["c2", "c1"]
    assert {problem.code for problem in validation.report.problems} == {"json-comment"}
    assert validation.report.lines == 2
    assert validation.lines.upload_line(2) == 2


def test_a_comment_within_a_pretty_printed_object() -> None:
    pretty = json.dumps(ONE, indent=1).replace('"enabled",', f'"enabled", /*\n{_TEXT_THREE}\n*/')
    data = f"{pretty}\n{_TEXT_TWO}\n".encode()
    staged, validation = validate_file(data)
    assert staged == [TWO]
    assert validation.report.codes == {"json-comment": 1, "json-pretty-printed": 1}


@pytest.mark.parametrize("comment", ["#pump", " #pump", ' #"pump" }', "\t## a { b"])
def test_a_comment_may_begin_right_after_a_bracket(comment: str) -> None:
    data = f"{_TEXT_ONE}{comment}\n{_TEXT_TWO}\n".encode()
    staged, _ = validate_file(data)
    assert staged == [ONE, TWO]
    assert file_problems(data) == [(1, "", "json-comment")]


@pytest.mark.parametrize(
    ("text", "line"), [("%s\n/*\n%s", 2), ("%s /* x\n%s", 1), ("[%s,\n/* x\n%s]", 2)]
)
def test_an_open_comment_is_one_problem(text: str, line: int) -> None:
    data = (text % (_TEXT_ONE, _TEXT_TWO)).encode()
    assert file_problems(data) == [(line, "", "json-comment")]


@pytest.mark.parametrize("text", ["#\n" * 30, "[" + "// x\n" * 30 + "]", "\u00a0\n" * 30])
def test_the_number_of_comments_is_bounded(text: str) -> None:
    with mock.patch.object(validation_module, "_MAX_NOTES", 20):
        _, validation = validate_file(f"{text}{_TEXT_ONE}".encode())
    assert validation.report.refusal
    assert validation.report.refusal.code == "file-too-many-devices"
