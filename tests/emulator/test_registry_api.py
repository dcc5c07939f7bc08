"""Devices over HTTP, and statistics."""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from urllib.parse import quote

import pytest
import requests

from iothub_emulator import HubEmulator
from iothub_emulator.registry.registry import Limits
from tests.emulator.support import DEADLINE, HubClient, StartHub, error_code, stored, zoned


def if_match(etag: str) -> dict[str, str]:
    return {"If-Match": etag}


def test_create_and_get(client: HubClient) -> None:
    created = client.send("PUT", "/devices/pump", {"deviceId": "pump", "status": "disabled"})

    assert created.status_code == 200
    device = created.json()
    assert device["status"] == "disabled"
    assert device["authentication"]["type"] == "sas"
    assert device["authentication"]["symmetricKey"]["primaryKey"]
    assert created.headers["ETag"] == f'"{device["etag"]}"'
    got = client.send("GET", "/devices/pump")
    assert got.json() == zoned(device)
    assert got.headers["ETag"] == created.headers["ETag"]


def test_create_of_an_existing_device(client: HubClient) -> None:
    etag = client.send("PUT", "/devices/pump", {}).json()["etag"]
    response = client.send("PUT", "/devices/pump", {"etag": etag})

    assert error_code(response) == (409, "DeviceAlreadyExists")
    assert response.json()["Message"] == (
        "ErrorCode:DeviceAlreadyExists;A device with ID 'pump' is already registered."
    )


@pytest.mark.parametrize("form", ["*", "{}", '"{}"'])
def test_update_with_if_match(client: HubClient, form: str) -> None:
    before = client.send("PUT", "/devices/pump", {}).json()
    header = if_match(form.format(before["etag"]))
    updated = client.send("PUT", "/devices/pump", {"status": "disabled"}, headers=header)

    assert updated.status_code == 200
    assert updated.json()["status"] == "disabled"
    assert updated.json()["authentication"] != before["authentication"], "keys are minted again"
    assert updated.json()["generationId"] == before["generationId"]


def test_rejected_updates(client: HubClient) -> None:
    missing = client.send("PUT", "/devices/pump", {}, headers=if_match("*"))
    assert error_code(missing) == (404, "DeviceNotFound")
    client.send("PUT", "/devices/pump", {})
    stale = client.send("PUT", "/devices/pump", {}, headers=if_match("stale"))
    assert error_code(stale) == (412, "PreconditionFailed")
    empty = client.send("PUT", "/devices/pump", {}, headers=if_match('""'))
    assert error_code(empty) == (409, "DeviceAlreadyExists")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/devices/pump", "{", "GenericBadRequest"),
        ("/devices/pump", {"status": "sleepy"}, "GenericBadRequest"),
        ("/devices/pump", {"deviceId": "other"}, "ArgumentInvalid"),
        ("/devices/a%20b", {}, "ArgumentInvalid"),
        ("/devices/pump", {"authentication": {"type": "none"}}, "ArgumentInvalid"),
    ],
)
def test_invalid_devices(
    hub: HubEmulator, client: HubClient, path: str, body: Any, code: str
) -> None:
    assert error_code(client.send("PUT", path, body)) == (400, code)
    assert len(hub.registry) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\xef\xbb\xbf{}", 200), (b'{"statusReason": "\xff"}', 200), (b"\xff", 400)],
    ids=["byte order mark", "no UTF-8 in a text", "no UTF-8"],
)
def test_bodies_are_parsed_as_by_dotnet(client: HubClient, body: bytes, status: int) -> None:
    response = requests.put(
        f"http://{client.host}/devices/pump?api-version=2021-04-12",
        data=body,
        headers={"Authorization": client.token()},
        timeout=DEADLINE,
    )

    assert response.status_code == status
    if b"statusReason" in body:
        assert response.json()["statusReason"] == "\N{REPLACEMENT CHARACTER}"


def test_the_time_of_the_status_is_that_of_its_last_change(
    hub: HubEmulator, client: HubClient
) -> None:
    def put(status: str) -> str:
        hub.clock.advance(3600)
        device = client.send("PUT", "/devices/pump", {"status": status}, headers=if_match("*"))
        updated: str = device.json()["statusUpdatedTime"]
        return updated

    created = client.send("PUT", "/devices/pump", {"status": "enabled"}).json()
    assert created["statusUpdatedTime"] == "0001-01-01T00:00:00"
    never = "0001-01-01T00:00:00Z"
    assert put("enabled") == never
    disabled = put("disabled")
    assert disabled == put("disabled") > never
    assert put("enabled") > disabled


