"""Devices, modules and twins over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from local.hub import HubEmulator
from tests.emulator.support import HubClient, error_code, stored


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
    assert got.json() == device
    assert got.headers["ETag"] == created.headers["ETag"]


def test_create_of_a_device_that_is_there(client: HubClient) -> None:
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


def test_update_refusals(client: HubClient) -> None:
    missing = client.send("PUT", "/devices/pump", {}, headers=if_match("*"))
    assert error_code(missing) == (404, "DeviceNotFound")
    client.send("PUT", "/devices/pump", {})
    stale = client.send("PUT", "/devices/pump", {}, headers=if_match("stale"))
    assert error_code(stale) == (412, "PreconditionFailed")


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
def test_bad_devices(hub: HubEmulator, client: HubClient, path: str, body: Any, code: str) -> None:
    assert error_code(client.send("PUT", path, body)) == (400, code)
    assert len(hub.registry) == 0


def test_delete(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "pump"})
    hub.registry.put({"id": "pump", "moduleId": "sensor"})

    bare = client.send("DELETE", "/devices/pump")
    assert error_code(bare) == (412, "PreconditionFailed")
    assert "Etag missing" in bare.json()["Message"]
    assert client.send("DELETE", "/devices/pump", headers=if_match("*")).status_code == 204
    gone = client.send("DELETE", "/devices/pump", headers=if_match("*"))
    assert error_code(gone) == (404, "DeviceNotFound")
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


@pytest.mark.parametrize("top", ["0", "1001", "x"])
def test_bad_top(client: HubClient, top: str) -> None:
    response = client.send("GET", "/devices", query=f"?api-version=2021-04-12&top={top}")
    assert error_code(response) == (400, "ArgumentInvalid")


def test_modules(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "pump"})
    hub.registry.put({"id": "pump", "moduleId": "sensor"})

    [listed] = client.send("GET", "/devices/pump/modules").json()
    got = client.send("GET", "/devices/pump/modules/sensor")
    assert got.json() == listed
    assert got.headers["ETag"] == f'"{listed["etag"]}"'
    missing = client.send("GET", "/devices/pump/modules/other")
    assert error_code(missing) == (404, "ModuleNotFound")
    assert missing.json()["errorCode"] == 404010


def test_modules_of_a_missing_or_disabled_device(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "asleep", "status": "disabled"})

    for device_id in ("missing", "asleep"):
        for path in ("modules", "modules/sensor"):
            response = client.send("GET", f"/devices/{device_id}/{path}")
            assert error_code(response) == (401, "IotHubUnauthorizedAccess")


def test_twin(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "pump", "tags": {"a": 1}, "properties": {"desired": {"b": 2}}})
    response = client.send("GET", "/twins/pump")

    twin = response.json()
    assert twin["tags"] == {"a": 1}
    desired = twin["properties"]["desired"]
    changed = {"$lastUpdated": desired["$metadata"]["$lastUpdated"], "$lastUpdatedVersion": 2}
    assert desired == {"b": 2, "$version": 2, "$metadata": {**changed, "b": changed}}
    assert twin["deviceEtag"] == stored(hub.registry, "pump")["eTag"]
    assert twin["etag"] == stored(hub.registry, "pump")["twinETag"]
    assert response.headers["ETag"] == f'"{twin["etag"]}"'
    assert error_code(client.send("GET", "/twins/nobody")) == (404, "DeviceNotFound")


def test_etag_forms(hub: HubEmulator) -> None:
    hub.registry.put({"id": "pump"})
    device = stored(hub.registry, "pump")

    assert device["eTag"].startswith("ODAxMjMy")
    assert device["twinETag"] == "AAAAAAAAAAE="
