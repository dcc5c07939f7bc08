"""Twins of devices and modules over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from iothub_emulator import HubEmulator
from tests.emulator.support import HubClient, error_code

PUMP = "/twins/pump"
SENSOR = "/twins/pump/modules/sensor"
PATHS = pytest.mark.parametrize("path", [PUMP, SENSOR], ids=["device", "module"])
METHODS = pytest.mark.parametrize("method", ["GET", "PATCH", "PUT"])
WRITES = pytest.mark.parametrize("method", ["PATCH", "PUT"])
SECTIONS = pytest.mark.parametrize("section", ["tags", "desired"])

NEVER = "0001-01-01T00:00:00Z"
HOUR = 3600.0


@pytest.fixture(autouse=True)
def pump(hub: HubEmulator) -> None:
    hub.registry.put({"id": "pump"})
    hub.registry.put({"id": "pump", "moduleId": "sensor"})


def body_of(section: str, values: Any) -> dict[str, Any]:
    return {"tags": values} if section == "tags" else {"properties": {"desired": values}}


def values_of(twin: dict[str, Any], section: str) -> dict[str, Any]:
    values = twin.get("tags", {}) if section == "tags" else twin["properties"]["desired"]
    return {name: value for name, value in values.items() if not name.startswith("$")}


def send(client: HubClient, method: str, body: Any, path: str = PUMP) -> dict[str, Any]:
    response = client.send(method, path, body)
    assert response.status_code == 200, response.text
    twin: dict[str, Any] = response.json()
    return twin


def desired(twin: dict[str, Any]) -> dict[str, Any]:
    section: dict[str, Any] = twin["properties"]["desired"]
    return section


def stamp_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """Time and version of the last change of a member."""
    return {name: value for name, value in metadata.items() if name.startswith("$")}


def nested(objects: int) -> dict[str, Any]:
    return {"in": nested(objects - 1)} if objects else {"leaf": 1}


def test_a_created_device_has_the_first_version_of_its_twin(
    hub: HubEmulator, client: HubClient
) -> None:
    hub.registry.put({"id": "valve", "tags": {"a": 1}, "properties": {"desired": {"b": 2}}})
    twin = send(client, "GET", None, "/twins/valve")

    assert twin["tags"] == {"a": 1}
    assert (twin["etag"], twin["version"]) == ("AAAAAAAAAAE=", 2)
    changed = {"$lastUpdated": NEVER, "$lastUpdatedVersion": 1}
    assert desired(twin) == {"b": 2, "$version": 1, "$metadata": {**changed, "b": changed}}


def test_twin_shows_the_identity(hub: HubEmulator, client: HubClient) -> None:
    body = {"status": "disabled", "statusReason": "broken"}
    device = client.send("PUT", "/devices/pump", body, headers={"If-Match": "*"}).json()
    twin = send(client, "GET", None)

    assert twin.items() >= body.items()
    assert twin["deviceEtag"] == device["etag"]
    assert twin["statusUpdateTime"] == device["statusUpdatedTime"] != NEVER
    assert twin["authenticationType"] == "sas"
    assert twin["etag"] == "AAAAAAAAAAE=", "the identity has an ETag of its own"
    absent = {"generationId", "connectionStateUpdatedTime", "deviceScope", "parentScopes"}
    assert not absent & twin.keys()
    hub.registry.put({"id": "pump", "moduleId": "sensor"})
    module = hub.registry.get("pump", "sensor")
    assert module is not None
    assert send(client, "GET", None, SENSOR)["deviceEtag"] == module["eTag"]


STORED = {"a": {"x": 1, "y": 2}, "list": [1, 2], "n": 1}
PATCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a null leaf keeps its siblings": ({"a": {"x": None}}, {"a": {"y": 2}}),
    "the last null leaf leaves an object": ({"a": {"x": None, "y": None}}, {"a": {}}),
    "a null object is removed": ({"a": None}, {"a": None}),
    "what is not there is not removed": ({"b": None}, {}),
    "an empty object persists": ({"b": {}}, {"b": {}}),
    "a new object drops its nulls": ({"b": {"c": {"d": None}}}, {"b": {"c": {}}}),
    "an empty object changes nothing": ({"a": {}}, {}),
    "a new leaf joins its siblings": ({"a": {"z": 3}}, {"a": {"x": 1, "y": 2, "z": 3}}),
    "an array is replaced whole": ({"list": [3]}, {"list": [3]}),
    "an array may hold objects": ({"list": [{"a": [1]}]}, {"list": [{"a": [1]}]}),
    "an object replaces a number": ({"n": {"x": 1}}, {"n": {"x": 1}}),
    "a number replaces an object": ({"a": 1}, {"a": 1}),
}


@SECTIONS
@pytest.mark.parametrize(("patch", "changes"), PATCHES.values(), ids=PATCHES)
def test_patch(
    client: HubClient, section: str, patch: dict[str, Any], changes: dict[str, Any]
) -> None:
    send(client, "PATCH", body_of(section, STORED))
    patched = send(client, "PATCH", body_of(section, patch))

    merged = {**STORED, **changes}
    expected = {name: value for name, value in merged.items() if value is not None}
    assert values_of(patched, section) == expected
    assert send(client, "GET", None) == patched


@SECTIONS
@WRITES
@pytest.mark.parametrize(
    ("old", "new"), [(1, True), (False, 0), (1, 1.0)], ids=["true", "zero", "fraction"]
)
def test_values_that_only_python_considers_equal_are_distinguished(
    client: HubClient, method: str, section: str, old: Any, new: Any
) -> None:
    send(client, "PATCH", body_of(section, {"a": old}))
    twin = send(client, method, body_of(section, {"a": new}))

    assert repr(values_of(twin, section)["a"]) == repr(new)
    assert twin["etag"] == "AAAAAAAAAAM="


@PATHS
def test_a_patch_keeps_omitted_members(client: HubClient, path: str) -> None:
    send(client, "PATCH", {"tags": {"a": 1}, "properties": {"desired": {"b": 2}}}, path)
    before = send(client, "GET", None, path)
    after = send(client, "PATCH", {"tags": {"a": 2}}, path)

    assert after["properties"] == before["properties"]
    assert after["tags"] == {"a": 2}
    assert (before["etag"], after["etag"]) == ("AAAAAAAAAAI=", "AAAAAAAAAAM=")
    assert after["version"] == before["version"] + 1


def test_a_patch_stamps_its_members(hub: HubEmulator, client: HubClient) -> None:
    send(client, "PATCH", body_of("desired", {"a": {"x": 1, "y": 1}, "b": {"c": 1}, "d": [1]}))
    hub.clock.advance(HOUR)
    section = desired(send(client, "PATCH", body_of("desired", {"a": {"x": 2}, "d": [2]})))

    metadata = section["$metadata"]
    old, new = stamp_of(metadata["b"]), stamp_of(metadata)
    assert old["$lastUpdated"] < new["$lastUpdated"]
    assert (old["$lastUpdatedVersion"], new["$lastUpdatedVersion"]) == (2, 3)
    assert section["$version"] == 3
    assert metadata == {
        **new,
        "a": {**new, "x": new, "y": old},
        "b": {**old, "c": old},
        "d": new,
    }


def test_removed_or_replaced_members_lose_their_metadata(
    hub: HubEmulator, client: HubClient
) -> None:
    send(client, "PATCH", body_of("desired", {"a": {"x": 1}, "b": 1, "c": {"y": 1}}))
    hub.clock.advance(HOUR)
    patch = body_of("desired", {"a": 1, "b": None, "c": {"y": None}})
    metadata = desired(send(client, "PATCH", patch))["$metadata"]

    stamp = stamp_of(metadata)
    assert metadata == {**stamp, "a": stamp, "c": stamp}


def test_a_patch_with_equal_values_is_a_change(client: HubClient) -> None:
    """See azure-iot-sdk-csharp#954: repeating a patch is another change."""
    twins = [
        send(client, "PATCH", body_of("desired", patch))
        for patch in ({"a": 1}, {"a": 1}, {"b": None}, {}, {"a": 1})
    ]

    assert [desired(twin)["$version"] for twin in twins] == [2, 3, 3, 3, 4]
    assert [twin["version"] for twin in twins] == [3, 4, 4, 4, 5]