def test_delete(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "pump"})
    hub.registry.put({"id": "pump", "moduleId": "sensor"})

    bare = client.send("DELETE", "/devices/pump")
    assert error_code(bare) == (412, "PreconditionFailed")
    assert "Etag missing" in bare.json()["Message"]
    assert client.send("DELETE", "/devices/pump", headers=if_match("*")).status_code == 204
    response = client.send("DELETE", "/devices/pump", headers=if_match("*"))
    assert error_code(response) == (404, "DeviceNotFound")
    assert len(hub.registry) == 0


def test_ids_of_all_characters(client: HubClient) -> None:
    path = "/devices/" + quote("A-.+%_#*?!(),=@$':;", safe="")

    assert client.send("PUT", path, {}).status_code == 200
    assert client.send("GET", path).json()["deviceId"] == "A-.+%_#*?!(),=@$':;"


def test_list(hub: HubEmulator, client: HubClient) -> None:
    for number in range(3):
        hub.registry.put({"id": f"pump-{number}"})
    hub.registry.put({"id": "pump-0", "moduleId": "sensor"})

    listed = client.send("GET", "/devices", query="?api-version=2021-04-12&top=2").json()
    assert [device["deviceId"] for device in listed] == ["pump-0", "pump-1"]
    assert len(client.send("GET", "/devices").json()) == 3


def test_list_with_a_trailing_slash(hub: HubEmulator, client: HubClient) -> None:
    """The request of the official Node.js client."""
    hub.registry.put({"id": "pump"})

    assert client.send("GET", "/devices/").json() == client.send("GET", "/devices").json() != []


@pytest.mark.parametrize("top", ["1001", "2147483647", "0", "-1"])
def test_a_list_has_at_most_1000_devices(hub: HubEmulator, client: HubClient, top: str) -> None:
    for number in range(1001):
        hub.registry.put({"id": f"pump-{number}"})
    response = client.send("GET", "/devices", query=f"?api-version=2021-04-12&top={top}")
    assert len(response.json()) == 1000


@pytest.mark.parametrize("top", ["", "x"])
def test_invalid_top(client: HubClient, top: str) -> None:
    response = client.send("GET", "/devices", query=f"?api-version=2021-04-12&top={top}")
    assert error_code(response) == (400, "ArgumentInvalid")


def test_etag_forms(hub: HubEmulator) -> None:
    """A decimal number of the device, which grows with each change, and eight bytes of its twin."""
    revisions = []
    for _ in range(2):
        hub.registry.put({"id": "pump"})
        device = stored(hub.registry, "pump")
        revisions.append(int(b64decode(device["eTag"])))

    assert revisions[1] == revisions[0] + 1
    assert device["twinETag"] == "AAAAAAAAAAE="


def test_statistics_count_devices(hub: HubEmulator, client: HubClient) -> None:
    for number in range(3):
        hub.registry.put({"id": f"pump-{number}", "status": "disabled" if number else "enabled"})
    hub.registry.put({"id": "pump-0", "moduleId": "sensor"})

    assert client.send("GET", "/statistics/devices").json() == {
        "totalDeviceCount": 3,
        "enabledDeviceCount": 1,
        "disabledDeviceCount": 2,
    }
    assert client.send("GET", "/statistics/service").json() == {"connectedDeviceCount": 0}


def test_statistics_of_an_empty_hub(client: HubClient) -> None:
    statistics = client.send("GET", "/statistics/devices").json()
    assert set(statistics.values()) == {0}


def test_edge_devices_get_a_scope_and_two_modules(hub: HubEmulator, client: HubClient) -> None:
    body = {"capabilities": {"iotEdge": True}, "deviceScope": "my own"}
    edge = client.send("PUT", "/devices/edge", body).json()

    assert edge["capabilities"] == {"iotEdge": True}
    assert edge["deviceScope"].startswith("ms-azure-iot-edge://edge-"), "never what was asked for"
    assert edge["parentScopes"] == []
    for module_id in ("$edgeAgent", "$edgeHub"):
        assert stored(hub.registry, "edge", module_id)["authentication"]["type"] == "none"


def test_a_leaf_becomes_an_edge_device_and_a_leaf_again(
    hub: HubEmulator, client: HubClient
) -> None:
    def put(**body: Any) -> dict[str, Any]:
        response = client.send("PUT", "/devices/edge", body, headers=if_match("*"))
        assert response.status_code == 200, response.text
        device: dict[str, Any] = response.json()
        return device

    client.send("PUT", "/devices/edge", {})
    edge = put(capabilities={"iotEdge": True})
    assert hub.registry.get("edge", "$edgeHub") is not None
    same = put(capabilities={"iotEdge": True}, deviceScope=edge["deviceScope"])
    assert same["deviceScope"] == edge["deviceScope"]
    leaf = put()
    assert leaf["capabilities"] == {"iotEdge": False}
    assert "deviceScope" not in leaf


