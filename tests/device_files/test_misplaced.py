"""Credentials where the hub ignores them, and secrets where names and values are expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.device_files.rules import Severity
from tests.device_files.support import KEY, OTHER_KEY, device, keys, ndjson, validate_file

SHA1 = "0123456789abcdefABCD" * 2
KEY_OF_64_BYTES = f"{'Bc9/' * 21}Bc=="
KEY_OF_16_BYTES = "Bc9/Bc9/Bc9/Bc9/Bc9/Bc=="
CONNECTION_STRING = f"HostName=h.azure-devices.net;DeviceId=p1;SharedAccessKey={KEY}"
SIGNATURE = "SharedAccessSignature sr=h.azure-devices.net&sig=bWFkZSB1cA%3D%3D&se=1900000000"


def without_authentication(**members: object) -> dict[str, Any]:
    return {"id": "a", "status": "enabled", **members}


def problems_of(line: Mapping[str, Any]) -> list[tuple[str, str]]:
    _, validation = validate_file(ndjson(line))
    return [
        (problem.field, problem.code)
        for problem in validation.report.problems
        if problem.severity is not Severity.INFO
    ]


MISSING = ("authentication", "authentication-missing")


@pytest.mark.parametrize(
    "line",
    [
        without_authentication(),
        without_authentication(authenticationType="sas"),
        without_authentication(authentication={"type": "SAS"}),
        without_authentication(Authentication={"Type": "sas"}),
        without_authentication(authentication={"type": "sas", "thumbprint": None}),
        without_authentication(authentication={"type": "sas", "symetricKey": keys()}),
        without_authentication(authentication={"primaryKey": KEY}),
        without_authentication(authentication={"symmetricKey": {"primary": KEY}}),
        without_authentication(authentication={"symmetricKey": None, "x509Thumbprint": None}),
        without_authentication(authentication={"symmetricKey": {"PrimaryKey": None}}),
        without_authentication(authentication={"certificateAuthority": True}),
        without_authentication(authentication="sas"),
        without_authentication(authentication={"type": "x509_ca"}),
        without_authentication(authentication={"type": "none"}),
        {**without_authentication(authentication={"type": "none"}), "moduleId": "m"},
        without_authentication(authentication=keys("<removed>", "***")),
        without_authentication(authentication={"symmetricKey": {"primaryKey": True}}),
        without_authentication(authentication={"x509Thumbprint": {"primaryThumbprint": "xx"}}),
        without_authentication(authentication={"x509Thumbprint": {"secondaryThumbprint": SHA1}}),
        without_authentication(
            authentication={"type": "sas", "x509Thumbprint": {"primaryThumbprint": SHA1}}
        ),
        without_authentication(symmetricKey={"primaryKey": KEY}, importMode="update"),
        without_authentication(status="on", importMode="updateIfMatchETag", tags={"a b": 1}),
        {"id": "$a/b", "moduleId": "m", "status": "enabled", "deviceKey": KEY},
    ],
)
def test_new_keys_are_reported_despite_other_problems(line: Mapping[str, Any]) -> None:
    assert MISSING in problems_of(line)


@pytest.mark.parametrize("mode", ["create", "delete", "updateTwin"])
def test_modes_that_replace_no_keys_report_nothing(mode: str) -> None:
    assert MISSING not in problems_of(without_authentication(importMode=mode, tags={}))


@pytest.mark.parametrize(
    ("line", "field", "place"),
    [
        (
            without_authentication(authentication={"primaryKey": KEY}),
            "authentication.primaryKey",
            "authentication.symmetricKey.primaryKey",
        ),
        (
            without_authentication(authentication={"symetricKey": {"primaryKey": KEY}}),
            "authentication.symetricKey",
            "authentication.symmetricKey",
        ),
        (
            without_authentication(authentication={"symmetricKey": {"secondary": KEY}}),
            "authentication.symmetricKey.secondary",
            "authentication.symmetricKey.secondaryKey",
        ),
        (
            without_authentication(symmetricKey={"primaryKey": KEY, "secondaryKey": KEY}),
            "symmetricKey",
            "authentication.symmetricKey",
        ),
        (device(thumbprint=SHA1), "thumbprint", "authentication.x509Thumbprint.primaryThumbprint"),
        (device(deviceKey="k" * 43), "deviceKey", "authentication.symmetricKey.primaryKey"),
        (device(connectionString=CONNECTION_STRING), "connectionString", "symmetricKey"),
        (device(tag=SIGNATURE), "tag", "authentication.symmetricKey"),
        (device(auth={"symmetricKey": {"primaryKey": KEY}}), "auth", "symmetricKey"),
        (device(authentification={"keys": {"primary": KEY}}), "authentification", "symmetricKey"),
        (device(device={"authentication": keys()}), "device", "symmetricKey"),
        (device(keys=[KEY, OTHER_KEY]), "keys", "symmetricKey"),
        (device(connectionStrings=[CONNECTION_STRING]), "connectionStrings", "symmetricKey"),
        (device(credentials={"a": [{"b": CONNECTION_STRING}]}), "credentials", "symmetricKey"),
        (device(sasKey=KEY_OF_16_BYTES), "sasKey", "symmetricKey"),
        (
            device(properties={"authentication": {"primaryKey": KEY_OF_16_BYTES}}),
            "properties.authentication",
            "symmetricKey",
        ),
        (
            device(**{"authentication.thumbprint": SHA1}),
            "authentication.thumbprint",
            "x509Thumbprint.primaryThumbprint",
        ),
    ],
)
def test_credentials_in_ignored_properties(line: Mapping[str, Any], field: str, place: str) -> None:
    _, validation = validate_file(ndjson(line))
    (problem,) = [p for p in validation.report.problems if p.code == "credentials-misplaced"]
    assert (problem.severity, problem.field) == (Severity.ERROR, field)
    assert place in problem.message


@pytest.mark.parametrize(
    "line",
    [
        device(key="row-17", thumbprint=None, symmetricKey={"primaryKey": None}),
        device(thumbprint=SHA1, importMode="delete"),
        device(deviceKey=KEY, importMode="updateTwin", tags={}),
    ],
)
def test_unknown_properties_without_usable_credentials(line: Mapping[str, Any]) -> None:
    assert {code for _, code in problems_of(line)} == {"member-unknown"}


def test_dotted_names_are_read_as_in_a_csv_header() -> None:
    line = {
        "id": "a",
        "status": "enabled",
        "authentication.type": "sas",
        "authentication.symmetricKey.primaryKey": KEY,
        "Authentication.SymmetricKey.SecondaryKey": OTHER_KEY,
        "tags.site": "x",
        "tags.place.floor": 1,
        "properties.desired.a": {"b": 1},
    }
    staged, validation = validate_file(ndjson(line))
    assert staged == [
        {
            "id": "a",
            "status": "enabled",
            "authentication": keys(),
            "tags": {"site": "x", "place": {"floor": 1}},
            "properties": {"desired": {"a": {"b": 1}}},
        }
    ]
    assert [(p.field, p.code, p.severity) for p in validation.report.problems] == [
        ("authentication.type", "member-dotted", "info")
    ]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"tags": {"a": 1}, "tags.a": 2}, "tags.a"),
        ({"tags.a": 1, "tags.a.b": 2}, "tags.a.b"),
        ({"authentication": None, "authentication.type": "sas"}, "authentication.type"),
        ({"tags.a": 1, "Tags.a": 2}, "Tags.a"),
    ],
)
def test_contradicting_dotted_names(members: Mapping[str, Any], field: str) -> None:
    assert (field, "json-duplicate-member") in problems_of({**without_authentication(), **members})


@pytest.mark.parametrize("section", ["tags", "attributes", "properties.reported"])
def test_deeply_nested_dotted_names(section: str) -> None:
    deep = {f"{section}.{'a.' * 3000}z": 1}
    assert (section + "." + "a." * 3000 + "z")[:512] in {
        field for field, _ in problems_of(device(**deep))
    }
    value: object = 1
    for _ in range(60):
        value = {"a": value}
    staged, validation = validate_file(ndjson(device(**{f"{section}.a.b.c.d.e": value})))
    assert staged == []
    assert "json-nesting" in validation.report.codes


@pytest.mark.parametrize("secret", [KEY, KEY_OF_64_BYTES, CONNECTION_STRING, SIGNATURE])
@pytest.mark.parametrize(
    ("place", "field"),
    [
        ("id", "id"),
        ("moduleId", "moduleId"),
        ("tag", "tags.a"),
        ("item of a tag", "tags.a.0.b"),
        ("name of a tag", "tags"),
        ("name of a desired property", "properties.desired"),
        ("name of a member", ""),
    ],
)
def test_a_secret_is_an_error_and_never_shown(secret: str, place: str, field: str) -> None:
    line = {
        "id": device(id=secret),
        "moduleId": device(moduleId=secret),
        "tag": device(tags={"a": secret}),
        "item of a tag": device(tags={"a": [{"b": secret}]}),
        "name of a tag": device(tags={secret: 1}),
        "name of a desired property": device(properties={"desired": {secret: 1}}),
        "name of a member": device(**{secret: 1}),
    }[place]
    staged, validation = validate_file(ndjson(line))
    problems = validation.report.problems
    assert staged == []
    assert (field, "secret-misplaced") in [(p.field, p.code) for p in problems]
    shown = "".join(map(repr, problems))
    assert secret not in shown
    assert "bWFkZSB1cA" not in shown


@pytest.mark.parametrize(
    "text",
    [
        *(f"SharedAccessKey={KEY}", f"AccountKey={KEY_OF_64_BYTES}", f"x;key={KEY}"),
        f"https://a.blob.core.windows.net/c?sig={'a%2Fb' * 9}%3D",
    ],
)
def test_a_part_of_a_connection_string_is_a_secret_too(text: str) -> None:
    assert problems_of(device(tags={"a": text})) == [("tags.a", "secret-misplaced")]


@pytest.mark.parametrize("length", [400, 494, 505, 512, 700])
def test_truncated_names_contain_no_partial_key(length: int) -> None:
    name = f"{'a' * length}.{KEY}"
    lines = [device(id=f"{'a ' * (length // 2)}{KEY}"), device(**{name: 1}), device(tags={name: 1})]
    _, validation = validate_file(ndjson(*lines))
    shown = repr(validation.report.problems)
    assert not any(KEY[start : start + 12] in shown for start in range(len(KEY) - 12))


@pytest.mark.parametrize(
    "text",
    [
        "0123456789abcdef" * 4,
        "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        *("a;b&c", "Region=EU;Signature=foo; sig = none", "x=" + "word " * 12),
        "https://example.com/?a=1&b=2",
        KEY[:-1],
    ],
)
def test_text_that_is_not_a_secret(text: str) -> None:
    assert problems_of(device(tags={"a": text})) == []


@pytest.mark.parametrize(
    "device_id",
    [
        *(f"a;sas;{KEY};{OTHER_KEY}", f"dev,{KEY}", f"dev:{KEY_OF_64_BYTES}", f"{KEY} "),
        *(f"pump-{KEY}", f"pump1{KEY}", f"SharedAccessKey={KEY}", f"x_{KEY_OF_16_BYTES}"),
        *(f"{KEY}d5", f"{KEY_OF_64_BYTES}x", f"a{KEY}{OTHER_KEY}"),
    ],
)
def test_an_id_that_contains_a_key(device_id: str) -> None:
    staged, validation = validate_file(ndjson(device(id=device_id)))
    assert staged == []
    assert "secret-misplaced" in validation.report.codes
    assert KEY[:20] not in repr(validation.report.problems)


@pytest.mark.parametrize(
    "column",
    [
        *("authentication/symmetricKey/primaryKey", "primaryKey", "authentication.primaryKey"),
        *("thumbprint", "symmetricKey.secondaryKey", "deviceKey", "connectionString"),
    ],
)
def test_a_csv_column_of_ignored_credentials(column: str) -> None:
    text = f"id,status,{column}\na,enabled,{KEY}\nb,enabled,\n"
    staged, validation = validate_file(text.encode())
    (problem,) = validation.report.problems
    assert staged == []
    assert (problem.line, problem.code) == (1, "credentials-misplaced")
    assert "column 3" in problem.message


def test_a_csv_column_key_may_be_the_key_of_a_row() -> None:
    _, validation = validate_file(b"id,status,importMode,key\na,enabled,create,17\n")
    assert validation.report.codes == {"member-unknown": 1}


@pytest.mark.parametrize("column", ["key", "serial", "auth.a"])
def test_keys_in_an_unknown_csv_column(column: str) -> None:
    text = f"id,status,importMode,{column}\na,enabled,create,17\nb,enabled,create,{KEY}\n"
    staged, validation = validate_file(text.encode())
    assert [line["id"] for line in staged] == ["a"]
    assert (3, "credentials-misplaced") in [(p.line, p.code) for p in validation.report.problems]


@pytest.mark.parametrize("name", [KEY, CONNECTION_STRING])
def test_messages_do_not_contain_names_from_json_cells(name: str) -> None:
    cell = json.dumps(f'{{"{name}":1,"{name}":2}}')[1:-1].replace('\\"', '""')
    _, validation = validate_file(f'id,status,tags:json\na,enabled,"{cell}"\n'.encode())
    assert "csv-json" in validation.report.codes
    assert KEY[:12] not in repr(validation.report.problems)


def test_desired_properties_may_contain_secrets() -> None:
    assert (
        problems_of(device(properties={"desired": {"upload": CONNECTION_STRING, "key": KEY}})) == []
    )
