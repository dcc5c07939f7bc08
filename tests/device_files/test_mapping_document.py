"""The file of a mapping: what is read of it, and what is reported with its line."""

from __future__ import annotations

import json
import re
import textwrap

import pytest

from docgen import mapping
from local.stack import ROOT
from shared.device_files.mapping.document import (
    MAX_MAPPING_BYTES,
    InvalidMappingError,
    MappingDocument,
    read_mapping,
)
from shared.device_files.mapping.file_mapping import Template, TemplateError
from shared.device_files.validation import Validation
from tests.device_files.support import validate_file

KEY = "bWFkZSB1cCBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="


def problems(text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(InvalidMappingError) as caught:
        read_mapping(text.encode())
    assert all(finding.rule.code == "mapping-invalid" for _, finding in caught.value.problems)
    return [(line, finding.field, finding.detail) for line, finding in caught.value.problems]


def test_a_mapping() -> None:
    document = {
        "$schema": "https://example.com/mapping.schema.json",
        "columns": {"Serial  No": "tags.serial", "Max": "properties.desired.max:number"},
        "values": {"id": "{{{Serial No}}}-{Line}"},
        "defaults": {"status": "enabled", "tags.owner": {"team": "ops"}, "tags.rank": 1},
        "ignore": ["Price"],
    }
    read = read_mapping(b"\xef\xbb\xbf" + json.dumps(document).encode())
    assert read.target_of(" serial no ") == "tags.serial"
    assert read.target_of("Price") is None
    assert [*read.required.values()] == ["Serial  No", "Line", "Max"]
    assert read.makes_id_of("LINE")
    assert read.makes_id
    [template] = read.values
    assert template.fill(["7", "b"]) == "{7}-b"
    line = {"id": "a", "tags": {"rank": 2}}
    assert read.add_defaults(line)
    assert line == {
        "id": "a",
        "tags": {"rank": 2, "owner": {"team": "ops"}},
        "status": "enabled",
    }
    assert not read.add_defaults(line)


def test_an_empty_mapping() -> None:
    assert read_mapping(b" {}\n").is_empty


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, "", "it is empty")),
        ("[]", (None, "", "it must be a JSON object")),
        ("null", (None, "", "it must be a JSON object")),
        ('{\n"columns": {\n"a": "id",}}', (3, "", "it is not valid JSON")),
        ('{\n"ignore": [],\n"ignore": []}', (2, "ignore", "the property occurs twice")),
        ('{"colums": {}}', (1, "colums", "unknown member; did you mean columns?")),
        ('{"x": {}}', (1, "x", "unknown member; expected: $schema, columns, values")),
        ('{"columns": []}', (1, "columns", "it must be an object")),
        ('{"columns": {\n"a": 1}}', (2, "columns.a", "it must be a string")),
        ('{"ignore": "a"}', (1, "ignore", "it must be an array")),
        ('{"ignore": [""]}', (1, "ignore.0", "it must not be empty")),
        ('{"columns": {" ": "id"}}', (1, "columns. ", "the name of a column is blank")),
        ('{"columns": {"a": "tag.x"}}', (1, "columns.a", "unknown property; did you mean")),
        ('{"columns": {"a": "tags.x:int"}}', (1, "columns.a", "it has no known type")),
        ('{"columns": {"a": "tags"}}', (1, "columns.a", "tags is an object")),
        ('{"columns": {"a": "tags.b c"}}', (1, "columns.a", "the name contains a character")),
        ('{"columns": {"a": "generationId"}}', (1, "columns.a", "the hub sets this property")),
        ('{"columns": {"a": "primaryKey"}}', (1, "columns.a", "the hub ignores keys")),
        ('{"columns": {"a": "id",\n"b": "ID"}}', (2, "columns.b", "columns.a already is for id")),
        ('{"columns": {"a": "id",\n"A ": "tags.x"}}', (2, "columns.A ", "columns.a already names")),
        (
            '{"columns": {"a": "tags.x", "b": "tags.x.y"}}',
            (1, "columns.b", "columns.a is for tags.x as a"),
        ),
        (
            '{"columns": {"a": "tags.x"},\n"defaults": {"tags.x.y": 1}}',
            (2, "defaults.tags.x.y", "columns.a is for tags.x as a whole"),
        ),
        (
            '{"columns": {"a": "tags.x.y"},\n"defaults": {"tags.x": 1}}',
            (1, "columns.a", "defaults.tags.x is for tags.x as a whole"),
        ),
        (
            '{"columns": {"a": "id:number"}}',
            (1, "columns.a", "id is of type string; remove :number"),
        ),
        (
            '{"values": {"status:boolean": "{a}"}}',
            (1, "values.status:boolean", "status is of type string"),
        ),
        (
            '{"columns": {"a": "capabilities.iotEdge:string"}}',
            (1, "columns.a", "capabilities.iotEdge is of type boolean; remove :string"),
        ),
        ('{"columns": {"a": "id"}, "ignore": ["A"]}', (1, "ignore", "columns.a already names")),
        ('{"values": {"tags.x": "{a}"}, "ignore": ["A"]}', (1, "values.tags.x", "it uses a col")),
        ('{"values": {"id": "{a}"}, "columns": {"b": "id"}}', (1, "values.id", "columns.b alrea")),
        ('{"values": {"id": "pump"}}', (1, "values.id", "it names no column in braces")),
        ('{"values": {"id": "{"}}', (1, "values.id", "write {{ for a { that is text")),
        ('{"values": {"id": "{ }"}}', (1, "values.id", "{} names no column")),
        (
            '{"values": {"authentication.symmetricKey.primaryKey": "{a}"}}',
            (1, "values.authentication.symmetricKey.primaryKey", "keys cannot be made of text"),
        ),
        ('{"defaults": {"id": "a"}}', (1, "defaults.id", "id is different in each line")),
        ('{"defaults": {"tags": {}}}', (1, "defaults.tags", "tags is an object")),
        ('{"defaults": {"status:string": ""}}', (1, "defaults.status:string", "remove the type")),
        ('{"defaults": {"status": "on"}}', (1, "defaults.status", "status must be enabled or")),
        ('{"defaults": {"status": 1}}', (1, "defaults.status", "status must be enabled or")),
        (
            '{"defaults": {"status": "enabled",\n"Status": "disabled"}}',
            (2, "defaults.Status", "de"),
        ),
        ('{"defaults": {"tags.a": [null]}}', (1, "defaults.tags.a", "the array contains null")),
        (
            '{"defaults": {"authentication.symmetricKey.primaryKey": "x"}}',
            (1, "defaults.authentication.symmetricKey.primaryKey", "a mapping must not contain"),
        ),
    ],
)
def test_what_is_wrong(text: str, expected: tuple[int | None, str, str]) -> None:
    [(line, field, detail)] = problems(text)
    assert (line, field, detail[: len(expected[2])]) == expected


