"""Lines before the header and characters around cells in CSV files of other tools."""

from __future__ import annotations

from typing import Any

import pytest

from shared.device_files.limits import CsvDefaults
from shared.device_files.mapping.document import read_mapping
from shared.device_files.rules import Rule
from tests.device_files import fuzz
from tests.device_files.support import KEY, file_problems, validate_file

CA = "certificateAuthority"


def outcome(text: str, **options: Any) -> tuple[list[Any], list[tuple[int | None, str, str]]]:
    """Ids of the staged lines, and line, code and message of each problem."""
    staged, validation = validate_file(text.encode(), **options)
    assert validation.report.format == "csv"
    problems = [(p.line, p.code, p.message) for p in validation.report.problems]
    return [line["id"] for line in staged], problems


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        (["sep=;", f"id;status;authentication.type|p1;enabled;{CA}"], ["csv-sep-line"]),
        (['"SEP=,"', f"id,status,authentication.type|p1,enabled,{CA}"], ["csv-sep-line"]),
        (["sep=^", f"id^status^authentication.type|p1^enabled^{CA}"], ["csv-sep-line"]),
        (
            ["#TYPE Selected.X", f'"id","status","authentication.type"|p1,enabled,{CA}'],
            ["csv-type-line"],
        ),
        (
            ["", "sep=;", "", "#TYPE X", f"id;status;authentication.type|p1;enabled;{CA}"],
            ["csv-sep-line", "csv-type-line"],
        ),
    ],
)
def test_skipped_lines_before_the_header(
    lines: list[str], codes: list[str], line_end: str, chunk_bytes: int
) -> None:
    text = line_end.join([*lines[:-1], *lines[-1].split("|"), ""])
    ids, problems = outcome(text, chunk_bytes=chunk_bytes)
    assert ids == ["p1"]
    assert [code for _, code, _ in problems] == codes
    _, validation = validate_file(text.encode())
    assert validation.lines.upload_line(1) == len(lines) + 1


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("Fleet east 2024,,", "header seems to be line 2"),
        ("Devices", "header seems to be line 2"),
        ("# exported on Monday, by me", "a comment; the header seems to be line 2"),
        ("// exported", "a comment; the header seems to be line 2"),
        ("p0,enabled,x", "header seems to be line 2"),
        ("Fleet east\n\nall devices", "header seems to be line 4"),
    ],
)
@pytest.mark.parametrize("name", ["", "fleet.csv"])
def test_lines_before_the_header(first: str, expected: str, name: str) -> None:
    ids, ((line, code, message),) = outcome(f"{first}\nid,status,tags.x\np1,enabled,y\n", name=name)
    assert (ids, line, code) == ([], 1, "csv-before-header")
    assert expected in message


def test_pipe_separators() -> None:
    text = f"id|status|authentication.type\np1|enabled|{CA}\np2|disabled|{CA}\n"
    ids, ((line, code, message),) = outcome(text)
    assert (ids, line, code) == (["p1", "p2"], 1, "csv-pipes")
    assert "pipes" in message
    ids, _ = outcome('"id"|"status"\n"p|1"|enabled\n')
    assert ids == []  # a pipe in an id


@pytest.mark.parametrize("separator", [",", ";"])
def test_whole_lines_in_quotes(separator: str) -> None:
    rows = [["id", "status", "tags.x"], ["p1", "enabled", "y"]]
    text = "".join(f'"{separator.join(row)}"\r\n' for row in rows)
    for name in ("", "fleet.csv"):
        ids, ((line, code, _),) = outcome(text, name=name)
        assert (ids, line, code) == ([], 1, "csv-quoted-lines")


class TestBlanks:
    def test_spaces_after_separators(self) -> None:
        for text in (
            '"id", "status", "authentication.type", "tags.note"\n'
            f'"p1", "enabled", "{CA}", "a, b"\n',
            f"id; status; authentication.type; tags.note\np1; enabled; {CA}; a, b\n",
        ):
            ids, ((_, code, _),) = outcome(text)
            assert (ids, code) == (["p1"], "csv-blanks")
            staged, _ = validate_file(text.encode())
            assert staged[0]["tags"] == {"note": "a, b"}

    def test_spaces_in_rows_only(self) -> None:
        head = "id,status,tags.note\n"
        for row in ('p1,enabled, "a, b"', 'p1,enabled, "a"', ' "p1",enabled,a'):
            _, problems = outcome(f"{head}{row}\n")
            (message,) = [message for _, code, message in problems if code == "csv-quote"]
            assert message.startswith(f"{Rule.CSV_QUOTE.meaning} (")
        assert outcome(f'{head}p1,enabled," ""a"""\n')[1][0][1] == "authentication-missing"

    def test_spaces_between_a_quote_and_a_separator(self) -> None:
        ids, ((line, code, message),) = outcome('"id" ,"status"\np1,enabled\n')
        assert (ids, line, code) == ([], 1, "csv-quote")
        assert "in the header" in message


