"""Whole answers, in the form that live hubs had at api-version 2020-03-13."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

from iothub_emulator import HubEmulator
from iothub_emulator.clock import format_ticks
from tests.emulator.support import HubClient, error_code

QUERY = "?api-version=2020-03-13"
#: The C# client sends it to create.
NO_ETAG = {"If-Match": '""'}
NEVER = "0001-01-01T00:00:00Z"
#: No zeros at the end of the fraction.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?Z")


def put(client: HubClient, path: str, body: dict[str, Any], etag: str = '""') -> dict[str, Any]:
    response = client.send("PUT", path, body, headers={"If-Match": etag}, query=QUERY)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def get(client: HubClient, path: str) -> Any:
    return client.send("GET", path, query=QUERY).json()


def bulk(client: HubClient, *lines: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = client.send("POST", "/devices", list(lines), query=QUERY).json()
    return result


def device(created: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A device in every answer but that to its creation, by what a hub generated for it."""
    return {
        "deviceId": "pump",
        "generationId": created["generationId"],
        "etag": created["etag"],
        "connectionState": "Disconnected",
        "status": "enabled",
        "statusReason": None,
        "connectionStateUpdatedTime": NEVER,
        "statusUpdatedTime": NEVER,
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authentication": created["authentication"],
        "capabilities": {"iotEdge": False},
        **changes,
    }


def test_life_of_a_device(client: HubClient) -> None:
    created = put(client, "/devices/pump", {"deviceId": "pump"})
    assert created["authentication"].keys() == {"symmetricKey", "x509Thumbprint", "type"}
    never = NEVER.removesuffix("Z")
    assert created == device(
        created,
        connectionStateUpdatedTime=never,
        statusUpdatedTime=never,
        lastActivityTime=never,
    )
    read = get(client, "/devices/pump")
    assert read == device(created)

    updated = put(client, "/devices/pump", {**read, "status": "disabled"}, f'"{read["etag"]}"')
    revision = int(b64decode(read["etag"]))
    assert int(b64decode(updated["etag"])) == revision + 1
    assert TIME.fullmatch(updated["statusUpdatedTime"])
    assert updated == device(
        created,
        etag=updated["etag"],
        status="disabled",
        statusUpdatedTime=updated["statusUpdatedTime"],
    )

    stale = client.send(
        "PUT", "/devices/pump", read, headers={"If-Match": f'"{read["etag"]}"'}, query=QUERY
    )
    assert error_code(stale) == (412, "PreconditionFailed")
    assert stale.json()["Message"] == (
        "ErrorCode:PreconditionFailed;Precondition failed: Device version did not match, "
        f"existingVersion:{revision + 1} newVersion:{revision}"
    )
    again = put(client, "/devices/pump", read, "*")
    assert int(b64decode(again["etag"])) == revision + 2, "* beats the ETag of the body"


def test_life_of_a_twin(client: HubClient) -> None:
    created = put(client, "/devices/pump", {"deviceId": "pump"})
    born = format_ticks(int(created["generationId"]))
    empty = {"$metadata": {"$lastUpdated": born}, "$version": 1}
    twin = get(client, "/twins/pump")
    assert twin == {
        "deviceId": "pump",
        "etag": "AAAAAAAAAAE=",
        "deviceEtag": created["etag"],
        "status": "enabled",
        "statusUpdateTime": NEVER,
        "connectionState": "Disconnected",
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authenticationType": "sas",
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
        "version": 2,
        "properties": {"desired": empty, "reported": empty},
        "capabilities": {"iotEdge": False},
    }

    whole = {**twin, "properties": {"desired": {**empty, "user": "a"}, "reported": empty}}
    patched = client.send(
        "PATCH", "/twins/pump", whole, headers={"If-Match": "*"}, query=QUERY
    ).json()
    stamp = {
        "$lastUpdated": patched["properties"]["desired"]["$metadata"]["$lastUpdated"],
        "$lastUpdatedVersion": 2,
    }
    desired = {"user": "a", "$metadata": {**stamp, "user": stamp}, "$version": 2}
    assert patched == {
        **twin,
        "etag": "AAAAAAAAAAI=",
        "version": 3,
        "properties": {"desired": desired, "reported": empty},
    }


