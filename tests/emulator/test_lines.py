"""Parsing and rejection of single lines."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from iothub_emulator import HubEmulator
from iothub_emulator.registry.registry import Registry
from tests.emulator.support import HubClient, JobContainer, Line, RunImport, codes, stored

KEY = base64.b64encode(b"k" * 32).decode()
SHA1, SHA256 = "A1" * 20, "b2" * 32


def device(**members: Any) -> dict[str, Any]:
    return {"id": "pump", "status": "enabled", **members}


def keys(primary: str | None, secondary: str | None, **authentication: Any) -> dict[str, Any]:
    symmetric = {"primaryKey": primary, "secondaryKey": secondary}
    return device(authentication={"symmetricKey": symmetric, **authentication})


def thumbprints(
    primary: str, secondary: str | None = None, **authentication: Any
) -> dict[str, Any]:
    x509 = {"primaryThumbprint": primary, "secondaryThumbprint": secondary}
    return device(authentication={"x509Thumbprint": x509, **authentication})


def key_of(length: int) -> str:
    return base64.b64encode(b"k" * length).decode()


def test_unknown_enum_value_is_reported_like_the_published_log(run_import: RunImport) -> None:
    raw = '{"id":"pump", "status":"Enabled","authentication":{"type":"SELF_SIGNED"}}'
    [line] = run_import(raw)

    position = raw.index("SELF_SIGNED") + len("SELF_SIGNED") + 1
    dotnet_type = "System.Nullable`1[Microsoft.Azure.Devices.Cloud.AuthenticationType]"
    assert line == {
        "errorCode": 400012,
        "errorStatus": (
            f"Invalid device format in line: {raw}. Error converting value "
            f"\"SELF_SIGNED\" to type '{dotnet_type}'. "
            f"Path 'authentication.type', line 1, position {position}."
        ),
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('{"id":"pump"}', "Required property 'status' not found in JSON. Path '', line 1"),
        ('{"status":"enabled"}', "Required property 'id' not found in JSON."),
        ('{"id":"p","authentication":{"type":"SELF_SIGNED"}}', "Path 'authentication.type'"),
        ('{"id":"p","tags":[]}', "Path 'tags'"),
        ('{"id":"pump","status":null}', "Required property 'status' expects a value but got null."),
        ('{"deviceId":"pump","status":"enabled"}', "Required property 'id' not found"),
        ('{"id":"p","status":"enabled","importMode":"upsert"}', "Path 'importMode', line 1"),
        ('{"id":["p"],"status":"enabled"}', "Unexpected character encountered"),
        ('{"id":"p","status":"enabled","tags":1}', "Path 'tags'"),
        ('{"id":"p","status":"enabled","capabilities":{"iotEdge":"yes"}}', "capabilities.iotEdge"),
        ('{"id":"p","status":"enabled","parentScopes":[{}]}', "Path 'parentScopes', line 1"),
        ('{"id":"p",', "Unexpected end when deserializing object."),
        ("The keys were left out of this export.", "while parsing value: T. Path ''"),
        ('[{"id":"p","status":"enabled"}]', "Cannot deserialize the current JSON array"),
        ("[" * 100_000, "Invalid device format in line"),
        ('{"id":"p","status":"enabled","x":' + "1" * 5000 + "}", "Invalid device format in line"),
    ],
)
def test_unreadable_lines(run_import: RunImport, raw: str, reason: str) -> None:
    [line] = run_import(raw)

    assert line["errorCode"] == 400012
    assert "deviceId" not in line
    assert line["errorStatus"].startswith(f"Invalid device format in line: {raw}. ")
    assert reason in line["errorStatus"]


@pytest.mark.parametrize("raw", ["null", "undefined", '""', "// a comment", "/**/", "\0"])
def test_lines_without_a_device_are_skipped_like_blank_ones(
    registry: Registry, run_import: RunImport, raw: str
) -> None:
    assert run_import(raw) == []
    assert len(registry) == 0


@pytest.mark.parametrize(
    "raw",
    [
        '{"ID":"pump","STATUS":"ENABLED","ImportMode":"CREATE"}',
        '{"id":"pump","status":"enabled","thumbprint":"no such member","extra":{"a":[null]}}',
        '{"id":"old","id":"pump","status":"enabled"}',
        '{"id":"pump","status":"enabled","moduleId":null,"authentication":null,"tags":null}',
        '\t {"id" : "pump" , "status" : "enabled"} ',
    ],
)
def test_lenient_parsing(registry: Registry, run_import: RunImport, raw: str) -> None:
    assert run_import(raw) == []
    assert stored(registry, "pump")


def test_byte_order_mark_blank_lines_and_crlf(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    job_container.write_bytes(
        b"\xef\xbb\xbf"
        b'{"id":"a","status":"enabled"}\r\n\r\n  \n'
        b'{"id":"b","status":"enabled","tags":{"t":"\xe2\x80\xa8"}}\n'
    )
    assert client.create_job(job_container.request()).status_code == 200
    hub.wait_idle(timeout=10)

    assert job_container.log() == []
    assert len(hub.registry) == 2
    assert stored(hub.registry, "b")["tags"] == {"t": "\N{LINE SEPARATOR}"}


@pytest.mark.parametrize(
    "line",
    [
        device(status=7),
        device(importMode="99"),
        device(authentication={"type": -1}),
        device(id=""),
        device(id="a b"),
        device(id="a/b"),
        device(id="pump\n"),
        device(id="püm"),
        device(id="p" * 129),
        device(moduleId="$mine"),
        device(moduleId="a b"),
        device(statusReason="r" * 129),
        device(authentication={"type": "none"}),
        keys(KEY, None),
        keys(None, KEY),
        keys(key_of(15), KEY),
        keys(KEY, key_of(65)),
        keys("not base64", KEY),
        keys("nicht Base64: ü", KEY),
        keys(KEY, KEY, type="selfSigned"),
        keys(KEY, KEY, type="certificateAuthority"),
        keys(KEY, KEY, x509Thumbprint={"primaryThumbprint": SHA1}),
        thumbprints("A1" * 19),
        thumbprints("G1" * 20),
        thumbprints(":".join(["A1"] * 20)),
        thumbprints(SHA1, SHA256),
        thumbprints(SHA1, type="sas"),
        device(tags={"a.b": 1}),
        device(tags={"n" * 1025: 1}),
        device(tags={"a": "x" * 4097}),
        device(tags={"a": 2**52}),
        device(tags={"a": [None]}),
        device(tags={str(n): "x" * 4000 for n in range(3)}),
        device(properties={"desired": {str(n): "x" * 4000 for n in range(9)}}),
        device(properties={"desired": {"$other": 1}}),
    ],
    ids=lambda line: json.dumps(line)[:60],
)
def test_lines_that_break_a_rule(registry: Registry, run_import: RunImport, line: Line) -> None:
    if "moduleId" in line:
        registry.put({"id": "pump"})
    before = len(registry)
    [rejected] = run_import(line)

    assert rejected["errorCode"] == 400004
    assert rejected["deviceId"] == line["id"]
    assert len(registry) == before


def test_system_modules_are_rejected(registry: Registry, run_import: RunImport) -> None:
    registry.put({"id": "pump"})

    assert codes(run_import(device(moduleId="$edgeAgent"))) == [401100]


@pytest.mark.parametrize(
    ("line", "stored_type"),
    [
        (device(), "sas"),
        (keys(None, None, type="sas"), "sas"),
        (keys(key_of(16), key_of(64)), "sas"),
        (keys(KEY, KEY, x509Thumbprint={"primaryThumbprint": None}), "sas"),
        (thumbprints(SHA1), "selfSigned"),
        (thumbprints(SHA256, SHA256.upper(), type="selfSigned"), "selfSigned"),
        (thumbprints(SHA1, ""), "selfSigned"),
        (device(authentication={"type": "selfSigned"}), "selfSigned"),
        (device(authentication={"type": "CertificateAuthority"}), "certificateAuthority"),
    ],
)
def test_credentials(
    registry: Registry, run_import: RunImport, line: Line, stored_type: str
) -> None:
    assert run_import(line) == []

    authentication = stored(registry, "pump")["authentication"]
    assert authentication["type"] == stored_type
    declared = line.get("authentication", {}).get("symmetricKey", {}).get("primaryKey")
    if declared:
        assert authentication["symmetricKey"]["primaryKey"] == declared
    generated = authentication["symmetricKey"]["primaryKey"]
    assert (generated is not None) == (stored_type == "sas")


def test_modules_store_sas_for_none(registry: Registry, run_import: RunImport) -> None:
    registry.put({"id": "pump"})

    assert run_import(device(moduleId="m", authentication={"type": "none"})) == []
    assert stored(registry, "pump", "m")["authentication"]["type"] == "sas"


@pytest.mark.parametrize(("names", "accepted"), [(11, True), (12, False)])
def test_twin_depth(run_import: RunImport, names: int, accepted: bool) -> None:
    tags: object = 1
    for _ in range(names):
        tags = {"n": tags}

    assert codes(run_import(device(tags=tags))) == ([] if accepted else [400004])


@pytest.mark.parametrize(("depth", "code"), [(50, 400004), (100, 400012)])
def test_arrays_nested_too_deep(run_import: RunImport, depth: int, code: int) -> None:
    """For a twin, or even for Json.NET."""
    arrays = "[" * depth + "]" * depth
    deep = f'{{"id":"pump","status":"enabled","tags":{{"a":{arrays}}}}}'

    assert codes(run_import(deep)) == [code]


def test_twin_metadata_is_not_stored(registry: Registry, run_import: RunImport) -> None:
    desired = {"a": 1, "$metadata": {"$lastUpdated": "2026-01-01"}, "$version": 7}

    assert run_import(device(properties={"desired": desired})) == []
    assert stored(registry, "pump")["properties"]["desired"] == {"a": 1}


def test_edge_scopes(registry: Registry, run_import: RunImport) -> None:
    edge = device(id="gateway", capabilities={"iotEdge": True}, deviceScope="mine")
    assert run_import(edge) == []
    scope = stored(registry, "gateway")["deviceScope"]
    assert scope.startswith("ms-azure-iot-edge://gateway-")

    leaf = device(deviceScope=scope, parentScopes=["ignored"])
    assert run_import(edge, leaf) == []
    assert stored(registry, "gateway")["deviceScope"] == scope, "it never changes"
    assert stored(registry, "pump")["parentScopes"] == [scope]