@pytest.mark.parametrize(
    "comment", ["# second site", "// second, site", "/* x */", "#,,", "#note,"]
)
def test_comment_rows(comment: str) -> None:
    text = f"id,status,authentication.type\np1,enabled,{CA}\n{comment}\n#2,enabled,{CA}\n"
    if comment.count(",") == 0:
        text = text.replace(comment, f"{comment},,")
    ids, problems = outcome(text)
    assert ids == ["p1", "#2"]
    assert [(line, code) for line, code, _ in problems if code == "csv-comment"] == [
        (3, "csv-comment")
    ]
    _, validation = validate_file(text.encode())
    assert validation.report.lines == 2


@pytest.mark.parametrize(
    "text",
    [
        f'id,status,authentication.type,tags.note\np1,enabled,{CA},"ok\np2,enabled,{CA},15"\n',
        f'tags.note,id,authentication.type\n"5 inch\nx,p2,{CA}\ny",p3,{CA}\n',
        'id;status\n"p1\np2;enabled";enabled\n',
    ],
)
def test_a_cell_that_swallows_a_line(text: str) -> None:
    _, problems = outcome(text)
    ((line, message),) = [(p[0], p[2]) for p in problems if p[1] == "csv-swallowed-line"]
    assert line == 2
    assert "(line 3, within a cell of the row on line 2)" in message


def test_other_cells_of_several_lines() -> None:
    text = (
        "id,status,authentication.type,tags.note\n"
        f'p1,enabled,{CA},"first\nsecond, and more\n\na,b,c,d\n"\n'
    )
    assert outcome(text) == (["p1"], [])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "IOTC_DEVICEID;IOTC_DEVICENAME",
            "rename IOTC_DEVICEID to id, IOTC_DEVICENAME to tags.name",
        ),
        ("IOTC_DeviceID,IOTC_SASKEY_PRIMARY", "IOTC_SASKEY_PRIMARY to authentication.symmetricKey"),
        (
            "Id,Name,TAG:site,PROPERTY:rate",
            "TAG:<name> to tags.<name>, PROPERTY:<name> to properties",
        ),
        ("id,Property:rate", "rename PROPERTY:<name> to properties.desired.<name>"),
    ],
)
def test_columns_of_other_products(header: str, expected: str) -> None:
    _, problems = outcome(f"{header}\n{KEY},b,c,d\n")
    assert any(expected in message for _, _, message in problems)
    assert KEY not in str(problems)


def test_columns_with_similar_names() -> None:
    _, problems = outcome(
        f"Id,Name,ModelId,deviceEtag,status,authentication.type\np,,,,enabled,{CA}\n"
    )
    assert [
        message.partition("ignores it ")[2] for _, code, message in problems if "unk" in code
    ] == [
        "(id has a column; for a tag, write tags.<name>)",
        "(did you mean tags.modelId?)",
        "(did you mean eTag?)",
    ]


def test_messages_do_not_contain_raw_header_cells() -> None:
    for header in (f"id,x:{KEY}", f"id,tags.{KEY},tags.{KEY}", f"id,{KEY}", f"Id,TAG:{KEY}"):
        _, validation = validate_file(f"{header}\na,b,c\n".encode())
        assert validation.report.problems
        assert KEY[:12] not in str(validation.report.problems_json("devices"))


HEADER = "id,status,authentication.type,tags.note\n"


@pytest.mark.parametrize("blanks", [" ", "   ", "\t", "\u00a0", " \u200b "])
def test_a_quote_after_blanks_is_an_error(blanks: str) -> None:
    good = "b,enabled,certificateAuthority,x\n"
    row = f'a,enabled,certificateAuthority,{blanks}"x y"\n'
    assert file_problems(f"{HEADER}{good}{row}".encode()) == [(3, "", "csv-quote")]