def test_life_of_a_module(client: HubClient) -> None:
    put(client, "/devices/pump", {"deviceId": "pump"})
    path = "/devices/pump/modules/sensor"
    created = put(client, path, {"deviceId": "pump", "moduleId": "sensor"})
    module = {
        "moduleId": "sensor",
        "managedBy": None,
        "deviceId": "pump",
        "generationId": created["generationId"],
        "etag": created["etag"],
        "connectionState": "Disconnected",
        "connectionStateUpdatedTime": NEVER,
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authentication": created["authentication"],
    }
    assert get(client, "/devices/pump/modules") == [module]

    changed = put(client, path, {**module, "managedBy": "me"}, f'"{created["etag"]}"')
    assert changed == {**module, "etag": changed["etag"], "managedBy": "me"}

    twin_path = "/twins/pump/modules/sensor"
    empty = {"$metadata": {"$lastUpdated": NEVER}, "$version": 1}
    twin = get(client, twin_path)
    assert twin["properties"] == {"desired": empty, "reported": empty}
    assert "capabilities" not in twin
    (row,) = client.send(
        "POST", "/devices/query", {"query": "select * from devices.modules"}, query=QUERY
    ).json()
    assert row == {**twin, "capabilities": {"iotEdge": False}}

    stale = client.send(
        "PATCH", twin_path, {"tags": {}}, headers={"If-Match": '"AAAAAAAAAAk="'}, query=QUERY
    )
    assert stale.json()["Message"] == (
        "ErrorCode:PreconditionFailed;ETag mismatch for device ID 'pump'"
    )


def test_twins_that_are_created_in_bulk(client: HubClient) -> None:
    desired = {"properties": {"desired": {"user": "a"}}}
    bulk(client, {"id": "pump", "importMode": "create", "status": "enabled", **desired})
    result = bulk(
        client,
        {"id": "pump", "moduleId": "sensor", "importMode": "create", **desired},
        {"id": "pump", "moduleId": "empty", "importMode": "create"},
    )
    assert result == {"isSuccessful": True, "errors": [], "warnings": []}

    born = format_ticks(int(get(client, "/devices/pump")["generationId"]))
    twin = get(client, "/twins/pump")
    assert (twin["version"], twin["etag"]) == (2, "AAAAAAAAAAE=")
    stamp: dict[str, Any] = {"$lastUpdated": NEVER, "$lastUpdatedVersion": 1}
    assert twin["properties"] == {
        "desired": {"user": "a", "$metadata": {**stamp, "user": stamp}, "$version": 1},
        "reported": {"$metadata": {"$lastUpdated": born}, "$version": 1},
    }
    for module_id, values in (("sensor", {"user": "a"}), ("empty", {})):
        module = get(client, f"/devices/pump/modules/{module_id}")
        stamp["$lastUpdated"] = format_ticks(int(module["generationId"]))
        metadata = {**stamp, **dict.fromkeys(values, stamp)}
        assert get(client, f"/twins/pump/modules/{module_id}")["properties"] == {
            "desired": {**values, "$metadata": metadata, "$version": 1},
            "reported": {"$metadata": stamp, "$version": 1},
        }


def test_an_update_to_self_signed_without_thumbprints_keeps_the_keys(
    hub: HubEmulator, client: HubClient
) -> None:
    hub.registry.put({"id": "pump"})
    path = "/devices/pump/modules/sensor"
    keys = put(client, path, {"authentication": {"type": "sas"}})["authentication"]
    bulk(
        client,
        {
            "id": "pump",
            "moduleId": "sensor",
            "importMode": "update",
            "authentication": {"type": "selfSigned"},
        },
    )

    assert get(client, path)["authentication"] == {**keys, "type": "selfSigned"}
    thumbprints = {"primaryThumbprint": "a" * 40, "secondaryThumbprint": "b" * 40}
    changed = put(client, path, {"authentication": {"x509Thumbprint": thumbprints}}, "*")
    assert changed["authentication"] == {
        "type": "selfSigned",
        "symmetricKey": {"primaryKey": None, "secondaryKey": None},
        "x509Thumbprint": thumbprints,
    }


def test_the_model_id_of_a_twin_came_with_a_later_version(client: HubClient) -> None:
    put(client, "/devices/pump", {})

    later = client.send("GET", "/twins/pump", query="?api-version=2020-09-30").json()
    assert later == {**get(client, "/twins/pump"), "modelId": ""}
