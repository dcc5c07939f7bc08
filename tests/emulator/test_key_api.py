"""Replacing keys of devices and modules, as the Azure CLI does with renew-key."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests

from iothub_emulator import HubEmulator
from tests.emulator.support import HubClient, error_code, stored

PUMP = {"id": "pump", "status": "enabled", "tags": {"site": "north"}}
SENSOR = {"id": "pump", "moduleId": "sensor", "status": "enabled"}
PATH = "/devices/keys/regenerate"


@pytest.fixture(autouse=True)
def pump(hub: HubEmulator) -> None:
    hub.registry.put(PUMP)
    hub.registry.put(SENSOR)


def keys(hub: HubEmulator, module_id: str | None = None) -> dict[str, str]:
    found: dict[str, str] = stored(hub.registry, "pump", module_id)["authentication"][
        "symmetricKey"
    ]
    return found


def regenerate(client: HubClient, policy: str, *devices: dict[str, str]) -> dict[str, Any]:
    response = client.send("POST", PATH, {"policyKey": policy, "devices": devices})
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    assert result["policyKey"] == policy
    return result


@pytest.mark.parametrize(
    ("policy", "replaced"),
    [
        ("primaryKey", {"primaryKey"}),
        ("secondaryKey", {"secondaryKey"}),
        ("both", {"primaryKey", "secondaryKey"}),
    ],
)
@pytest.mark.parametrize("module_id", [None, "sensor"])
def test_keys_are_replaced(
    hub: HubEmulator, client: HubClient, policy: str, replaced: set[str], module_id: str | None
) -> None:
    before, old = stored(hub.registry, "pump"), keys(hub, module_id)
    name = {"id": "pump"} | ({"moduleId": module_id} if module_id else {})
    result = regenerate(client, policy, name)

    new = keys(hub, module_id)
    assert {key for key in new if new[key] != old[key]} == replaced
    assert all(len(base64.b64decode(key)) == 32 for key in new.values())
    assert result["rotatedKeys"] == [name | new]
    assert result["errors"] == []
    after = stored(hub.registry, "pump")
    assert (after["tags"], after["status"]) == (before["tags"], before["status"])


def test_every_identity_has_its_own_result(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "x509", "authentication": {"type": "certificateAuthority"}})
    names = (
        {"id": "ghost"},
        {"id": "pump", "moduleId": "ghost"},
        {"id": "x509"},
        {"id": "pump"},
    )
    result = regenerate(client, "both", *names)

    assert [each["id"] for each in result["rotatedKeys"]] == ["pump"]
    assert [(error["id"], error["errorCode"]) for error in result["errors"]] == [
        ("ghost", "DeviceNotFound"),
        ("pump", "ModuleNotFound"),
        ("x509", "InvalidOperation"),
    ]
    assert result["errors"][1]["moduleId"] == "ghost"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        {"devices": [{"id": "pump"}]},
        {"policyKey": "none", "devices": []},
        {"policyKey": "both"},
        {"policyKey": "both", "devices": [{}]},
        {"policyKey": "both", "devices": ["pump"]},
    ],
)
def test_malformed_requests(client: HubClient, body: Any) -> None:
    assert error_code(client.send("POST", PATH, body)) == (400, "GenericBadRequest")


def test_a_number_that_is_no_policy_key(client: HubClient) -> None:
    response = client.send("POST", PATH, {"policyKey": 7, "devices": []})
    assert error_code(response) == (400, "ArgumentInvalid")


def test_rights_and_versions(hub: HubEmulator) -> None:
    def send(policy: str, version: str) -> requests.Response:
        body = {"policyKey": "both", "devices": [{"id": "pump"}]}
        client = HubClient(hub.connection_string(policy))
        return client.send("POST", PATH, body, query=f"?api-version={version}")

    assert send("registryReadWrite", "2021-04-12").status_code == 200
    assert send("registryRead", "2021-04-12").status_code == 401
    assert error_code(send("iothubowner", "2020-09-30")) == (400, "InvalidProtocolVersion")