@pytest.mark.parametrize("cell", ['"  x y"', '"say ""x y"""', '" ""x"""'])
def test_a_quoted_cell_may_contain_spaces_and_quotes(cell: str) -> None:
    assert file_problems(f"{HEADER}a,enabled,certificateAuthority,{cell}\n".encode()) == []


@pytest.mark.parametrize("row", ["b,enabled,certificateAuthority", "b,disabled", "b,enabled,,x,"])
def test_a_short_row_within_a_quoted_cell(row: str) -> None:
    text = f'{HEADER}a,enabled,certificateAuthority,"oops\n{row}"\n'
    assert (2, "", "csv-swallowed-line") in file_problems(text.encode())


def test_rows_within_a_block_comment_are_not_imported() -> None:
    text = f"{HEADER}/*\na,enabled,certificateAuthority,x\n*/\nb,enabled,certificateAuthority,x\n"
    staged, validation = validate_file(text.encode())
    assert staged == []
    assert validation.report.codes == {"csv-comment": 1}


@pytest.mark.parametrize(
    ("line", "separator"),
    [("sep=\t", "\t"), ("sep=\\t", "\t"), ("sep = ;", ";"), ("SEP=|", "|"), ('"sep=\t"', "\t")],
)
def test_variants_of_the_sep_line(line: str, separator: str) -> None:
    rows = f"{line}\r\nid,status,importMode\r\na,enabled,create\r\n".replace(",", separator)
    staged, _ = validate_file(rows.encode())
    assert staged == [{"id": "a", "status": "enabled", "importMode": "create"}]


def test_a_sep_line_that_contradicts_the_header() -> None:
    _, validation = validate_file(b"sep=;\nid,status,importMode\na,enabled,create\n")
    (problem,) = [p for p in validation.report.problems if p.severity == "error"]
    assert (problem.line, problem.code) == (2, "csv-header")
    assert "sep=" in problem.message


_HEAD = "id,status,authentication.type,tags.n\n"


def _row(device_id: str) -> str:
    return f"{device_id},enabled,{CA},x\n"


def test_a_block_comment_on_one_row_is_a_row() -> None:
    ids, problems = outcome(f"{_HEAD}{_row('a')}/* b,enabled,{CA},x */\n/* c */\n{_row('d')}")
    assert ids == ["a", "d"]
    assert [(line, code) for line, code, _ in problems] == [(3, "csv-comment"), (4, "csv-comment")]


@pytest.mark.parametrize("blanks", ["   ", "\t", "\u00a0"])
def test_a_quote_after_blanks_in_a_header(blanks: str) -> None:
    text = f'id,status,authentication.type,{blanks}"tags.n"\n{_row("a")}'
    ids, ((line, code, message),) = outcome(text)
    assert (ids, line, code) == ([], 1, "csv-quote")
    assert "in the header" in message


@pytest.mark.parametrize("count", [2, 3, 12])
def test_all_rows_within_a_quoted_cell_are_named(count: int) -> None:
    rows = "".join(_row(f"b{n}") for n in range(count)).rstrip("\n")
    ids, problems = outcome(f'{_HEAD}a,enabled,{CA},"oops\n{rows}"\n{_row("c")}')
    assert ids == ["a", "c"]
    ((line, _, message),) = [problem for problem in problems if problem[1] == "csv-swallowed-line"]
    named = ", ".join(str(n) for n in range(3, 3 + min(count, 10)))
    assert line == 2
    assert f"(lines {named}{' and 2 more' if count == 12 else ''}, within" in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (_HEAD + (_row("a") + _row("b")).replace("\n", "\r"), 2),
        (_HEAD + _row("a") + (_row("b") + _row("c")).replace("\n", "\r"), 3),
        ((_HEAD + _row("a") + _row("b")).replace("\n", "\n\r"), 2),
    ],
)
def test_rows_with_other_line_ends(text: str, line: int) -> None:
    _, validation = validate_file(text.encode())
    assert validation.report.refusal
    assert (validation.report.refusal.line, validation.report.refusal.code) == (line, "line-end")
    assert "csv-quote" not in validation.report.codes


