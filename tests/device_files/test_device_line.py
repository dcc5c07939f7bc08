"""Rules of a single line, with valid and invalid values at each limit."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from shared.device_files.lines.values import ImportMode
from tests.device_files.support import (
    KEY,
    OTHER_KEY,
    device,
    keys,
    ndjson,
    problems,
    validate_file,
)

SHA1, SHA256 = "0123456789abcdefABCD" * 2, "0123456789abcdef" * 4
SCOPE = "ms-azure-iot-edge://gateway-637107633862345678"
MODES = [mode.value for mode in ImportMode]


def key(size: int) -> str:
    return base64.b64encode(b"k" * size).decode()


def x509(primary: object, secondary: object = None, kind: object = "selfSigned") -> dict[str, Any]:
    return {
        "type": kind,
        "x509Thumbprint": {"primaryThumbprint": primary, "secondaryThumbprint": secondary},
    }


def without(member: str, **members: object) -> dict[str, Any]:
    return {name: value for name, value in device(**members).items() if name != member}


FULL: Mapping[str, Any] = {
    **device(),
    "eTag": "ODAxMjMyNDI2",
    "importMode": "createOrUpdate",
    "statusReason": "new",
    "twinETag": "AAAAAAAAAAE=",
    "tags": {"site": "east", "": [1, 2.5, True, {"deep": "er"}]},
    "properties": {
        "desired": {"interval": 30, "$metadata": {"$lastUpdated": "2026"}, "$version": 4},
        "reported": {"$metadata": {}, "any.thing": None},
    },
    "capabilities": {"iotEdge": True},
    "deviceScope": SCOPE,
    "parentScopes": [SCOPE],
}

#: As in exports: both kinds of credentials, the unused one null.
EXPORTED: tuple[Mapping[str, Any], ...] = (
    {
        "id": "exported",
        "eTag": "MTIzNDU2",
        "status": "enabled",
        "statusReason": None,
        "authentication": {
            "symmetricKey": {"primaryKey": KEY, "secondaryKey": OTHER_KEY},
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
            "type": "sas",
        },
        "twinETag": "AAAAAAAAAAE=",
        "tags": {},
        "properties": {"desired": {"$version": 1}, "reported": {"$version": 1}},
        "capabilities": {"iotEdge": False},
    },
    {
        "id": "exported-ca",
        "status": "disabled",
        "authentication": {
            "symmetricKey": {"primaryKey": None, "secondaryKey": None},
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
            "type": "certificateAuthority",
        },
        "tags": None,
        "properties": None,
        "capabilities": None,
    },
    {
        "id": "exported-x509",
        "status": "enabled",
        "authentication": {
            "symmetricKey": {"primaryKey": None, "secondaryKey": ""},
            "x509Thumbprint": {"primaryThumbprint": SHA1, "secondaryThumbprint": ""},
            "type": "selfSigned",
        },
    },
)


@pytest.mark.parametrize(
    "line",
    [
        FULL,
        *EXPORTED,
        device(id="x"),
        device(id="x" * 128),
        device(id="A-.%_*?!(),=@$'9"),
        device(moduleId=None),
        device(status="disabled"),
        *(device(importMode=mode) for mode in ("createOrUpdate", "create", "update", "delete")),
        *(device(importMode=mode, eTag="x") for mode in MODES if mode.endswith("deIfMatchETag")),
        device(importMode="updateIfMatchETag", eTag="x"),
        device(importMode="deleteIfMatchETag", eTag="x"),
        device(importMode="createOrUpdateIfMatchETag", eTag="x"),
        device(importMode="updateTwin", tags={"a": None}),
        device(importMode="updateTwin", properties={"desired": {}}),
        device(importMode="updateTwinIfMatchETag", twinETag="x", tags={}),
        device(statusReason="ä" * 128),
        device(authentication=keys(key(16), key(64))),
        device(authentication={"symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}),
        device(authentication=x509(SHA1)),
        device(authentication=x509(SHA256, SHA256)),
        device(authentication=x509(SHA1, kind=None)),
        device(authentication={"type": "certificateAuthority"}),
        without("authentication", importMode="create"),
        without("authentication", importMode="delete"),
        device(importMode="create", authentication={"type": "sas"}),
        device(deviceScope=""),
        device(parentScopes=[]),
        device(parentScopes=[SCOPE], capabilities={"iotEdge": True}),
        device(parentScopes=[SCOPE], deviceScope=SCOPE),
    ],
)
def test_no_problems(line: Mapping[str, Any]) -> None:
    assert problems(line) == []


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        (without("id"), "id", "id-missing"),
        (device(id=None), "id", "id-missing"),
        (device(id=""), "id", "id-length"),
        (device(id="x" * 129), "id", "id-length"),
        (device(id="pump 1"), "id", "id-characters"),
        (device(id="pump\n"), "id", "id-characters"),
        (device(id="pümp"), "id", "id-characters"),
        (device(id="a/b"), "id", "id-characters"),
        (device(id=7), "id", "member-type"),
        (device(moduleId=""), "moduleId", "module-id-length"),
        (device(moduleId="x" * 129), "moduleId", "module-id-length"),
        (device(moduleId="a b"), "moduleId", "module-id-characters"),
        (device(moduleId=7), "moduleId", "member-type"),
        (device(moduleId="$edgeAgent", importMode="delete"), "moduleId", "module-id-reserved"),
        (without("status"), "status", "status-missing"),
        (without("status", importMode="delete"), "status", "status-missing"),
        (device(status=None), "status", "status-missing"),
        (device(status="on"), "status", "status-invalid"),
        (device(status=1), "status", "status-invalid"),
        (device(status=["enabled"]), "status", "status-invalid"),
        (device(statusReason="x" * 129), "statusReason", "status-reason-length"),
        (device(statusReason=KEY), "statusReason", "secret-misplaced"),
        (device(statusReason=1), "statusReason", "member-type"),
        (device(importMode="upsert"), "importMode", "import-mode-invalid"),
        (device(importMode=0), "importMode", "import-mode-invalid"),
        (device(importMode={}), "importMode", "import-mode-invalid"),
        (device(importMode="updateIfMatchETag"), "eTag", "etag-missing"),
        (device(importMode="createOrUpdateIfMatchETag", eTag=""), "eTag", "etag-missing"),
        (device(importMode="deleteIfMatchETag", twinETag="x"), "eTag", "etag-missing"),
        (
            device(importMode="updateTwinIfMatchETag", eTag="x", tags={}),
            "twinETag",
            "twin-etag-missing",
        ),
        (device(importMode="updateTwin"), "tags", "twin-missing"),
        (device(eTag=1), "eTag", "member-type"),
        (device(twinETag={}), "twinETag", "member-type"),
        (device(authentication=[]), "authentication", "member-type"),
        (
            device(authentication={"type": "SELF_SIGNED"}),
            "authentication.type",
            "authentication-type-invalid",
        ),
        (
            device(authentication={"type": 1}),
            "authentication.type",
            "authentication-type-invalid",
        ),
        (
            device(authentication={"type": "none"}),
            "authentication.type",
            "authentication-type-none",
        ),
        (
            device(authentication={"type": "sas", "symmetricKey": []}),
            "authentication.symmetricKey",
            "member-type",
        ),
        (device(authentication=keys(1)), "authentication.symmetricKey.primaryKey", "member-type"),
        (
            device(authentication=keys(KEY, None)),
            "authentication.symmetricKey.secondaryKey",
            "key-missing",
        ),
        (
            device(authentication=keys("", KEY)),
            "authentication.symmetricKey.primaryKey",
            "key-missing",
        ),
        (
            device(authentication=keys(key(15), KEY)),
            "authentication.symmetricKey.primaryKey",
            "key-length",
        ),
        (
            device(authentication=keys(KEY, key(65))),
            "authentication.symmetricKey.secondaryKey",
            "key-length",
        ),
        (
            device(authentication=keys(KEY, KEY[:-1])),
            "authentication.symmetricKey.secondaryKey",
            "key-encoding",
        ),
        (
            device(authentication=keys(KEY, KEY.replace("b", "-"))),
            "authentication.symmetricKey.secondaryKey",
            "key-encoding",
        ),
        (
            device(authentication=keys(KEY, "ä" * 44)),
            "authentication.symmetricKey.secondaryKey",
            "key-encoding",
        ),
        (
            device(authentication={**x509(SHA1), **keys()}),
            "authentication",
            "authentication-conflict",
        ),
        (
            device(authentication={**keys(), "type": "selfSigned"}),
            "authentication.type",
            "authentication-conflict",
        ),
        (
            device(authentication={**keys(), "type": "certificateAuthority"}),
            "authentication.type",
            "authentication-conflict",
        ),
        (
            device(authentication=x509(SHA1, kind="sas")),
            "authentication.type",
            "authentication-conflict",
        ),
        (
            device(authentication=x509(SHA1[:-1])),
            "authentication.x509Thumbprint.primaryThumbprint",
            "thumbprint-invalid",
        ),
        (
            device(authentication=x509(SHA1 + "0")),
            "authentication.x509Thumbprint.primaryThumbprint",
            "thumbprint-invalid",
        ),
        (
            device(authentication=x509(SHA256[:-1])),
            "authentication.x509Thumbprint.primaryThumbprint",
            "thumbprint-invalid",
        ),
        (
            device(authentication=x509(SHA256 + "0")),
            "authentication.x509Thumbprint.primaryThumbprint",
            "thumbprint-invalid",
        ),
        (
            device(authentication=x509(SHA1[:-1] + "g")),
            "authentication.x509Thumbprint.primaryThumbprint",
            "thumbprint-invalid",
        ),
        (
            device(authentication=x509(":".join([SHA1[:2]] * 20))),
            "authentication.x509Thumbprint.primaryThumbprint",
            "thumbprint-invalid",
        ),
        (
            device(authentication=x509(SHA1, SHA256)),
            "authentication.x509Thumbprint.secondaryThumbprint",
            "thumbprint-lengths",
        ),
        (
            device(authentication=x509(None, SHA1)),
            "authentication.x509Thumbprint.primaryThumbprint",
            "thumbprint-primary-missing",
        ),
        (device(capabilities={"iotEdge": "true"}), "capabilities.iotEdge", "member-type"),
        (device(capabilities=True), "capabilities", "member-type"),
        (device(deviceScope=1), "deviceScope", "member-type"),
        (device(parentScopes=SCOPE), "parentScopes", "member-type"),
        (
            device(parentScopes=[1], capabilities={"iotEdge": True}),
            "parentScopes.0",
            "member-type",
        ),
        (
            device(parentScopes=[SCOPE, SCOPE], deviceScope=SCOPE),
            "parentScopes",
            "parent-scopes-count",
        ),
        (device(tags=[]), "tags", "member-type"),
        (device(properties=[]), "properties", "member-type"),
        (device(properties={"desired": "x"}), "properties.desired", "member-type"),
        (device(properties={"reported": 1}), "properties.reported", "member-type"),
    ],
)
def test_an_error(line: Mapping[str, Any], field: str, code: str) -> None:
    staged, validation = validate_file(ndjson(device(id="first"), line))
    assert [kept["id"] for kept in staged] == ["first"]
    errors = [problem for problem in validation.report.problems if problem.severity == "error"]
    assert [(problem.line, problem.field, problem.code) for problem in errors] == [(2, field, code)]


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        (device(id="a:b"), "id", "id-unusual"),
        (device(id="a;b+#"), "id", "id-unusual"),
        (device(moduleId="a:b", importMode="update"), "moduleId", "module-id-unusual"),
        (device(moduleId="m"), "moduleId", "module-without-device"),
        (device(deviceId="pump-1"), "deviceId", "member-unknown"),
        (device(thumbprint=None), "thumbprint", "member-unknown"),
        (device(thumbprint=SHA1, importMode="delete"), "thumbprint", "member-unknown"),
        (device(key="row-17"), "key", "member-unknown"),
        (device(**{"$type": "Fleet.Device, Fleet"}), "$type", "member-unknown"),
        (device(capabilities={"$id": "3"}), "capabilities.$id", "member-unknown"),
        (
            device(authentication={**keys(), "x509": {}}),
            "authentication.x509",
            "member-unknown",
        ),
        (device(generationId="1"), "generationId", "member-of-the-hub"),
        (device(ConnectionState="Connected"), "ConnectionState", "member-of-the-hub"),
        (device(Tags={}), "Tags", "member-case"),
        (device(etag="x"), "etag", "member-case"),
        (device(properties={"Desired": {}}), "properties.Desired", "member-case"),
        (device(status="Enabled"), "status", "value-case"),
        (device(importMode="createorupdate"), "importMode", "value-case"),
        (device(authentication={**keys(), "type": "SAS"}), "authentication.type", "value-case"),
        (without("authentication"), "authentication", "authentication-missing"),
        (device(authentication=None), "authentication", "authentication-missing"),
        (device(authentication={"type": "sas"}), "authentication", "authentication-missing"),
        (
            device(authentication=keys(None, ""), importMode="update"),
            "authentication",
            "authentication-missing",
        ),
        (
            device(authentication=None, importMode="updateIfMatchETag", eTag="x"),
            "authentication",
            "authentication-missing",
        ),
        (
            device(moduleId="m", authentication={"type": "none"}, importMode="updateTwin", tags={}),
            "authentication.type",
            "module-authentication-none",
        ),
        (
            device(authentication={"type": "selfSigned"}),
            "authentication.x509Thumbprint.primaryThumbprint",
            "thumbprint-missing",
        ),
        (device(deviceScope="gateway"), "deviceScope", "device-scope-form"),
        (device(parentScopes=[SCOPE]), "parentScopes", "parent-scopes-ignored"),
    ],
)
def test_a_warning(line: Mapping[str, Any], field: str, code: str) -> None:
    _, validation = validate_file(ndjson(line))
    report = validation.report
    assert [(p.field, p.code, p.severity) for p in report.problems] == [(field, code, "warning")]
    assert report.valid == 1


def test_a_property_next_to_an_id_is_user_data() -> None:
    for line, expected in ((device(name="Pump"), "tags"), (without("id", name="Pump"), "mean id?")):
        _, validation = validate_file(ndjson(line))
        (problem,) = [p for p in validation.report.problems if p.field == "name"]
        assert expected in problem.message


def test_all_problems_of_a_line_in_a_stable_order() -> None:
    line = {
        "id": "",
        "status": "on",
        "importMode": "x",
        "surprise": 1,
        "authentication": keys("short", None),
        "tags": {"a b": [None], "n": 2**60},
    }
    expected = [
        (1, "surprise", "member-unknown"),
        (1, "id", "id-length"),
        (1, "importMode", "import-mode-invalid"),
        (1, "status", "status-invalid"),
        (1, "authentication.symmetricKey.primaryKey", "key-encoding"),
        (1, "authentication.symmetricKey.secondaryKey", "key-missing"),
        (1, "authentication", "authentication-missing"),
        (1, "tags.a b", "twin-key-characters"),
        (1, "tags.a b.0", "twin-null-in-array"),
        (1, "tags.n", "twin-integer-range"),
    ]
    assert sorted(problems(line)) == sorted(expected)
    assert problems(line) == problems(line)
