"""Module identities over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from iothub_emulator import HubEmulator
from iothub_emulator.registry.identity import SYSTEM_MODULES
from tests.emulator.support import HubClient, error_code, zoned

MODULES = "/devices/pump/modules"
SENSOR = f"{MODULES}/sensor"
CALLS = [("GET", MODULES), ("GET", SENSOR), ("PUT", SENSOR), ("DELETE", SENSOR)]
CALL_NAMES = ["list", "get", "put", "delete"]


@pytest.fixture(autouse=True)
def pump(hub: HubEmulator) -> None:
    hub.registry.put({"id": "pump"})


@pytest.fixture
def sensor(client: HubClient) -> dict[str, Any]:
    created: dict[str, Any] = client.send("PUT", SENSOR, {"managedBy": "me"}).json()
    return created


def if_match(etag: str) -> dict[str, str]:
    return {"If-Match": etag}


def test_create_answers_200_with_new_keys(client: HubClient) -> None:
    body = {"deviceId": "pump", "moduleId": "sensor", "managedBy": "me"}
    created = client.send("PUT", SENSOR, body)

    assert created.status_code == 200
    module = created.json()
    assert module.items() >= body.items()
    assert module["authentication"]["type"] == "sas"
    assert module["authentication"]["symmetricKey"]["primaryKey"]
    assert "status" not in module, "modules have none (live hub)"
    assert client.send("GET", SENSOR).json() == zoned(module)


@pytest.mark.usefixtures("sensor")
def test_create_of_an_existing_module(client: HubClient) -> None:
    response = client.send("PUT", SENSOR, {})

    assert error_code(response) == (409, "ModuleAlreadyExistsOnDevice")
    body = response.json()
    assert body["errorCode"] == 409301
    assert body["message"].startswith("Device pump in IotHub ")
    assert body["message"].endswith(" already contains Module sensor.")
    assert body.keys() == {"errorCode", "message", "trackingId", "timestampUtc", "info"}


@pytest.mark.parametrize("form", ["*", "{}", '"{}"'], ids=["any", "bare", "quoted"])
def test_update_resets_omitted_properties(
    client: HubClient, sensor: dict[str, Any], form: str
) -> None:
    updated = client.send("PUT", SENSOR, {}, headers=if_match(form.format(sensor["etag"])))

    assert updated.status_code == 200
    module = updated.json()
    assert module["managedBy"] is None
    assert module["authentication"] != sensor["authentication"], "keys are minted again"
    assert module["etag"] != sensor["etag"]
    assert module["generationId"] == sensor["generationId"]


def test_update_requires_an_existing_module_and_its_etag(client: HubClient) -> None:
    missing = client.send("PUT", SENSOR, {}, headers=if_match("*"))
    assert error_code(missing) == (404, "ModuleNotFound")
    assert missing.json()["errorCode"] == 404010
    client.send("PUT", SENSOR, {})
    stale = client.send("PUT", SENSOR, {}, headers=if_match("c3RhbGU="))
    assert error_code(stale) == (412, "PreconditionFailed")


def test_delete_requires_the_etag(client: HubClient, sensor: dict[str, Any]) -> None:
    bare = client.send("DELETE", SENSOR)
    assert error_code(bare) == (412, "PreconditionFailed")
    assert "Etag missing" in bare.json()["Message"]
    stale = client.send("DELETE", SENSOR, headers=if_match("c3RhbGU="))
    assert error_code(stale) == (412, "PreconditionFailed")
    assert client.send("DELETE", SENSOR, headers=if_match(sensor["etag"])).status_code == 204
    response = client.send("DELETE", SENSOR, headers=if_match("*"))
    assert error_code(response) == (404, "ModuleNotFound")


@pytest.mark.parametrize(
    ("module_id", "code"),
    [
        ("$agent", (400, "ArgumentInvalid")),
        ("$edgeAgent", (401, "SystemModuleModifyUnauthorizedAccess")),
        ("$edgeHub", (401, "SystemModuleModifyUnauthorizedAccess")),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_names_with_a_dollar_are_reserved(
    client: HubClient, method: str, module_id: str, code: tuple[int, str]
) -> None:
    response = client.send(method, f"{MODULES}/{module_id}", {}, headers=if_match("*"))
    assert error_code(response) == code


def test_authentication_none_becomes_sas(client: HubClient) -> None:
    module = client.send("PUT", SENSOR, {"authentication": {"type": "none"}}).json()

    assert module["authentication"]["type"] == "sas"
    assert module["authentication"]["symmetricKey"]["secondaryKey"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (SENSOR, "{", "GenericBadRequest"),
        (SENSOR, [], "GenericBadRequest"),
        (SENSOR, {"authentication": {"type": "SELF_SIGNED"}}, "GenericBadRequest"),
        (SENSOR, {"deviceId": "other"}, "ArgumentInvalid"),
        (SENSOR, {"moduleId": "other"}, "ArgumentInvalid"),
        (SENSOR, {"authentication": {"symmetricKey": {"primaryKey": "a"}}}, "ArgumentInvalid"),
        (f"{MODULES}/a%20b", {}, "ArgumentInvalid"),
    ],
    ids=["syntax", "array", "enum", "other device", "other module", "one key", "bad id"],
)
def test_invalid_modules(
    hub: HubEmulator, client: HubClient, path: str, body: Any, code: str
) -> None:
    assert error_code(client.send("PUT", path, body)) == (400, code)
    assert len(hub.registry) == 1


def test_list_shows_the_modules_of_one_device(hub: HubEmulator, client: HubClient) -> None:
    for device_id, module_id in [("pump", "z"), ("pump", "a"), ("pump-2", None), ("pump-2", "b")]:
        hub.registry.put({"id": device_id, "moduleId": module_id})
    listed = client.send("GET", MODULES).json()

    assert [module["moduleId"] for module in listed] == ["a", "z"]
    assert listed[0] == client.send("GET", f"{MODULES}/a").json()


def test_edge_devices_have_two_modules_of_the_hub(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "edge", "capabilities": {"iotEdge": True}})
    listed = client.send("GET", "/devices/edge/modules").json()

    assert {module["moduleId"] for module in listed} == SYSTEM_MODULES
    for module in listed:
        assert module["managedBy"] == "iotEdge"
        assert module["authentication"]["type"] == "none"
        assert set(module["authentication"]["symmetricKey"].values()) == {None}


@pytest.mark.parametrize("state", ["missing", "disabled"])
@pytest.mark.parametrize(("method", "path"), CALLS, ids=CALL_NAMES)
def test_with_a_sas_the_device_must_exist_and_be_enabled(
    hub: HubEmulator, client: HubClient, method: str, path: str, state: str
) -> None:
    if state == "disabled":
        hub.registry.put({"id": "asleep", "status": "disabled"})
        hub.registry.put({"id": "asleep", "moduleId": "sensor"})
    response = client.send(method, path.replace("pump", "asleep"), {}, headers=if_match("*"))

    assert error_code(response) == (401, "IotHubUnauthorizedAccess")
    assert (hub.registry.get("asleep", "sensor") is not None) == (state == "disabled")


@pytest.mark.parametrize(("method", "path"), CALLS, ids=CALL_NAMES)
def test_with_entra_id_the_device_must_exist(
    hub: HubEmulator, client: HubClient, method: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {hub.token()}", **if_match("*")}
    path = path.replace("pump", "asleep")
    missing = client.send(method, path, {}, headers=headers)
    assert error_code(missing) == (404, "DeviceNotFound")

    hub.registry.put({"id": "asleep", "status": "disabled"})
    hub.registry.put({"id": "asleep", "moduleId": "sensor"})
    assert client.send(method, path, {}, headers=headers).ok


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("registryRead", {"GET"}),
        ("registryReadWrite", {"GET", "PUT", "DELETE"}),
        ("service", set()),
        ("device", set()),
    ],
)
@pytest.mark.usefixtures("sensor")
def test_rights(hub: HubEmulator, policy: str, allowed: set[str]) -> None:
    client = HubClient(hub.connection_string(policy))

    for method, path in CALLS:
        response = client.send(method, path, {}, headers=if_match("*"))
        if method in allowed:
            assert response.ok
        else:
            assert error_code(response) == (401, "IotHubUnauthorized")