def test_a_cr_within_a_cell() -> None:
    ids, problems = outcome(f"{_HEAD}{_row('a')}b,enabled,{CA},x\ry\n{_row('c')}")
    assert ids == ["a", "c"]
    assert [(line, code) for line, code, _ in problems] == [(3, "line-end")]


class TestFilesThatWereJoined:
    @pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
    def test_a_repeated_header(self, start: str) -> None:
        ids, problems = outcome(f"{_HEAD}{_row('a')}{start}{_HEAD}{_row('b')}")
        assert ids == ["a", "b"]
        line = 4 if start == "\n" else 3
        assert [problem[:2] for problem in problems] == [(line, "csv-header-again")]

    def test_the_type_line_of_powershell(self) -> None:
        ids, problems = outcome(f"#TYPE X\n{_HEAD}{_row('a')}#TYPE X\n{_HEAD}{_row('b')}")
        assert ids == ["a", "b"]
        codes = [(1, "csv-type-line"), (4, "csv-type-line"), (5, "csv-header-again")]
        assert sorted(problem[:2] for problem in problems) == codes

    @pytest.mark.parametrize("header", ["id,status,tags.z", "status,id"])
    def test_a_second_header(self, header: str) -> None:
        _, validation = validate_file(f"{_HEAD}{_row('a')}{header}\nb,enabled\n".encode())
        assert validation.report.refusal
        assert (validation.report.refusal.line, validation.report.refusal.code) == (3, "csv-header")


@pytest.mark.parametrize("row", ["\x1a", "\u00a0\n", "\u200b,,,\n"])
def test_a_row_of_invisible_characters(row: str) -> None:
    ids, problems = outcome(f"{_HEAD}{_row('a')}{row}")
    assert ids == ["a"]
    assert [problem[:2] for problem in problems] == [(3, "line-invisible")]


def test_blank_rows_are_ignored() -> None:
    assert outcome(f"{_HEAD}  \n{_row('a')} , ,\t,\n \n") == (["a"], [])


@pytest.mark.parametrize("row", ["#off", "//off", "/* off */"])
def test_a_comment_without_separators(row: str) -> None:
    ids, problems = outcome(f"{_HEAD}{_row('a')}{row}\n{_row('b')}")
    assert ids == ["a", "b"]
    assert [problem[:2] for problem in problems] == [(3, "csv-comment")]
    assert outcome("id\n#off\n", defaults=CsvDefaults("enabled", "create"))[0] == ["#off"]


@pytest.mark.parametrize("device_id", ["#pump-7", "##a"])
def test_a_row_that_looks_commented_out(device_id: str) -> None:
    ids, problems = outcome(f"{_HEAD}{_row(device_id)}")
    assert ids == [device_id]
    assert (2, "csv-commented-out") in [problem[:2] for problem in problems]


@pytest.mark.parametrize("blank", ["\n", "\r\n", " \n"])
def test_millions_of_blank_rows_are_fast(blank: str) -> None:
    text = f"{_HEAD}{blank * 500_000}{_row('a')}"
    with fuzz.time_limit():
        staged, validation = validate_file(text.encode())
    assert [line["id"] for line in staged] == ["a"]
    assert validation.lines.upload_line(1) == 500_002


@pytest.mark.parametrize("device_id", ["#NAME?", "#REF!"])
def test_a_spreadsheet_error_is_not_a_comment(device_id: str) -> None:
    _, problems = outcome(f"{_HEAD}{_row(device_id)}")
    codes = [code for _, code, _ in problems]
    assert "value-damaged" in codes
    assert "csv-commented-out" not in codes


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("before", ["", 'Delivery 5" pipes\n', "sep={}\n"])
def test_line_ends_within_the_header(separator: str, before: str) -> None:
    names = ['"id"', "status", '"tags.\na"', '"tags.b"']
    text = before.format(separator) + separator.join(names) + "\n"
    text += separator.join(["p1", "enabled", "", "x"]) + "\n"
    mapping = read_mapping(b'{"columns": {"tags. a": "tags.a"}}')
    lines, validation = validate_file(text.encode(), name="x.csv", mapping=mapping)
    if before.startswith("D"):
        [problem] = [p for p in validation.report.problems if p.severity == "error"]
        assert problem.code == "csv-before-header"
    else:
        assert lines == [{"id": "p1", "status": "enabled", "tags": {"b": "x"}}]