def test_a_wrong_member_does_not_hide_the_others() -> None:
    found = problems('{"column": {}, "ignore": "a",\n"defaults": {"status": "on"}}')
    assert [place[:2] for place in found] == [
        (1, "ignore"),
        (1, "column"),
        (2, "defaults.status"),
    ]


def test_all_problems_are_reported() -> None:
    found = problems('{"columns": {\n"a": "idd",\n"b": "tagss.x"},\n"defaults": {"id": 1}}')
    assert [place[:2] for place in found] == [
        (2, "columns.a"),
        (3, "columns.b"),
        (4, "defaults.id"),
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"columns": {KEY: "id"}},
        {"values": {"id": f"{{a}}{KEY}"}},
        {"defaults": {"tags.x": {"y": [KEY]}}},
        {"ignore": [f"HostName=x;SharedAccessKey={KEY}"]},
        {KEY: 1},
    ],
)
def test_keys_are_refused_and_not_shown(document: dict[str, object]) -> None:
    text = json.dumps(document)
    assert "a key or connection string (not shown)" in problems(text)[0][2]
    validation = Validation(name="a/_mapping.json")
    assert [*validation.run([text.encode()])] == []
    assert KEY not in str(validation.report.problems)


def test_large_mappings_are_not_read() -> None:
    text = json.dumps({"ignore": ["x" * 200] * 1000})
    assert len(text) > MAX_MAPPING_BYTES
    assert problems(text)[0][2] == "it has more than 65,536 bytes"
    validation = Validation(name="_mapping.json")
    pieces = iter([b"x" * 40_000] * 3)
    assert [*validation.run(pieces)] == []
    assert len([*pieces]) == 1
    assert "more than 65,536 bytes" in validation.report.problems[0].message
    assert problems(json.dumps({"ignore": [str(number) for number in range(1001)]}))[0][1:] == (
        "ignore",
        "it must have 1000 entries at most",
    )


def test_not_utf_8() -> None:
    with pytest.raises(InvalidMappingError, match="it is not UTF-8, from byte 2"):
        read_mapping(b"{\xff}")


def test_braces_in_the_names_of_columns() -> None:
    template = Template.of("id", "{{{Serial {{no}}}-{a}}}")
    assert template.columns == ("Serial {no}", "a")
    assert template.fill(["7", "b"]) == "{7-b}"


@pytest.mark.parametrize("text", ["}", "a{", "{a}}", "{a{b}", "{}", "{a{{b}"])
def test_unbalanced_braces(text: str) -> None:
    with pytest.raises(TemplateError):
        Template.of("id", text)


def test_a_valid_mapping_is_no_device_file() -> None:
    validation = Validation(name="_mapping.json")
    assert [*validation.run([b'{"columns": ', b'{"a": "id"}}'])] == []
    report = validation.report
    assert (report.format, report.lines, report.problems) == ("mapping", 0, [])
    assert report.is_mapping


@pytest.mark.parametrize("name", ["_MAPPING.JSON", "a/_Mapping.json"])
def test_the_name_in_another_case_is_no_mapping(name: str) -> None:
    validation = Validation(name=name)
    assert [*validation.run([b'{"id": "a", "status": "enabled"}'])] == []
    [problem] = validation.report.problems
    assert problem.code == "mapping-invalid"
    assert "its name must be _mapping.json, in lower case" in problem.message
    assert validation.report.is_unusable


def test_every_member_is_described() -> None:
    schema = MappingDocument.model_json_schema(by_alias=True)
    assert all(member["description"] for member in schema["properties"].values())


def test_the_schema_is_current() -> None:
    assert mapping.PATH.read_text() == mapping.text(), "run `make docs`"


def test_the_example_in_the_documentation() -> None:
    text = (ROOT / "docs/validation.md").read_text().partition("### Files of others\n")[2]
    document, csv_file, lines = re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)[:3]
    staged, validation = validate_file(
        textwrap.dedent(csv_file).encode(),
        name="devices.csv",
        mapping=read_mapping(document.encode()),
    )
    assert staged == [json.loads(lines)]
    assert validation.report.problems == []


def test_all_members_are_documented() -> None:
    text = (ROOT / "docs/validation.md").read_text()
    for name, member in MappingDocument.model_fields.items():
        assert f"| `{member.alias or name}` |" in text
