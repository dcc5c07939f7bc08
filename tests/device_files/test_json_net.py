"""Lines that Json.NET 13, the hub's reader, rejects or reads in a non-standard way."""

from __future__ import annotations

import pytest

from tests.device_files.support import device, problems, validate_file

OBJECTS = ("", "authentication", "authentication.symmetricKey", "properties", "capabilities")


def line(place: str, members: str) -> bytes:
    """A valid line with these properties in one of its objects ("" for the line itself)."""
    for step in reversed(place.split(".") if place else []):
        members = f'"{step}":{{{members}}}'
    return f'{{{members},"id":"d","status":"enabled"}}'.encode()


@pytest.mark.parametrize("place", OBJECTS)
@pytest.mark.parametrize(
    "members",
    [
        *('"$ref":"1","a":1', '"$ref":1', '"$ref":{}', '"\\u0024ref":"1","a":1', '"$ref":"1"'),
        *('"$values":[]', '"$values":["a"]', '"$type":"x","$values":["a"]'),
        *('"$id":[1]', '"$id":{}', '"$id":5', '"$type":{}', '"$type":1'),
    ],
)
def test_metadata_that_the_hub_rejects_or_applies(place: str, members: str) -> None:
    staged, validation = validate_file(line(place, members))
    assert staged == []
    assert "json-metadata" in validation.report.codes


@pytest.mark.parametrize("place", OBJECTS)
@pytest.mark.parametrize("name", ["$id", "$type"])
def test_metadata_that_the_hub_ignores(place: str, name: str) -> None:
    staged, validation = validate_file(line(place, f'"{name}":"x"'))
    assert len(staged) == 1
    (problem,) = [p for p in validation.report.problems if p.field.endswith(name)]
    assert (problem.code, problem.severity) == ("member-unknown", "warning")
    assert "PreserveReferencesHandling" in problem.message


@pytest.mark.parametrize("members", ['"foo":{"$ref":1}', '"foo":{"a":{"$values":1}}'])
def test_ignored_properties_may_contain_anything(members: str) -> None:
    staged, _ = validate_file(line("", members))
    assert len(staged) == 1


@pytest.mark.parametrize("digits", [379, 380])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("place", ["surprise", "attributes", "properties.reported"])
def test_the_longest_integer(place: str, sign: str, digits: int) -> None:
    text = line(place, f'"a":{sign}{"9" * digits}')
    staged, validation = validate_file(text)
    rejected = len(sign) + digits > 380
    assert (len(staged), "json-number" in validation.report.codes) == (not rejected, rejected)


@pytest.mark.parametrize("value", [[], {}, {"$ref": {}}, ["x"]])
def test_managed_by_is_a_string(value: object) -> None:
    assert problems(device(managedBy=value)) == [(1, "managedBy", "member-type")]
    assert problems(device(managedBy="x"), device(id="b", managedBy=None)) == []


def test_blank_lines_are_ignored() -> None:
    staged, validation = validate_file(
        b'\n{"id":"d","status":"disabled","importMode":"create"}\n\n'
    )
    assert len(staged) == 1
    assert validation.report.errors == 0
