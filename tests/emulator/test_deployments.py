"""POST /devices/{id}/applyConfigurationContent, as `az iot edge set-modules` sends it."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from iothub_emulator import HubEmulator
from tests.emulator.support import HubClient, error_code, stored

PATH = "/devices/gate/applyConfigurationContent"
HUB = {"properties.desired": {"schemaVersion": "1.2", "routes": {"all": "FROM /* INTO $upstream"}}}


@pytest.fixture(autouse=True)
def fleet(hub: HubEmulator) -> None:
    hub.registry.put({"id": "gate", "capabilities": {"iotEdge": True}})
    hub.registry.put({"id": "leaf"})


def agent(*modules: str) -> dict[str, Any]:
    """The manifest of $edgeAgent."""
    listed = {name: {"type": "docker"} for name in modules}
    return {"properties.desired": {"schemaVersion": "1.1", "modules": listed}}


def apply(client: HubClient, content: Any, path: str = PATH) -> requests.Response:
    return client.send("POST", path, content)


def set_modules(client: HubClient, **modules: Any) -> None:
    edge = {f"${name}": modules.pop(name) for name in ("edgeAgent", "edgeHub") if name in modules}
    response = apply(client, {"modulesContent": edge | modules})
    assert (response.status_code, response.content) == (204, b"")


def module_ids(client: HubClient) -> list[str]:
    return sorted(
        module["moduleId"] for module in client.send("GET", "/devices/gate/modules").json()
    )


def desired(client: HubClient, module_id: str) -> dict[str, Any]:
    twin = client.send("GET", f"/twins/gate/modules/{module_id}").json()
    values = twin["properties"]["desired"]
    return {name: value for name, value in values.items() if not name.startswith("$")}


def test_writes_the_twins_of_the_modules(client: HubClient) -> None:
    set_modules(
        client,
        edgeAgent=agent("sensor"),
        edgeHub=HUB,
        sensor={"properties.desired": {"period": 5, "scale": {"min": 1}}},
    )

    assert desired(client, "$edgeAgent") == agent("sensor")["properties.desired"]
    assert desired(client, "$edgeHub") == HUB["properties.desired"]
    assert desired(client, "sensor") == {"period": 5, "scale": {"min": 1}}
    set_modules(client, edgeAgent=agent("sensor"), sensor={"properties.desired": {"scale": {}}})
    assert desired(client, "sensor") == {"scale": {}}, "everything is replaced"
    assert desired(client, "$edgeHub") == HUB["properties.desired"]


def test_creates_and_deletes_modules(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "gate", "moduleId": "own"})
    system = ["$edgeAgent", "$edgeHub"]

    set_modules(client, edgeAgent=agent("sensor"), edgeHub=HUB)
    assert module_ids(client) == [*system, "own", "sensor"]
    set_modules(client, edgeAgent=agent("filter", "meter"), filter={"properties.desired": {}})
    assert module_ids(client) == [*system, "filter", "meter", "own"]
    assert client.send("GET", "/devices/gate/modules/meter").json()["managedBy"] == "iotEdge"


def test_layers_set_single_properties(client: HubClient) -> None:
    set_modules(client, edgeAgent=agent("sensor"), sensor={"properties.desired": {"a": 1, "b": 2}})
    set_modules(
        client,
        edgeAgent={"properties.desired.modules.filter": {"type": "docker"}},
        sensor={"properties.desired.b": None, "properties.desired.c.d": 3},
    )

    assert module_ids(client) == ["$edgeAgent", "$edgeHub", "filter", "sensor"]
    assert list(desired(client, "$edgeAgent")["modules"]) == ["sensor", "filter"]
    assert desired(client, "sensor") == {"a": 1, "c": {"d": 3}}


def test_device_content_changes_the_twin_of_the_device(hub: HubEmulator, client: HubClient) -> None:
    response = apply(client, {"deviceContent": {"properties.desired.rate": 5}})

    assert response.status_code == 204
    assert stored(hub.registry, "gate")["properties"]["desired"] == {"rate": 5}


@pytest.mark.parametrize(
    ("content", "path", "code"),
    [
        ({"modulesContent": {"$edgeAgent": {}}}, "/devices/leaf", (400, "ArgumentInvalid")),
        ({"modulesContent": {"$edgeAgent": {}}}, "/devices/none", (404, "DeviceNotFound")),
        (
            {"modulesContent": {"$edgeHub": {}}},
            "/devices/gate",
            (400, "InvalidConfigurationContent"),
        ),
        (
            {"moduleContent": {"properties.desired": {}}},
            "/devices/gate",
            (400, "InvalidConfigurationContent"),
        ),
        (
            {"modulesContent": {"$edgeAgent": {"properties.desired": 5}}},
            "/devices/gate",
            (400, "InvalidConfigurationContent"),
        ),
        (
            {"modulesContent": {"$edgeAgent": {}, "a b": {}}},
            "/devices/gate",
            (400, "ArgumentInvalid"),
        ),
        ([], "/devices/gate", (400, "GenericBadRequest")),
    ],
)
def test_refusals_change_nothing(
    hub: HubEmulator, client: HubClient, content: Any, path: str, code: tuple[int, str]
) -> None:
    before = client.send("GET", "/devices/gate/modules").json()

    assert error_code(apply(client, content, f"{path}/applyConfigurationContent")) == code
    assert client.send("GET", "/devices/gate/modules").json() == before


@pytest.mark.parametrize(
    ("policy", "role", "path", "is_allowed"),
    [
        ("registryReadWrite", None, PATH, True),
        ("registryRead", None, PATH, False),
        ("service", None, PATH, False),
        ("registryRead", None, "/configurations/testQueries", True),
        ("service", None, "/configurations/testQueries", False),
        (None, "IoT Hub Data Contributor", PATH, True),
        (None, "IoT Hub Registry Contributor", PATH, False),
        (None, "IoT Hub Data Reader", "/configurations/testQueries", False),
        (None, "IoT Hub Data Contributor", "/configurations/testQueries", True),
    ],
)
def test_rights(
    hub: HubEmulator, policy: str | None, role: str | None, path: str, is_allowed: bool
) -> None:
    client = HubClient(hub.connection_string(policy or "iothubowner"))
    headers = {}
    if role is not None:
        hub.assign_role("someone", role)
        headers["Authorization"] = f"Bearer {hub.token('someone')}"
    content = {"modulesContent": {"$edgeAgent": agent()}}
    response = client.send("POST", path, content, headers=headers)

    assert response.ok if is_allowed else response.status_code == 401
