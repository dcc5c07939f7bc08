"""Versions of the official Python service client, unmodified, against the emulator over TLS."""

from __future__ import annotations

import pytest
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from tests.clients.support import FOLDER, PUMP_KEYS, Run, Seen, run_client

CURRENT = "2.7.0"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("2.0.0", marks=pytest.mark.clients),
        pytest.param("2.1.0", marks=pytest.mark.clients),
        pytest.param("2.2.3", marks=pytest.mark.clients),
        pytest.param("2.3.0", marks=pytest.mark.clients),
        CURRENT,
    ],
)
def run(request: pytest.FixtureRequest, blob_service: BlobServiceClient) -> Run:
    version: str = request.param
    command = [str(FOLDER / ".venv/bin/python"), str(FOLDER / "python_client.py")]
    older = FOLDER / f".venv/older/azure-iot-hub=={version}"
    with HubEmulator(tls=True) as hub:
        variables = {
            "REQUESTS_CA_BUNDLE": str(hub.ca_file),
            "PYTHONPATH": "" if version == CURRENT else str(older),
        }
        return run_client(version, command, hub, blob_service, variables)


@pytest.fixture
def version(run: Run) -> str:
    return run.version


@pytest.fixture
def seen(run: Run) -> Seen:
    return run.seen


def test_registry(seen: Seen) -> None:
    keys = seen["create"]["authentication"]["symmetric_key"]
    assert list(keys.values()) == list(PUMP_KEYS.values())
    assert seen["create again"] == {"refused": [409, "DeviceAlreadyExists"]}
    assert seen["update"]["status"] == "disabled"
    assert seen["update"]["generation_id"] == seen["create"]["generation_id"]
    assert seen["get"]["status"] == seen["update any"]["status"] == "enabled"
    assert seen["create x509"]["authentication"]["type"] == "selfSigned"
    assert seen["create x509"]["authentication"]["x509_thumbprint"] == {
        "primary_thumbprint": "A" * 40,
        "secondary_thumbprint": "B" * 40,
    }
    assert [device["device_id"] for device in seen["list"]] == ["meter", "pump"]
    assert seen["delete"] is None
    assert seen["get missing"] == {"refused": [404, "DeviceNotFound"]}
    assert seen["device statistics"] == {
        "total_device_count": 1,
        "enabled_device_count": 1,
        "disabled_device_count": 0,
    }
    assert seen["service statistics"] == {"connected_device_count": 0}


def test_stale_etag(version: str, seen: Seen) -> None:
    """Older versions send If-Match ``*``."""
    if version in ("2.0.0", "2.1.0", "2.2.3"):
        assert seen["update stale"]["status"] == "enabled"
    else:
        assert seen["update stale"] == {"refused": [412, "PreconditionFailed"]}


def test_bulk(seen: Seen) -> None:
    for name in ("bulk", "bulk edge", "bulk create", "bulk delete"):
        assert seen[name]["is_successful"], name
    assert not seen["bulk refused"]["is_successful"]
    [error] = seen["bulk refused"]["errors"]
    assert (error["device_id"], error["error_code"]) == ("pump", "409001")


def test_edge(version: str, seen: Seen) -> None:
    assert [each["module_id"] for each in seen["list modules"]] == ["$edgeAgent", "$edgeHub"]
    if version not in ("2.0.0", "2.1.0"):
        edge = seen["create edge"]
        assert edge["device_scope"].startswith("ms-azure-iot-edge://second-edge-")
        assert edge["authentication"]["type"] == "certificateAuthority"


def test_modules(seen: Seen) -> None:
    assert seen["create module"]["managed_by"] == "me"
    assert seen["update module"]["managed_by"] == seen["get module"]["managed_by"] == "you"
    assert seen["get module twin"]["module_id"] == "sensor"
    assert seen["update module twin"]["properties"]["desired"]["rate"] == 5
    replaced = seen["replace module twin"]["properties"]["desired"]
    assert (replaced["pace"], "rate" in replaced) == (6, False)
    assert seen["delete module"] is None
    assert seen["get missing module"] == {"refused": [404, "ModuleNotFound"]}


def test_twins(seen: Seen) -> None:
    assert seen["update twin"]["tags"] == {"site": "north"}
    desired = seen["update twin"]["properties"]["desired"]
    assert (desired["rate"], desired["$version"]) == (5, 2)
    assert desired["$metadata"]["rate"]["$lastUpdatedVersion"] == 2
    assert seen["update twin stale"] == {"refused": [412, "PreconditionFailed"]}
    assert seen["replace twin"]["tags"] == {"site": "south"}


def test_queries(version: str, seen: Seen) -> None:
    if version == "2.0.0":
        return
    pages = [seen["query"], seen["second page"]]
    assert [[twin["device_id"] for twin in page["items"]] for page in pages] == [
        ["pump"],
        ["valve"],
    ]
    assert [page["type"] for page in pages] == ["Twin", "Twin"]
    assert pages[1]["continuation_token"] is None


def test_configurations(seen: Seen) -> None:
    created = seen["create configuration"]
    assert created["content"] == {"device_content": {"properties.desired.rate": 5}}
    assert created["target_condition"] == "tags.site='north'"
    # Without quotes the client's If-Match has no effect at a hub.
    refused = {"refused": [409, "ConfigurationAlreadyExists"]}
    assert seen["update configuration unquoted"] == refused
    assert seen["get configuration"]["priority"] == seen["update configuration"]["priority"] == 4
    assert [each["id"] for each in seen["list configurations"]] == ["rates"]
    assert seen["delete configuration"] is None


def test_configuration_queries(seen: Seen) -> None:
    assert seen["test queries"].get("target_condition_error") is None
    assert "refused" not in seen["test queries"]


def test_edge_modules(seen: Seen) -> None:
    assert seen["apply on edge"] is None


def test_jobs(run: Run) -> None:
    seen, job_container = run.seen, run.job_container
    assert seen["busy"] == {"refused": [403, "JobQuotaExceeded"]}
    assert seen["cancelled"]["status"] == "cancelled"
    assert seen["rejected job"] == {"refused": [400, "BlobContainerValidationError"]}
    assert seen["unknown job"] == {"refused": [404, "JobNotFound"]}
    for job in (seen["import"], seen["export"]):
        assert (job["status"], job["progress"]) == ("completed", 100)
        assert "failure_reason" not in job
        assert job["end_time_utc"] > job["start_time_utc"]
    ids = [job["job_id"] for job in seen["list jobs"]]
    assert [seen["import"]["job_id"], seen["export"]["job_id"]] == ids[1:]
    assert [line["errorCode"] for line in job_container.log()] == [404001]
    exported = {
        line["id"]: line for line in job_container.lines("all.txt") if "moduleId" not in line
    }
    assert exported.keys() == {"edge", "meter", "pump", "valve"}
    assert exported["pump"]["authentication"]["symmetricKey"] == PUMP_KEYS
    if "include_configurations" in seen["export"]:
        [configuration] = job_container.lines("configurations.txt")
        assert configuration["Id"] == "rates"


def test_scheduled_jobs(seen: Seen) -> None:
    assert "type" not in seen["scheduled jobs"], "the client reads the list as an object"


def test_entra_id(version: str, seen: Seen) -> None:
    if version == CURRENT:
        assert seen["get by token"]["device_id"] == "pump"
        assert seen["scopes"] == ["https://iothubs.azure.net/.default"]