@pytest.mark.parametrize("scope", [{}, {"deviceScope": ""}, {"deviceScope": None}], ids=repr)
def test_updates_of_an_edge_device_require_its_scope(
    client: HubClient, scope: dict[str, str | None]
) -> None:
    edge = {"capabilities": {"iotEdge": True}}
    before = client.send("PUT", "/devices/edge", edge).json()
    rejected = client.send("PUT", "/devices/edge", edge | scope, headers=if_match("*"))

    assert error_code(rejected) == (400, "ArgumentInvalid")
    assert "Device scope is immutable" in rejected.json()["Message"]
    assert client.send("GET", "/devices/edge").json() == zoned(before)


def test_the_parent_of_a_leaf_is_its_device_scope(hub: HubEmulator, client: HubClient) -> None:
    scope = "ms-azure-iot-edge://edge-1"
    child = client.send("PUT", "/devices/child", {"deviceScope": scope}).json()
    assert (child["deviceScope"], child["parentScopes"]) == (scope, [scope])
    only_parents = client.send("PUT", "/devices/orphan", {"parentScopes": [scope]}).json()
    assert "parentScopes" not in only_parents, "they are ignored (live hub)"


def test_a_change_of_the_kind_of_device_has_no_parent(client: HubClient) -> None:
    """Recorded by the author of a Terraform provider in 2026."""
    parent = {"deviceScope": "ms-azure-iot-edge://parent-1"}
    edge = {"capabilities": {"iotEdge": True}}
    client.send("PUT", "/devices/child", parent)
    refused = client.send("PUT", "/devices/child", edge | parent, headers=if_match("*"))
    assert error_code(refused) == (503, "ServiceUnavailable")

    client.send("PUT", "/devices/child", edge, headers=if_match("*"))
    leaf = client.send("PUT", "/devices/child", parent, headers=if_match("*")).json()
    assert not leaf.keys() & {"deviceScope", "parentScopes"}


def test_modules_count_as_devices_against_the_quota(start_hub: StartHub) -> None:
    hub = start_hub(host_name="localhost", limits=Limits(identities=2))
    client = HubClient(hub.connection_string())
    client.send("PUT", "/devices/pump", {})
    client.send("PUT", "/devices/pump/modules/sensor", {})

    for path in ("/devices/valve", "/devices/pump/modules/other"):
        rejected = client.send("PUT", path, {})
        assert error_code(rejected) == (403, "IotHubQuotaExceeded")
        assert rejected.json()["Message"] == (
            "ErrorCode:IotHubQuotaExceeded;Total number of devices on IotHub 'localhost' exceeded "
            "the allocated quota. Max allowed device count : '2', current device count : '2'. "
            "Consider increasing the units for this hub to increase the quota."
        )
    update = client.send("PUT", "/devices/pump", {}, headers=if_match("*"))
    assert update.status_code == 200
    client.send("DELETE", "/devices/pump", headers=if_match("*"))
    assert client.send("PUT", "/devices/valve", {}).status_code == 200


def test_the_number_of_modules_per_device_is_limited(start_hub: StartHub) -> None:
    hub = start_hub(limits=Limits(modules_per_device=2))
    client = HubClient(hub.connection_string())
    for device_id in ("pump", "valve"):
        hub.registry.put({"id": device_id})
        for module_id in ("a", "b"):
            path = f"/devices/{device_id}/modules/{module_id}"
            assert client.send("PUT", path, {}).status_code == 200
    rejected = client.send("PUT", "/devices/pump/modules/c", {})

    assert error_code(rejected) == (413, "TooManyModulesOnDevice")
    assert rejected.json()["errorCode"] == 413003
    assert [each["moduleId"] for each in client.send("GET", "/devices/pump/modules").json()] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("registryRead", {"GET"}),
        ("registryReadWrite", {"GET", "PUT", "DELETE"}),
        ("service", set()),
        ("device", set()),
    ],
)
def test_rights(hub: HubEmulator, policy: str, allowed: set[str]) -> None:
    hub.registry.put({"id": "pump"})
    client = HubClient(hub.connection_string(policy))
    calls = [("GET", "/devices"), ("GET", "/devices/"), ("GET", "/statistics/devices")]
    calls += [(method, "/devices/pump") for method in ("GET", "PUT", "DELETE")]

    for method, path in calls:
        response = client.send(method, path, {}, headers=if_match("*"))
        assert response.ok if method in allowed else response.status_code == 401