def test_members_owned_by_the_hub_are_not_patched(client: HubClient) -> None:
    patch = {"a": 1, "$version": 9, "$metadata": {"$lastUpdated": "2001-01-01T00:00:00Z"}}
    section = desired(send(client, "PATCH", body_of("desired", patch)))

    assert (section["a"], section["$version"]) == (1, 2)
    assert section["$metadata"]["$lastUpdated"] > "2001-01-02"


@PATHS
def test_put_removes_omitted_members(client: HubClient, path: str) -> None:
    send(client, "PATCH", {"tags": {"a": 1}, "properties": {"desired": {"b": 2, "c": 3}}}, path)
    replaced = send(client, "PUT", body_of("desired", {"c": {"d": []}}), path)

    assert "tags" not in replaced
    assert values_of(replaced, "desired") == {"c": {"d": []}}
    metadata = desired(replaced)["$metadata"]
    stamp = stamp_of(metadata)
    assert metadata == {**stamp, "c": {**stamp, "d": stamp}}
    assert stamp["$lastUpdatedVersion"] == desired(replaced)["$version"] == 3
    assert send(client, "GET", None, path) == replaced


@SECTIONS
@pytest.mark.parametrize("values", [{"a": None}, {"a": {"b": None}}], ids=["top", "nested"])
def test_put_rejects_null(client: HubClient, section: str, values: dict[str, Any]) -> None:
    rejected = client.send("PUT", PUMP, body_of(section, values))

    assert error_code(rejected) == (400, "ArgumentInvalid")
    assert send(client, "GET", None)["version"] == 2


