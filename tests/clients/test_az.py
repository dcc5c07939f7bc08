"""The commands of the azure-iot extension of the Azure CLI, as requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from tests.clients.az import ANY, SAS, Az
from tests.emulator.support import JobContainer


@pytest.fixture(
    params=[
        "2021-04-12",
        "2024-03-31",
        "2026-11-01-preview",
    ]
)
def az(request: pytest.FixtureRequest) -> Iterator[Az]:
    with HubEmulator() as hub:
        yield Az(hub, request.param)


def test_device_identity(az: Az) -> None:
    created = az.create_device("pump")
    assert created["authentication"]["symmetricKey"]["primaryKey"]
    thumbprints = {"primaryThumbprint": "A" * 40, "secondaryThumbprint": "B" * 40}
    x509 = {"type": "selfSigned", "x509Thumbprint": thumbprints}
    assert az.create_device("valve", authentication=x509)["authentication"]["type"] == "selfSigned"

    shown = az.call("GET", "/devices/pump")
    changed = shown | {"status": "disabled", "statusReason": "broken", "etag": ANY}
    updated = az.call("PUT", "/devices/pump", changed, etag=ANY)
    assert (updated["status"], updated["statusReason"]) == ("disabled", "broken")
    stale = az.send("PUT", "/devices/pump", shown, etag=shown["etag"])
    assert stale.status_code == 412

    assert [twin["deviceId"] for twin in az.query("select * from devices", 1)] == ["pump", "valve"]
    assert az.send("DELETE", "/devices/pump", etag=ANY).status_code == 204
    missing = az.send("GET", "/devices/pump")
    assert missing.status_code == 404
    assert "DeviceNotFound" in missing.json()["Message"]


def test_edge_devices_are_listed(az: Az) -> None:
    az.create_device("pump")
    az.create_edge("edge")

    [twin] = az.query("select * from devices where capabilities.iotEdge = true")
    assert twin["deviceId"] == "edge"


def test_swapped_keys(az: Az) -> None:
    device = az.create_device("pump")
    keys = device["authentication"]["symmetricKey"]
    swapped = {"primaryKey": keys["secondaryKey"], "secondaryKey": keys["primaryKey"]}
    device["authentication"] = {"type": "sas", "symmetricKey": swapped}

    renewed = az.call("PUT", "/devices/pump", device, etag=ANY)
    assert renewed["authentication"]["symmetricKey"] == swapped


def test_renewed_keys(az: Az) -> None:
    before = az.create_device("pump")["authentication"]["symmetricKey"]
    body = {"policyKey": "primaryKey", "devices": [{"id": "pump"}, {"id": "ghost"}]}
    result = az.call("POST", "/devices/keys/regenerate", body)

    after = az.call("GET", "/devices/pump")["authentication"]["symmetricKey"]
    assert after["secondaryKey"] == before["secondaryKey"]
    assert after["primaryKey"] != before["primaryKey"]
    [rotated] = result["rotatedKeys"]
    assert (rotated["id"], rotated["primaryKey"]) == ("pump", after["primaryKey"])
    [error] = result["errors"]
    assert (error["id"], error["errorCode"]) == ("ghost", "DeviceNotFound")


def test_renewed_keys_of_a_module(az: Az) -> None:
    az.create_device("pump")
    module = {"moduleId": "sensor", "deviceId": "pump", "authentication": SAS}
    before = az.call("PUT", "/devices/pump/modules/sensor", module)["authentication"]
    body = {"policyKey": "secondaryKey", "devices": [{"id": "pump", "moduleId": "sensor"}]}
    [rotated] = az.call("POST", "/devices/keys/regenerate", body)["rotatedKeys"]

    assert rotated["moduleId"] == "sensor"
    after = az.call("GET", "/devices/pump/modules/sensor")["authentication"]
    assert after["symmetricKey"]["secondaryKey"] == rotated["secondaryKey"]
    assert after["symmetricKey"]["primaryKey"] == before["symmetricKey"]["primaryKey"]


def set_parent(az: Az, child: str, scope: str) -> None:
    """``az iot hub device-identity parent set``; an empty scope removes the parent."""
    device = az.call("GET", f"/devices/{child}")
    if device["capabilities"]["iotEdge"]:
        device["parentScopes"] = [scope] if scope else []
    else:
        device["deviceScope"] = scope
    az.call("PUT", f"/devices/{child}", device, etag=device["etag"])


def test_parents(az: Az) -> None:
    scope = az.create_edge("edge")["deviceScope"]
    az.create_device("pump")
    az.create_edge("lower")
    for child in ("pump", "lower"):
        set_parent(az, child, scope)
        assert az.call("GET", f"/devices/{child}")["parentScopes"] == [scope]
    set_parent(az, "pump", "")

    assert not az.call("GET", "/devices/pump").get("parentScopes")


def test_children(az: Az) -> None:
    scope = az.create_edge("edge")["deviceScope"]
    az.create_device("pump")
    az.create_device("valve")
    set_parent(az, "pump", scope)

    query = f"select deviceId from devices where array_contains(parentScopes, '{scope}')"
    assert az.query(query) == [{"deviceId": "pump"}]


def test_module_identity(az: Az) -> None:
    az.create_device("pump")
    path = "/devices/pump/modules/sensor"
    module = {"moduleId": "sensor", "deviceId": "pump", "authentication": SAS}
    created = az.call("PUT", path, module)
    assert created["authentication"]["symmetricKey"]["primaryKey"]

    x509 = {"type": "certificateAuthority"}
    updated = az.call("PUT", path, module | {"authentication": x509}, etag=ANY)
    assert updated["authentication"]["type"] == "certificateAuthority"
    assert [each["moduleId"] for each in az.call("GET", "/devices/pump/modules")] == ["sensor"]
    assert az.call("GET", path)["etag"] == updated["etag"]
    assert az.send("DELETE", path, etag=ANY).status_code == 204


def check_twin(az: Az, path: str) -> None:
    """Show, update and replace; ``--set`` sends back the whole twin that it has read."""
    shown = az.call("GET", path)
    shown["properties"]["desired"]["rate"] = 5
    updated = az.call("PATCH", path, shown, etag=ANY)
    assert updated["properties"]["desired"]["rate"] == 5
    explicit = {"tags": {"site": "north"}, "properties": {"desired": {"rate": None}}}
    updated = az.call("PATCH", path, explicit, etag=updated["etag"])
    assert updated["tags"] == {"site": "north"}
    assert "rate" not in updated["properties"]["desired"]

    replacement = updated | {"tags": {"room": "2"}}
    assert az.call("PUT", path, replacement, etag=ANY)["tags"] == {"room": "2"}


def test_device_twin(az: Az) -> None:
    az.create_device("pump")
    check_twin(az, "/twins/pump")


def test_module_twin(az: Az) -> None:
    az.create_device("pump")
    module = {"moduleId": "sensor", "deviceId": "pump", "authentication": SAS}
    az.call("PUT", "/devices/pump/modules/sensor", module)
    check_twin(az, "/twins/pump/modules/sensor")
    [twin] = az.query("select * from devices.modules where devices.deviceId = 'pump'")
    assert twin["moduleId"] == "sensor"


def test_query(az: Az) -> None:
    for name in ("pump", "valve", "meter"):
        az.create_device(name)

    assert az.query("select count() as n from devices where status = 'enabled'") == [{"n": 3}]
    assert len(az.query("select deviceId from devices", 2)) == 3


def configuration(**properties: Any) -> dict[str, Any]:
    return {
        "id": "rates",
        "schemaVersion": "2.0",
        "content": {"deviceContent": {"properties.desired.rate": 5}},
        "metrics": {"queries": {"north": "select deviceId from devices where tags.site='north'"}},
        "targetCondition": "tags.site='north'",
        "etag": ANY,
        "priority": 3,
    } | properties


def test_configuration(az: Az) -> None:
    az.create_device("pump")
    az.call("PATCH", "/twins/pump", {"tags": {"site": "north"}}, etag=ANY)
    created = az.call("PUT", "/configurations/rates", configuration())
    assert created["priority"] == 3

    shown = az.call("GET", "/configurations/rates")
    sent = ("id", "schemaVersion", "labels", "content", "metrics", "targetCondition")
    changed = {name: shown[name] for name in sent if shown[name] is not None}
    updated = az.call("PUT", "/configurations/rates", changed | {"priority": 9}, etag=ANY)
    assert updated["priority"] == 9
    [listed] = az.call("GET", "/configurations")
    assert listed["content"].get("deviceContent")
    assert az.query(shown["metrics"]["queries"]["north"]) == [{"deviceId": "pump"}]
    assert az.send("DELETE", "/configurations/rates", etag=ANY).status_code == 204


def test_system_metrics(az: Az) -> None:
    az.create_device("pump")
    az.call("PATCH", "/twins/pump", {"tags": {"site": "north"}}, etag=ANY)
    az.call("PUT", "/configurations/rates", configuration())

    queries = az.call("GET", "/configurations/rates")["systemMetrics"]["queries"]
    assert [row["deviceId"] for row in az.query(queries["targetedCount"])] == ["pump"]


MODULES = {
    "$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {}}},
    "$edgeHub": {"properties.desired": {"schemaVersion": "1.1", "routes": {}}},
    "filter": {"properties.desired": {"rate": 5}},
}


def test_edge_deployment(az: Az) -> None:
    deployment = configuration(id="floor", content={"modulesContent": MODULES}, metrics={})
    az.call("PUT", "/configurations/floor", deployment)

    [listed] = az.call("GET", "/configurations")
    assert listed["content"]["modulesContent"] == MODULES


def test_edge_set_modules(az: Az) -> None:
    az.create_edge("edge")
    body = {"modulesContent": MODULES}
    response = az.send("POST", "/devices/edge/applyConfigurationContent", body)

    assert response.status_code in (200, 204)
    modules = {module["moduleId"] for module in az.call("GET", "/devices/edge/modules")}
    assert modules == MODULES.keys()
    desired = az.call("GET", "/twins/edge/modules/filter")["properties"]["desired"]
    assert desired["rate"] == 5


def test_edge_export_modules(az: Az) -> None:
    az.create_edge("edge")
    for module in az.call("GET", "/devices/edge/modules"):
        twin = az.call("GET", f"/twins/edge/modules/{module['moduleId']}")
        assert twin["properties"]["desired"].keys() >= {"$metadata", "$version"}


def test_import_and_export(az: Az, blob_service: BlobServiceClient) -> None:
    container = JobContainer(blob_service)
    container.write({"id": "meter", "importMode": "createOrUpdate", "status": "enabled"})
    uri = container.uri()
    wanted = {
        "type": "import",
        "inputBlobContainerUri": uri,
        "outputBlobContainerUri": uri,
        "storageAuthenticationType": "keyBased",
    }
    imported = az.call("POST", "/jobs/create", wanted)
    az.hub.wait_idle()
    export = {
        "type": "export",
        "outputBlobContainerUri": uri,
        "excludeKeysInExport": False,
        "storageAuthenticationType": "keyBased",
    }
    exported = az.call("POST", "/jobs/create", export)
    az.hub.wait_idle()

    listed = az.call("GET", "/jobs")
    assert [job["jobId"] for job in listed] == [imported["jobId"], exported["jobId"]]
    # `job show` asks for a scheduled job first.
    assert az.call("GET", f"/jobs/v2/{imported['jobId']}")["status"] == "unknown"
    assert az.call("GET", f"/jobs/{imported['jobId']}")["status"] == "completed"


def test_cancelled_job(az: Az, blob_service: BlobServiceClient) -> None:
    az.hub.faults.add("hangJob")
    uri = JobContainer(blob_service).uri()
    wanted = {"type": "export", "outputBlobContainerUri": uri, "excludeKeysInExport": True}
    job = az.call("POST", "/jobs/create", wanted)

    assert az.send("DELETE", f"/jobs/{job['jobId']}").status_code in (200, 204)
    assert az.call("GET", f"/jobs/{job['jobId']}")["status"] == "cancelled"


def test_scheduled_jobs(az: Az) -> None:
    assert az.scheduled_jobs() == []
    assert az.scheduled_jobs(jobType="scheduleUpdateTwin", jobStatus="completed") == []


def test_state(az: Az) -> None:
    """``az iot hub state export``, then ``import`` into another hub."""
    scope = az.create_edge("edge")["deviceScope"]
    az.create_device("pump", deviceScope=scope)
    az.call("PATCH", "/twins/pump", {"tags": {"site": "north"}}, etag=ANY)
    az.call("PUT", "/configurations/rates", configuration())

    devices = {
        twin["deviceId"]: (
            az.call("GET", f"/devices/{twin['deviceId']}"),
            az.call("GET", f"/twins/{twin['deviceId']}"),
        )
        for twin in az.query("select * from devices")
    }
    with HubEmulator() as hub:
        other = Az(hub, az.api_version)
        for configuration_ in az.call("GET", "/configurations"):
            path = f"/configurations/{configuration_['id']}"
            other.call("PUT", path, configuration_ | {"etag": ANY})
        for device_id, (device, twin) in devices.items():
            other.create_device(
                device_id,
                authentication=device["authentication"],
                capabilities=device["capabilities"],
            )
            other.call("PUT", f"/twins/{device_id}", twin, etag=ANY)
        set_parent(other, "pump", other.call("GET", "/devices/edge")["deviceScope"])

        restored = other.call("GET", "/devices/pump")
        assert restored["authentication"] == devices["pump"][0]["authentication"]
        assert other.call("GET", "/twins/pump")["tags"] == {"site": "north"}
        assert len(restored["parentScopes"]) == 1
        assert [each["id"] for each in other.call("GET", "/configurations")] == ["rates"]
