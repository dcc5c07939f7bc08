from __future__ import annotations

import json
from typing import Any

import pytest

from shared.device_files.limits import CsvDefaults
from tests.device_files.support import KEY, file_problems, validate_file

CA = {"type": "certificateAuthority"}


def staged(text: str, **options: Any) -> list[Any]:
    lines, validation = validate_file(text.encode(), **options)
    assert validation.report.problems == []
    assert validation.report.format == "csv"
    return lines


def test_every_kind_of_column() -> None:
    header = (
        "id,moduleId,status,statusReason,importMode,eTag,authentication.type,"
        "authentication.symmetricKey.primaryKey,authentication.symmetricKey.secondaryKey,"
        "tags.site,tags.floor:number,tags.open:boolean,tags.list:json,tags.a:b:string,"
        "properties.desired:json,capabilities.iotEdge,parentScopes"
    )
    row = (
        f'pump-1,,enabled,"new, and\n""bright""",create,x,sas,{KEY},{KEY},'
        'east,-1.5e1,TRUE,"[1, {""a"": null}]",7,"{""interval"": 30}",false,'
    )
    lines, _ = validate_file(f"{header}\n{row}\n".encode())
    assert lines == [
        {
            "id": "pump-1",
            "status": "enabled",
            "statusReason": 'new, and\n"bright"',
            "importMode": "create",
            "eTag": "x",
            "authentication": {
                "type": "sas",
                "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY},
            },
            "tags": {
                "site": "east",
                "floor": -15.0,
                "open": True,
                "list": [1, {"a": None}],
                "a:b": "7",
            },
            "properties": {"desired": {"interval": 30}},
            "capabilities": {"iotEdge": False},
        }
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_separators(separator: str, line_end: str, bom: str) -> None:
    rows = [["id", "status", "authentication.type", "tags.site"]]
    rows += [["a", "enabled", CA["type"], "1,5"], ["b", "disabled", CA["type"], ""]]
    quoted = [[f'"{cell}"' if "," in cell else cell for cell in row] for row in rows]
    text = bom + line_end.join(separator.join(row) for row in quoted)
    assert staged(text) == [
        {"id": "a", "status": "enabled", "authentication": CA, "tags": {"site": "1,5"}},
        {"id": "b", "status": "disabled", "authentication": CA},
    ]


def test_line_numbers_refer_to_the_file() -> None:
    text = 'id,status,tags.note\na,enabled,"one\ntwo"\n\n,,\nb,on,x\nc,on,\n'
    assert [(line, code) for line, _, code in file_problems(text.encode()) if "status" in code] == [
        (6, "status-invalid"),
        (7, "status-invalid"),
    ]
    _, validation = validate_file(text.encode())
    assert validation.lines.upload_line(1) == 2
    assert validation.report.lines == 3


def test_defaults_replace_empty_cells() -> None:
    text = (
        "id,status,authentication.type\na,,certificateAuthority\nb,disabled,certificateAuthority\n"
    )
    lines = staged(text, defaults=CsvDefaults("enabled", "create"))
    assert [(line["status"], line["importMode"]) for line in lines] == [
        ("enabled", "create"),
        ("disabled", "create"),
    ]
    assert file_problems(text.encode()) == [(2, "status", "status-missing")]


@pytest.mark.parametrize(
    ("cells", "field", "code"),
    [
        ("1,5", "", "csv-cells"),
        ('"1,5"', "tags.n", "csv-number"),
        ("0x10", "tags.n", "csv-number"),
        ("01", "tags.n", "csv-number"),
        ("NaN", "tags.n", "csv-number"),
        ("9" * 400, "tags.n", "json-number"),
        ("1e999", "tags.n", "json-number"),
        (str(2**52), "tags.n", "twin-integer-range"),
    ],
)
def test_an_invalid_number(cells: str, field: str, code: str) -> None:
    text = f"id,status,authentication.type,tags.n:number\na,enabled,certificateAuthority,{cells}\n"
    assert file_problems(text.encode()) == [(2, field, code)]


@pytest.mark.parametrize(
    ("column", "cell", "code"),
    [
        ("tags.x:boolean", "yes", "csv-boolean"),
        ("capabilities.iotEdge", "1", "csv-boolean"),
        ("tags.x:json", "{", "csv-json"),
        ("tags.x:json", '"{""a"":1,""a"":2}"', "csv-json"),
        ("tags:json", "[]", "member-type"),
        ("tags.a b", "x", "twin-key-characters"),
    ],
)
def test_other_cells(column: str, cell: str, code: str) -> None:
    text = f"id,status,authentication.type,{column}\na,enabled,certificateAuthority,{cell}\n"
    ((line, field, found_code),) = file_problems(text.encode())
    assert (line, field, found_code) == (2, column.partition(":")[0], code)


def test_an_invalid_cell_does_not_hide_other_problems_of_its_row() -> None:
    text = "id,status,authentication.type,tags.n:number,tags.b:boolean\na b,on,x,y,z\n"
    assert sorted(code for _, _, code in file_problems(text.encode())) == [
        "authentication-missing",
        "authentication-type-invalid",
        "csv-boolean",
        "csv-number",
        "id-characters",
        "status-invalid",
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("device;status", "no column id"),
        ("deviceId,status", "no column id; rename"),
        ("id,status,status", "two columns are for status"),
        ("id,status,tags:json,tags.site", "one column is for tags, another for tags.site"),
        ("id,status,tags", "tags is an object"),
        ("id,status,authentication", "authentication is an object"),
        ("id,status,tags.x:int", "column 3 has no known type"),
        ("id,,status", "column 2 has no name"),
    ],
)
def test_an_invalid_header(header: str, expected: str) -> None:
    _, validation = validate_file(f"{header}\na,b,c,d\n".encode(), name="devices.csv")
    (problem,) = (p for p in validation.report.problems if p.severity == "error")
    assert (problem.line, problem.code) == (1, "csv-header")
    assert expected in problem.message
    assert validation.report.is_unusable


