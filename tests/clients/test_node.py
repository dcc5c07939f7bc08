"""Versions of the official Node.js service client, unmodified, against the emulator over TLS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from tests.clients.support import FOLDER, PUMP_KEYS, Run, Seen, run_client

CURRENT = "1.16"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("1.0", marks=pytest.mark.clients),
        pytest.param("1.1", marks=pytest.mark.clients),
        pytest.param("1.2", marks=pytest.mark.clients),
        pytest.param("1.3", marks=pytest.mark.clients),
        pytest.param("1.7-preview", marks=pytest.mark.clients),
        pytest.param("1.9", marks=pytest.mark.clients),
        pytest.param("1.10", marks=pytest.mark.clients),
        pytest.param("1.12", marks=pytest.mark.clients),
        pytest.param("1.13", marks=pytest.mark.clients),
        CURRENT,
    ],
)
def run(
    request: pytest.FixtureRequest,
    blob_service: BlobServiceClient,
    storage_connection_string: str,
) -> Run:
    version: str = request.param
    package = "azure-iothub" if version == CURRENT else f"azure-iothub-{version}"
    files = [str(FOLDER / name) for name in ("port.cjs", "node_client.cjs")]
    command = ["node", "--no-deprecation", "--require", *files, package]
    with HubEmulator(tls=True, identity_connection_string=storage_connection_string) as hub:
        host, port = hub.address.split(":")
        variables = {
            "NODE_EXTRA_CA_CERTS": str(hub.ca_file),
            "HUB_PORT": port,
            # 1.12 sends storageAuthenticationType with a suitable api-version only with this.
            "EnableStorageIdentity": "1",
        }
        return run_client(version, command, hub, blob_service, variables, host=host)


@pytest.fixture
def version(run: Run) -> tuple[int, ...]:
    return tuple(map(int, run.version.removesuffix("-preview").split(".")))


@pytest.fixture
def seen(run: Run) -> Seen:
    return run.seen


def test_registry(version: tuple[int, ...], seen: Seen) -> None:
    # 1.0 has it in upper case.
    name = "symmetricKey" if version >= (1, 1) else "SymmetricKey"
    assert seen["create"]["authentication"][name] == PUMP_KEYS
    assert seen["create again"]["refused"]["name"] == "DeviceAlreadyExistsError"
    assert seen["update"]["status"] == seen["get"]["status"] == "disabled"
    assert {device["deviceId"] for device in seen["list"]} == {"pump", "passing"}
    assert seen["get missing"]["refused"]["name"] == "DeviceNotFoundError"
    if version >= (1, 1):
        assert seen["statistics"]["totalDeviceCount"] == 1


def test_bulk(version: tuple[int, ...], seen: Seen) -> None:
    if version >= (1, 1):
        for name in ("add", "update all", "remove"):
            assert seen[name]["isSuccessful"], name
        assert '"errorCode":409001' in seen["add again"]["refused"]["message"]


def test_modules(version: tuple[int, ...], seen: Seen) -> None:
    if version >= (1, 7):
        assert seen["create edge"]["capabilities"] == {"iotEdge": True}
        ids = [module["moduleId"] for module in seen["list modules"]]
        assert ids == ["$edgeAgent", "$edgeHub", "filter"]
        assert seen["update module"]["managedBy"] == "you"
        assert seen["get module twin"]["moduleId"] == "filter"
        assert seen["update module twin"]["properties"]["desired"]["rate"] == 5
        assert seen["remove module"] is None


def test_twins(version: tuple[int, ...], seen: Seen) -> None:
    if version >= (1, 1):
        assert seen["update twin"]["tags"] == {"site": "north"}
        assert seen["update twin"]["properties"]["desired"]["rate"] == 5
        assert seen["update twin stale"]["refused"]["name"] == "InvalidEtagError"
        pages = [seen["first page"], seen["second page"]]
        assert [[each["deviceId"] for each in page] for page in pages] == [["pump"], ["valve"]]
        assert not seen["more pages"]


def test_configurations(version: tuple[int, ...], seen: Seen) -> None:
    if version >= (1, 7):
        assert seen["add configuration"]["targetCondition"] == "tags.site='north'"
        assert seen["update configuration"]["priority"] == 4
        assert seen["get configuration"]["priority"] == 4
        assert [each["id"] for each in seen["list configurations"]] == ["rates"]
        assert seen["remove configuration"] is None


def test_edge_modules(version: tuple[int, ...], seen: Seen) -> None:
    if version >= (1, 7):
        assert seen["apply on edge"] is None


def test_jobs(run: Run) -> None:
    seen, job_container = run.seen, run.job_container
    assert "ErrorCode: JobQuotaExceeded" in seen["busy"]["refused"]["message"]
    assert seen["cancelled"]["status"] == "cancelled"
    assert seen["import"]["status"] == seen["export"]["status"] == "completed"
    assert len(seen["list jobs"]) == 3
    refused = seen["rejected job"]["refused"]
    assert "Unauthorized to write to output blob container." in refused["message"]
    assert seen["unknown job"]["refused"]["name"] == "Error"
    assert [line["errorCode"] for line in job_container.log()] == [404001]
    exported = exported_devices(run)
    assert exported.keys() >= {"meter", "pump"}
    keys = exported["pump"]["authentication"]["symmetricKey"]
    assert set(keys.values()) == {None}, "they were left out"


def exported_devices(run: Run) -> dict[str, Any]:
    _, *lines = run.job_container.text("devices.txt").splitlines()
    devices = map(json.loads, lines)
    return {device["id"]: device for device in devices if "moduleId" not in device}


def test_jobs_with_the_identity_of_the_hub(version: tuple[int, ...], seen: Seen) -> None:
    if version >= (1, 12):
        assert seen["export by identity"]["status"] == "completed"


def test_scheduled_jobs(version: tuple[int, ...], seen: Seen) -> None:
    if version >= (1, 1):
        assert seen["scheduled jobs"] == []


def test_entra_id(run: Run) -> None:
    if run.version == CURRENT:
        assert run.seen["get by token"]["deviceId"] == "pump"
        assert run.seen["scopes"] == ["https://iothubs.azure.net/.default"]
