"""Detection of the file format, and devices and line numbers in each format."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from shared.device_files.limits import Limits
from tests.device_files.support import device, file_problems, ndjson, validate_file
from tests.device_files.writing import small_pieces

LINES = [device(id=f"pump-{n}", tags={"site": "e\u00e4st", "n": n}) for n in range(3)]
HEADER = "id,status,authentication.type\n"
ROW = "pump-1,enabled,certificateAuthority\n"


def detected_format(data: bytes, **options: Any) -> str:
    _, validation = validate_file(data, **options)
    return validation.report.format


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "expected", "upload_lines"),
    [
        (ndjson(*LINES), "ndjson", [1, 2, 3]),
        (b"\r\n\r\n".join(ndjson(line) for line in LINES), "ndjson", [1, 3, 5]),
        (json.dumps(LINES).encode(), "json", [1, 1, 1]),
        (json.dumps(LINES, indent=1, ensure_ascii=False).encode(), "json", [2, 17, 32]),
        (b"[\n" + b"\n,".join(ndjson(line) for line in LINES) + b"]\n\n", "json", [2, 3, 4]),
    ],
)
def test_json_in_any_layout(
    data: bytes, expected: str, upload_lines: list[int], chunk_bytes: int
) -> None:
    for packed, suffix in ((data, ""), (gzip.compress(data), "+gzip")):
        staged, validation = validate_file(packed, chunk_bytes=chunk_bytes)
        assert staged == LINES
        assert validation.report.format == expected + suffix
        assert [validation.lines.upload_line(n) for n in (1, 2, 3)] == upload_lines


def test_a_byte_order_mark_is_skipped() -> None:
    assert file_problems(b"\xef\xbb\xbf" + ndjson(*LINES)) == [(1, "", "file-bom")]
    assert file_problems(gzip.compress(b"\xef\xbb\xbf" + json.dumps(LINES).encode())) == [
        (1, "", "file-bom")
    ]
    assert file_problems(("\ufeff" + HEADER + ROW).encode()) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_other_encodings_are_named(encoding: str) -> None:
    assert file_problems(ndjson(*LINES).decode().encode(encoding)) == [(None, "", "file-encoding")]


@pytest.mark.parametrize("data", [b"PK\x03\x04rest", b"BZh91AY", b"%PDF-1.7", b"\x28\xb5\x2f\xfd"])
def test_files_that_are_not_text(data: bytes) -> None:
    assert file_problems(data) == [(None, "", "file-format")]


def test_the_file_name_is_only_a_hint() -> None:
    assert detected_format(ndjson(*LINES), name="devices.csv") == "ndjson"
    assert detected_format((HEADER + ROW).encode(), name="devices.txt") == "csv"
    assert detected_format(b"serial;state\na;b\n", name="devices.csv.gz") == "csv"
    assert detected_format(b"serial;state\na;b\n", name="devices.txt") == "ndjson"


def test_an_export_without_keys() -> None:
    note = b"Device keys are left out of this export."
    lines = [{"id": "a", "status": "enabled", "authentication": None}]
    assert file_problems(ndjson(note, *lines)) == [(1, "", "file-export-without-keys")]
    staged, validation = validate_file(ndjson(b"", note, *lines))
    assert staged == []
    assert validation.report.is_unusable


@pytest.mark.parametrize("first", [b"garbage", b"WARNING: The behavior has changed", b"var x = ["])
def test_other_text_on_the_first_line_is_invalid(first: bytes) -> None:
    good = {"id": "a", "status": "enabled", "importMode": "create"}
    assert file_problems(ndjson(first, good)) == [(1, "", "json-invalid")]


class TestGzip:
    def test_several_members_and_padding(self) -> None:
        data = gzip.compress(ndjson(*LINES[:1]) + b"\n") + gzip.compress(ndjson(*LINES[1:]))
        for chunk_bytes in (1, 1000):
            staged, _ = validate_file(data + b"\0" * 512, chunk_bytes=chunk_bytes)
            assert staged == LINES

    @pytest.mark.parametrize("cut_off", [1, 8, 9, 40])
    def test_a_truncated_file(self, cut_off: int) -> None:
        data = gzip.compress(ndjson(*LINES))[:-cut_off]
        _, validation = validate_file(data)
        assert validation.report.problems[0].code == "file-compression"
        assert validation.report.is_unusable

    def test_a_damaged_file(self) -> None:
        data = bytearray(gzip.compress(ndjson(*LINES)))
        data[-6] ^= 1
        assert file_problems(bytes(data))[0] == (None, "", "file-compression")

    def test_a_decompression_bomb_is_not_unpacked(self) -> None:
        data = gzip.compress(b" " * 50_000_000)
        assert len(data) < 100_000
        assert file_problems(data, Limits(max_expansion=50)) == [(None, "", "file-expansion")]

    def test_the_size_limit_applies_after_decompression(self) -> None:
        data = gzip.compress(b"\n" * 3_000_000)
        limits = Limits(max_file_bytes=2_000_000, max_expansion=1032)
        assert file_problems(data, limits) == [(None, "", "file-too-large")]


class TestArray:
    def test_a_syntax_error_does_not_hide_other_problems(self) -> None:
        good = ndjson(device(id="good")).decode()
        data = f"[\n{{'id':1}},\n7,\n{good},\n{{}}\n]".encode()
        staged, _ = validate_file(data)
        assert [line["id"] for line in staged] == ["good"]
        assert [
            (line, code)
            for line, _, code in file_problems(data)
            if code != "authentication-missing"
        ] == [
            (2, "json-invalid"),
            (3, "json-not-an-object"),
            (5, "id-missing"),
            (5, "status-missing"),
        ]

    def test_commas(self) -> None:
        one, two = (ndjson(device(id=name)).decode() for name in "ab")
        for text, line in (
            (f"[{one}\n{two}]", 2),
            (f"[{one},\n,{two}]", 2),
            (f"[{one},{two},\n]", 2),
            (f"[,\n{one},{two}]", 1),
        ):
            staged, _ = validate_file(text.encode())
            assert [line["id"] for line in staged] == ["a", "b"]
            assert file_problems(text.encode()) == [(line, "", "array-comma")]

    @pytest.mark.parametrize(
        ("data", "line", "code"),
        [
            (b"[\n", 2, "array-not-closed"),
            (b'[{"id":"a"},\n{"id":', 2, "array-not-closed"),
            (b'[{"id":"a"\n,{"id":"b"}]', 1, "json-invalid"),
            (b"[]\n[]", 2, "json-trailing-data"),
            (b"[\n}]", 2, "json-invalid"),
        ],
    )
    def test_unrecoverable_syntax_errors(self, data: bytes, line: int, code: str) -> None:
        _, validation = validate_file(data)
        assert validation.report.is_unusable
        assert (line, "", code) in file_problems(data)

    def test_brackets_and_quotes_in_texts(self) -> None:
        line = device(tags={"a": '}]{["', "b": "\\", "c": '\\"}'})
        staged, _ = validate_file(json.dumps([line, {**line, "id": "b"}], indent=2).encode())
        assert staged == [line, {**line, "id": "b"}]

    def test_a_missing_quote_affects_only_its_line(self) -> None:
        text = json.dumps([device(id="a"), device(id="b")], indent=1).replace('"a",', '"a,')
        assert file_problems(text.encode()) == [(2, "", "json-invalid")]

    def test_stray_text_across_two_chunks(self) -> None:
        text = f'[{json.dumps(device(id="a"))},\n"{"stray" * 20}",\n{json.dumps(device(id="b"))}]'
        with small_pieces():
            for chunk_bytes in (1, 60, 200):
                staged, _ = validate_file(text.encode(), chunk_bytes=chunk_bytes)
                assert [line["id"] for line in staged] == ["a", "b"]
                assert file_problems(text.encode()) == [(2, "", "json-not-an-object")]

    def test_a_line_end_within_a_string_is_an_error(self) -> None:
        for line_end in ("\n", "\r\n", "\r"):
            text = json.dumps([device(id="a"), device(id="b")], indent=1)
            broken = text.replace('"enabled"', f'"ena{line_end}bled"', 1)
            assert [code for *_, code in file_problems(broken.encode())] == ["json-invalid"]

    def test_tokens_on_two_lines_are_two(self) -> None:
        text = json.dumps([device(id="a", tags={"on": True})], indent=1)
        assert file_problems(text.replace("true", "tr\n ue").encode()) == [(2, "", "json-invalid")]

    def test_the_longest_element(self) -> None:
        line = device(tags={"a": "x" * 500})
        size = len(json.dumps(line))
        assert file_problems(json.dumps([line]).encode(), Limits(max_line_bytes=size)) == []
        assert file_problems(
            json.dumps([line, device(id="b")]).encode(), Limits(max_line_bytes=size - 1)
        ) == [(1, "", "line-too-long")]
        endless = b'[{"a":"' + b"x" * 1_000_000
        _, validation = validate_file(endless, Limits(max_line_bytes=1024))
        assert [p.code for p in validation.report.problems] == ["line-too-long"]
        assert validation.report.is_unusable


_PREFIXES = [
    *("\n" * 60, "# c\n" * 60, "\n" * 70_000, " \n" * 40_000, "// xxxxxxxxxxxx\n" * 5000),
    "/*" + "x\n" * 40_000 + "*/\n",
]


@pytest.mark.parametrize("chunk_bytes", [1000, 1 << 20])
@pytest.mark.parametrize("prefix", _PREFIXES)
def test_text_before_the_data_does_not_decide_the_format(prefix: str, chunk_bytes: int) -> None:
    before = prefix.count("\n")
    for text, expected in (
        (ndjson(*LINES).decode(), "ndjson"),
        (json.dumps(LINES), "json"),
        (json.dumps({"count": 3, "devices": LINES}), "json"),
    ):
        staged, validation = validate_file((prefix + text).encode(), chunk_bytes=chunk_bytes)
        assert staged == LINES
        assert validation.report.format == expected
        assert validation.lines.upload_line(1) == before + 1
        assert validation.report.codes.keys() <= {"json-comment", "blank-lines", "file-wrapper"}
    _, validation = validate_file((prefix + HEADER + ROW).encode(), chunk_bytes=chunk_bytes)
    assert validation.report.format == "csv" or validation.report.refusal
    if prefix.isspace():
        assert validation.report.valid == 1
        assert validation.lines.upload_line(1) == before + 2
    elif validation.report.refusal:
        assert validation.report.refusal.code in ("csv-before-header", "csv-comment")


@pytest.mark.parametrize("comment", ["# c\n", "/* c\n c */\n", "// c\n\n// d\n"])
def test_comments_do_not_hide_an_export_note(comment: str) -> None:
    lines = ndjson({"id": "a", "status": "enabled"}, {"id": "b", "status": "enabled"}).decode()
    text = f"{comment}Keys were left out of this export.\n{comment}{lines}"
    _, validation = validate_file(text.encode())
    assert validation.report.refusal
    assert validation.report.refusal.code == "file-export-without-keys"
    assert validation.report.refusal.line == 1 + comment.count("\n")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("last", ["", ',properties.desired:json|,{"b":2}'])
def test_rows_that_begin_with_json(separator: str, last: str) -> None:
    name, _, cell = last.partition("|")
    rows = [f"tags:json,id,status,importMode{name}"]
    rows += [f'{{"a":{n}}},p{n},enabled,create{cell}' for n in range(3)]
    for file_name in ("", "fleet.csv"):
        text = "\n".join(rows).replace(",", separator)
        staged, validation = validate_file(text.encode(), name=file_name)
        assert validation.report.format == "csv"
        assert [line["tags"] for line in staged] == [{"a": n} for n in range(3)]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_other_line_ends_are_named(end: str) -> None:
    for text in (end.join([HEADER.strip(), ROW.strip()]), end.join(map(json.dumps, LINES))):
        assert file_problems(text.encode()) == [(None, "", "line-end")]
        _, validation = validate_file(text.encode())
        assert f"U+{ord(end):04X}" in validation.report.problems[0].message


@pytest.mark.parametrize("end", ["\r", "\u2028", " \x85 "])
def test_a_line_of_several_objects(end: str) -> None:
    lines = [json.dumps(line) for line in LINES]
    text = f"{lines[0]}\n{lines[1]}{end}{lines[2]}\n"
    staged, _ = validate_file(text.encode())
    assert staged == LINES[:1]
    assert file_problems(text.encode()) == [(2, "", "line-end")]


def test_text_that_is_not_utf_8_is_not_binary() -> None:
    text = "id,status,tags.n\n" + "p1,enabled,\u0421\u0435\u0432\u0435\u0440\n" * 9
    assert file_problems(text.encode("cp1251"))[0] == (2, "", "line-encoding")
    text = ndjson(device(tags={"a": "\u00e4\u00f6\u00fc" * 90})).decode()
    assert file_problems(text.encode("latin1"))[0] == (1, "", "line-encoding")