def test_a_table_without_a_header_shows_no_key() -> None:
    rows = f"pump-1,enabled,sas,{KEY},{KEY}\npump-2,enabled,sas,{KEY},{KEY}\n"
    _, validation = validate_file(rows.encode(), name="fleet.csv")
    assert [problem.code for problem in validation.report.problems] == ["csv-header"]
    assert KEY[:10] not in str(validation.report.problems_json("devices"))


def test_unknown_columns_are_ignored() -> None:
    text = (
        "ID,Status,authentication.type,customer,tags.site,\na,enabled,certificateAuthority,x,e,\n"
    )
    lines, validation = validate_file(text.encode())
    assert lines == [{"id": "a", "status": "enabled", "authentication": CA, "tags": {"site": "e"}}]
    assert [(p.line, p.field, p.code) for p in validation.report.problems] == [
        (1, "customer", "member-unknown")
    ]


def test_quotes() -> None:
    head = "id,status,tags.note\n"
    good = "b,enabled,fine\n"
    assert (2, "", "csv-quote") in file_problems(f'{head}a,enabled,"x"y\n{good}'.encode())
    _, validation = validate_file(f'{head}a,enabled,"x\n{good * 3}'.encode())
    (problem,) = validation.report.problems
    assert (problem.line, problem.code) == (2, "csv-quote")
    assert validation.report.is_unusable


def test_bytes_that_are_not_text() -> None:
    data = b"id,status,tags.note\na,enabled,caf\xe9\nb,enabled,\x00\nc,enabled,\n"
    assert [(line, code) for line, _, code in file_problems(data) if code.startswith("line")] == [
        (2, "line-encoding"),
        (3, "line-nul"),
    ]