@PATHS
@WRITES
@pytest.mark.parametrize("form", [None, "*", "{}", '"{}"'], ids=["none", "any", "bare", "quoted"])
def test_if_match_is_optional(client: HubClient, method: str, path: str, form: str | None) -> None:
    etag = send(client, "PATCH", {"tags": {"a": 1}}, path)["etag"]
    headers = {} if form is None else {"If-Match": form.format(etag)}
    response = client.send(method, path, {"tags": {"a": 2}}, headers=headers)

    assert response.status_code == 200
    assert response.json()["etag"] != etag
    assert "ETag" not in response.headers, "unlike for a device (live hub)"


@PATHS
@WRITES
def test_a_stale_etag_changes_nothing(client: HubClient, method: str, path: str) -> None:
    stale = send(client, "GET", None, path)["etag"]
    before = send(client, "PATCH", {"tags": {"a": 1}}, path)
    rejected = client.send(method, path, {"tags": {"a": 2}}, headers={"If-Match": f'"{stale}"'})

    assert error_code(rejected) == (412, "PreconditionFailed")
    assert send(client, "GET", None, path) == before


BROKEN: dict[str, tuple[Any, str]] = {
    "syntax": ("{", "GenericBadRequest"),
    "array": ([], "GenericBadRequest"),
    "number for tags": ({"tags": 5}, "GenericBadRequest"),
    "array for desired": (body_of("desired", []), "GenericBadRequest"),
    "point in a name": (body_of("tags", {"a.b": 1}), "ArgumentInvalid"),
    "hash in a name": (body_of("tags", {"a": {"#": 1}}), "ArgumentInvalid"),
    "null in an array": (body_of("desired", {"a": [None]}), "ArgumentInvalid"),
    "integer of 53 bits": (body_of("desired", {"a": 2**52}), "ArgumentInvalid"),
    "long text": (body_of("desired", {"a": "x" * 4097}), "ArgumentInvalid"),
    "depth": (body_of("desired", nested(11)), "ArgumentInvalid"),
    "8 KB": (body_of("tags", dict.fromkeys("ab", "x" * 4096)), "ArgumentInvalid"),
    "32 KB": (body_of("desired", dict.fromkeys("abcdefgh", "x" * 4096)), "ArgumentInvalid"),
}


@WRITES
@pytest.mark.parametrize(("body", "code"), BROKEN.values(), ids=BROKEN)
def test_invalid_twins(client: HubClient, method: str, body: Any, code: str) -> None:
    assert error_code(client.send(method, PUMP, body)) == (400, code)
    assert send(client, "GET", None)["version"] == 2


@WRITES
def test_the_largest_twin(client: HubClient, method: str) -> None:
    values = {"": -(2**52), "ü": 2**52 - 1, "text": "x" * 4096, **nested(10)}
    twin = send(client, method, {"tags": values, "properties": {"desired": values}})

    assert values_of(twin, "tags") == values_of(twin, "desired") == values


@METHODS
@pytest.mark.parametrize(
    "path",
    ["/twins/nobody", "/twins/pump/modules/nothing", "/twins/nobody/modules/nothing"],
    ids=["device", "module", "both"],
)
def test_a_missing_twin_returns_device_not_found(client: HubClient, method: str, path: str) -> None:
    """For modules too, and not 401 under a SAS as for their identities (live hub)."""
    assert error_code(client.send(method, path, {})) == (404, "DeviceNotFound")


@METHODS
def test_the_twin_of_a_module_of_a_disabled_device(
    hub: HubEmulator, client: HubClient, method: str
) -> None:
    hub.registry.put({"id": "pump", "status": "disabled"})

    assert client.send(method, SENSOR, {"tags": {"a": 1}}).status_code == 200


@PATHS
@pytest.mark.parametrize(
    ("policy", "is_allowed"),
    [("service", True), ("registryReadWrite", False), ("device", False)],
)
def test_rights_of_policies(hub: HubEmulator, path: str, policy: str, is_allowed: bool) -> None:
    client = HubClient(hub.connection_string(policy))
    for method in ("GET", "PATCH", "PUT"):
        response = client.send(method, path, {})
        assert response.status_code == (200 if is_allowed else 401)


@PATHS
@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("IoT Hub Twin Contributor", {"GET", "PATCH", "PUT"}),
        ("IoT Hub Data Reader", {"GET"}),
        ("IoT Hub Registry Contributor", set()),
    ],
)
def test_rights_of_roles(
    hub: HubEmulator, client: HubClient, path: str, role: str, allowed: set[str]
) -> None:
    hub.assign_role("someone", role)
    headers = {"Authorization": f"Bearer {hub.token('someone')}"}
    for method in ("GET", "PATCH", "PUT"):
        response = client.send(method, path, {}, headers=headers)
        assert response.status_code == (200 if method in allowed else 401)
