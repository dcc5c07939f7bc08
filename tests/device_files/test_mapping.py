"""Mapped files are validated and staged as the same files that somebody rewrote by hand."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.device_files.limits import CsvDefaults
from shared.device_files.mapping.document import read_mapping
from shared.device_files.mapping.file_mapping import NO_MAPPING, FileMapping
from tests.device_files import strategies
from tests.device_files.support import ndjson, validate_file

#: Properties as in a header, besides the id.
TARGETS = (
    *("status", "importMode", "statusReason", "authentication.type", "moduleId", "eTag"),
    *("tags.site", "tags.building.floor:number", "properties.desired.interval:number"),
    *("capabilities.iotEdge", "properties.desired.limits:json", "deviceScope"),
    "authentication.x509Thumbprint.primaryThumbprint",
)
_SETTINGS = settings(max_examples=60, suppress_health_check=[*HealthCheck])

names = st.text("abcÄß -_.:()", min_size=1, max_size=12).filter(str.strip)
cells = st.one_of(
    st.sampled_from(["", "enabled", "12", "true", "{}", "update", "None", "17"]),
    st.text("ab1 #/*\"';,\näß\t", max_size=8),
)
plain = st.text("abc123-", min_size=1, max_size=6)


def mapping_of(**members: object) -> FileMapping:
    return read_mapping(json.dumps(members).encode())


def write(rows: Sequence[Sequence[str]], separator: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue().encode()


def result(data: bytes, mapping: FileMapping | None = None) -> tuple[Any, ...]:
    """The staged lines, the lines of the file that they are from, and errors."""
    lines, validation = validate_file(
        data, name="fleet.csv", chunk_bytes=64, mapping=mapping or NO_MAPPING
    )
    report = validation.report
    numbers = [validation.lines.upload_line(number) for number in range(1, len(lines) + 1)]
    errors = [(p.line, p.id, p.field, p.code) for p in report.problems if p.severity == "error"]
    return lines, numbers, errors, report.lines, report.modes


@pytest.mark.slow
@_SETTINGS
@given(st.data())
def test_mapped_columns(data: st.DataObject) -> None:
    targets = data.draw(st.lists(st.sampled_from(TARGETS), unique=True, max_size=6))
    targets = data.draw(st.permutations(["id", *targets, *["-"] * data.draw(st.integers(0, 2))]))
    unique = st.lists(
        names,
        unique_by=lambda name: "".join(name.split()).casefold(),
        min_size=len(targets),
        max_size=len(targets),
    )
    own = data.draw(unique)
    columns = {name: target for name, target in zip(own, targets, strict=True) if target != "-"}
    ignored = [name for name, target in zip(own, targets, strict=True) if target == "-"]
    rows = data.draw(st.lists(st.tuples(*[cells] * len(own)), max_size=5))
    separator = data.draw(st.sampled_from(",;\t"))
    by_hand = [f"x{index}" if name == "-" else name for index, name in enumerate(targets)]
    mapping = mapping_of(columns=columns, ignore=ignored)
    assert result(write([own, *rows], separator), mapping) == result(
        write([by_hand, *rows], separator)
    )


@pytest.mark.slow
@_SETTINGS
@given(st.lists(st.tuples(plain, plain, plain | st.just("")), max_size=5), plain, plain)
def test_made_values_and_defaults(
    rows: list[tuple[str, str, str]], text: str, default: str
) -> None:
    mapping = mapping_of(
        columns={"Ort": "tags.site"},
        values={"id": f"{text}-{{Serial}}-{{Line}}", "tags.line": "{{{Line}}}"},
        defaults={"status": "enabled", "tags.site": default, "tags.owner": {"name": text}},
    )
    given_rows = [("Serial", "Line", "Ort"), *rows]
    header = ("tags.site", "tags.owner:json", "id", "tags.line", "status")
    by_hand = [
        (
            site or default,
            json.dumps({"name": text}),
            f"{text}-{serial}-{line}",
            f"{{{line}}}",
            "enabled",
        )
        for serial, line, site in rows
    ]
    assert result(write(given_rows, ","), mapping) == result(write([header, *by_hand], ","))


DEFAULTS: dict[str, object] = {
    "status": "disabled",
    "tags.vendor": "ACME",
    "properties.desired.limits": {"max": 3, "min": [1, 2.5]},
    "capabilities.iotEdge": False,
    "importMode": "createOrUpdate",
}


def completed(device: dict[str, Any]) -> dict[str, Any]:
    """A line whose names have the documented case, with the defaults."""
    device = copy.deepcopy(device)
    for path, value in DEFAULTS.items():
        *above, last = path.split(".")
        holder: Any = device
        for step in above:
            if holder.get(step) is None:
                holder[step] = {}
            holder = holder[step]
            if not isinstance(holder, dict):
                break
        else:
            is_absent = last not in holder or (
                holder[last] is None and holder is not device.get("tags") and "desired" not in above
            )
            if is_absent:
                holder[last] = copy.deepcopy(value)
    return device


@pytest.mark.slow
@_SETTINGS
@given(strategies.fleets(), st.data())
def test_defaults_of_lines(devices: list[dict[str, Any]], data: st.DataObject) -> None:
    for device in devices:
        for name in data.draw(st.sets(st.sampled_from([*device]))) - {"id"}:
            del device[name]
    mapping = mapping_of(defaults=DEFAULTS)
    by_hand = result(ndjson(*map(completed, devices)))
    assert result(ndjson(*devices), mapping) == by_hand
    assert result(json.dumps(devices, indent=1).encode(), mapping)[0] == by_hand[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"ID":"a","STATUS":"disabled"}', "disabled"),
        (b'{"id":"a","status":null}', "enabled"),
        ('\ufeff {"id":"a"}'.encode(), "enabled"),
        (b'{"id":"a"} // comment', "enabled"),
        (b'{"id":"a","statusReason":"%s"}' % (b"{" * 70), "enabled"),
        (b'{"id":"a","status":"enbled"}', None),
    ],
)
def test_a_value_in_the_line_has_precedence(line: bytes, expected: str | None) -> None:
    lines, _ = validate_file(line, mapping=mapping_of(defaults={"status": "enabled"}))
    assert [staged["status"] for staged in lines] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ('"tags":{"site":"x"}', {"site": "x", "vendor": "ACME"}),
        ('"Tags":{"site":"x"}', {"site": "x", "vendor": "ACME"}),
        ('"tags.site":"x"', {"site": "x", "vendor": "ACME"}),
        ('"tags.vendor":"x"', {"vendor": "x"}),
        ('"TAGS.vendor":"x"', {"vendor": "x"}),
        ('"tags":{"vendor":"x"}', {"vendor": "x"}),
        ('"tags":{"vendor":null}', {"vendor": None}),
        ('"tags":{"Vendor":"x"}', {"Vendor": "x", "vendor": "ACME"}),
        ('"tags":null', {"vendor": "ACME"}),
    ],
)
def test_defaults_within_objects(tags: str, expected: dict[str, object]) -> None:
    line = f'{{"id":"a","status":"enabled",{tags}}}'.encode()
    [staged], _ = validate_file(line, mapping=mapping_of(defaults={"tags.vendor": "ACME"}))
    assert staged["tags"] == expected


MAPPING = {
    "columns": {"Serial No": "id", "Ort": "tags.site", "Max": "properties.desired.max:number"},
    "values": {"tags.label": "{Serial No} ({Ort})"},
    "defaults": {"status": "enabled"},
    "ignore": ["Price"],
}


def problems(data: bytes, **members: object) -> list[tuple[object, ...]]:
    mapping = mapping_of(**{**MAPPING, **members})
    _, validation = validate_file(data, name="fleet.csv", mapping=mapping)
    return [
        (problem.line, problem.field, problem.code, problem.message)
        for problem in validation.report.problems
        if problem.severity == "error"
    ]


def test_names_of_columns_are_compared_loosely() -> None:
    data = '\ufeffTitle;;;\nSERIAL  NO;"ort\n";max;\u00a0Price\n7;x;1;2\n'.encode()
    assert problems(data)[0][2] == "csv-before-header"
    assert "the header seems to be line 2" in str(problems(data)[0][3])
    assert problems(data.split(b"\n", 1)[1]) == []


def test_problems_name_the_columns_of_the_file() -> None:
    data = b"Serial No,Ort,Max,Price\na b,x,1,\nc,,2,\nd,x,abc,\nd,x,,\ne,x,,\ne,y,,\n"
    found = problems(data)
    assert [problem[:3] for problem in found] == [
        (2, "id", "id-characters"),
        (3, "tags.label", "csv-empty-cell"),
        (4, "properties.desired.max", "csv-number"),
        (7, "id", "id-duplicate"),
    ]
    sources = ('"Serial No"', '"Ort"', '"Max"', '"Serial No"')
    assert all(source in str(p[3]) for p, source in zip(found, sources, strict=True))


def test_a_file_with_other_columns_is_rejected() -> None:
    assert [p[:3] for p in problems(b"Serial No,Max,max,Colour,tags.x\n1,2,3,4,5\n")] == [
        (1, "", "csv-column-missing"),
        (1, "", "csv-column-repeated"),
        (1, "Colour", "csv-column-unmapped"),
        (1, "", "csv-header"),
    ]
    [problem] = problems("Größe,Ort\n".encode("cp1252"))
    assert problem[2] == "line-encoding"


def test_keys_are_not_shown() -> None:
    key = "bWFkZSB1cCBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="
    assert key not in str(problems(f"Serial No,Ort,Max,{key}\n".encode()))
    [found] = problems(f"Serial No,Ort,Max,Price\n1,x,,{key}\n".encode())
    assert found[:3] == (2, "", "credentials-misplaced")
    assert 'in column "Price"; they belong in authentication.symmetricKey' in str(found[3])
    assert key not in str(found)


@pytest.mark.parametrize("separator", ["", ":", " ", "-"])
@pytest.mark.parametrize("count", [20, 32])
def test_ignored_thumbprints(separator: str, count: int) -> None:
    """Without them, the hub would generate keys that nobody has."""
    cell = separator.join(["0A"] * count)
    row = f"Serial No,Ort,Max,PRICE\n1,x,,{cell}\n".encode()
    [found] = problems(row)
    assert found[:3] == (2, "", "credentials-misplaced")
    assert "belong in authentication.x509Thumbprint.primaryThumbprint" in str(found[3])
    assert "give authentication.type" in str(found[3])
    # The row says otherwise how its device authenticates, or the hub ignores credentials.
    for name, value in (
        ("authentication.type", "sas"),
        ("authentication.type", "certificateAuthority"),
        ("importMode", "delete"),
        ("importMode", "UpdateTwin"),
    ):
        assert problems(row, defaults={"status": "enabled", name: value}) == []
    # A second thumbprint may be ignored, one that makes an id is used.
    second = f"Serial No,Ort,Price,T\n1,x,{cell},{cell}\n".encode()
    mapped = {"Serial No": "id", "T": "authentication.x509Thumbprint.primaryThumbprint"}
    assert problems(second, columns=mapped) == []
    used = {"columns": {"Ort": "id"}, "values": {"tags.t": "{T}"}, "ignore": []}
    assert problems(f"T,Ort\n{cell},x\n".encode(), **used) == []


@pytest.mark.parametrize("cell", ["", " ", "\t", "\u00a0", "\u200b "])
def test_a_value_is_not_made_of_a_blank_cell(cell: str) -> None:
    data = f'Serial No,Ort,Max,Price\n1,"{cell}",,\n'.encode()
    assert ("tags.label", "csv-empty-cell") in [found[1:3] for found in problems(data)]


def test_names_of_columns_that_contain_separators() -> None:
    mapping = mapping_of(
        columns={"My Serial, No, or so": "id", "T": "tags.t"}, defaults={"status": "enabled"}
    )
    [line], _ = validate_file(b"My Serial, No, or so;T\na;b\n", name="a.csv", mapping=mapping)
    assert line == {"id": "a", "tags": {"t": "b"}, "status": "enabled"}


def test_cells_are_not_evaluated() -> None:
    mapping = mapping_of(
        columns={"c": "id"}, values={"tags.x": "{a}{b}"}, defaults={"status": "enabled"}
    )
    [line], _ = validate_file(b"a,b,c\n{b},{{a}}%s{0.x},1\n", name="fleet.csv", mapping=mapping)
    assert line["tags"] == {"x": "{b}{{a}}%s{0.x}"}


def test_settings_come_after_the_mapping() -> None:
    mapping = mapping_of(columns={"Serial": "id"}, defaults={"importMode": "create"})
    lines, _ = validate_file(
        b"Serial\na\n",
        name="fleet.csv",
        mapping=mapping,
        defaults=CsvDefaults("disabled", "delete"),
    )
    assert lines == [{"id": "a", "importMode": "create", "status": "disabled"}]