def test_rows_are_staged_in_batches() -> None:
    text = "id,status,authentication.type\n" + "".join(
        f"pump-{n},enabled,certificateAuthority\n" for n in range(10_000)
    )
    lines, validation = validate_file(text.encode(), chunk_bytes=1000)
    assert [line["id"] for line in lines] == [f"pump-{n}" for n in range(10_000)]
    assert validation.lines.upload_line(10_000) == 10_001
    assert json.dumps(lines[0]).count("pump") == 1


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("id,status,,tags.a", "column 3 has no name"),
        ("id,status,tags.a,,tags.b", "column 4 has no name"),
        ("status,i\u200bd,tags.a", "column 2 contains U+200B ZERO WIDTH SPACE at character 2"),
        ("status,tags.a,i\u00add:string", "column 3 contains U+00AD SOFT HYPHEN at character 2"),
        ("id,sta\u200btus,tags.a", "U+200B ZERO WIDTH SPACE at character 4; did you mean status?"),
        ("id,status,tags/site", "did you mean tags.site?"),
        ("id,status,tags[site]", "did you mean tags.site?"),
        ("id,status,tags__site", "did you mean tags.site?"),
        ("id,status,properties.desired__a,properties.interval", "did you mean"),
    ],
)
def test_names_of_columns(header: str, expected: str) -> None:
    cells = ",".join("a" for _ in header.split(","))
    _, validation = validate_file(f"{header}\n{cells}\n".encode())
    assert expected in validation.report.problems[0].message


@pytest.mark.parametrize("kind", ["number", "boolean"])
@pytest.mark.parametrize("cell", ["1\u200b", "tr\u00adue"])
def test_cells_with_invisible_characters(kind: str, cell: str) -> None:
    file = f"id,status,properties.desired.a:{kind}\na,enabled,{cell}\n"
    _, validation = validate_file(file.encode())
    assert "U+" in validation.report.problems[0].message


@pytest.mark.parametrize("separator", ["", ":", "-", " "])
@pytest.mark.parametrize("count", [20, 32])
def test_separators_within_thumbprints(separator: str, count: int) -> None:
    primary, secondary = (separator.join([byte] * count) for byte in ("0a", "FF"))
    path = "authentication.x509Thumbprint"
    [line] = staged(
        f"id,status,{path}.primaryThumbprint,{path}.secondaryThumbprint\n"
        f"a,enabled,{primary},{secondary}\n"
    )
    assert line["authentication"]["x509Thumbprint"] == {
        "primaryThumbprint": "0a" * count,
        "secondaryThumbprint": "FF" * count,
    }


@pytest.mark.parametrize(
    "cell", ["0a:" * 20, "0a:" * 18 + "0a", "0a:0a-" * 9 + "0a:0a", "0a::" * 19 + "0a", "0a:" * 31]
)
def test_no_thumbprints(cell: str) -> None:
    text = f"id,status,authentication.x509Thumbprint.primaryThumbprint\na,enabled,{cell}\n"
    assert "thumbprint-invalid" in [code for _, _, code in file_problems(text.encode())]


@pytest.mark.parametrize("cell", [KEY, "0a" * 20, ":".join(["0A"] * 32)])
def test_credentials_in_unknown_columns(cell: str) -> None:
    def check(mode: str, kind: str) -> tuple[int, list[str]]:
        header = "id,status,importMode,authentication.type,Hash"
        text = f"{header}\na,enabled,{mode},{kind},{cell}\n"
        lines, validation = validate_file(text.encode())
        report = validation.report
        assert len(lines) == report.valid
        assert cell not in str(report.problems_json("x"))
        return len(lines), [p.code for p in report.problems if p.severity == "error"]

    rejected = (0, ["credentials-misplaced"])
    assert check("", "") == rejected
    assert check("create", "") == rejected
    # A key is always misplaced, a hash may be another one.
    assert check("", "sas") == (rejected if cell == KEY else (1, []))
    # Where the hub ignores credentials, the line is imported.
    for mode in ("delete", "Delete", "updateTwin", "deleteIfMatchETag"):
        imported = check(mode, "")
        assert imported in [(1, []), (0, ["twin-missing"]), (0, ["etag-missing"])]


def test_columns_of_thumbprints_by_other_names_are_errors() -> None:
    for name in ("Thumbprint SHA-1", "certificate thumbprint", "Device Thumbprint (SHA256)"):
        [(line, _, code)] = file_problems(f"id,status,{name}\na,enabled,\n".encode())
        assert (line, code) == (1, "credentials-misplaced")
