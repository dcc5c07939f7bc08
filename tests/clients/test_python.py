"""The official Python service client, unmodified, against the hub emulator over TLS."""

from __future__ import annotations

import pytest

from iothub_emulator import HubEmulator
from tests.clients.support import FLEET, FOLDER, PUMP_KEYS, Seen, run_client
from tests.emulator.support import JobContainer


@pytest.fixture(scope="module")
def seen(hub: HubEmulator, job_container: JobContainer) -> Seen:
    job_container.write(*FLEET, name="fleet.txt")
    command = [str(FOLDER / ".venv/bin/python"), str(FOLDER / "python_client.py")]
    return run_client(command, hub, job_container, hub.address, REQUESTS_CA_BUNDLE=str(hub.ca_file))


def test_registry(seen: Seen) -> None:
    registry = seen["registry"]
    keys = registry["created"]["authentication"]["symmetric_key"]
    assert list(keys.values()) == list(PUMP_KEYS.values())
    assert registry["created"]["status_reason"] == "new"
    assert registry["updated"]["status"] == "disabled"
    assert registry["updated"]["generation_id"] == registry["created"]["generation_id"]
    assert registry["got"]["status"] == "enabled"
    assert registry["stale"] == [412, "PreconditionFailed"]
    assert registry["again"] == [409, "DeviceAlreadyExists"]
    assert registry["missing"] == [404, "DeviceNotFound"]
    assert registry["module"]["managed_by"] == "me"
    assert registry["edge"]["device_scope"].startswith("ms-azure-iot-edge://edge-")
    assert registry["edge"]["authentication"]["type"] == "certificateAuthority"
    assert registry["modules"] == ["$edgeAgent", "$edgeHub"]
    assert registry["statistics"] == {
        "total_device_count": 3,
        "enabled_device_count": 2,
        "disabled_device_count": 1,
    }
    assert registry["listed"] == ["edge", "pump", "valve"]


def test_bulk(seen: Seen) -> None:
    bulk = seen["registry"]["bulk"]
    assert not bulk["is_successful"]
    [error] = bulk["errors"]
    assert (error["device_id"], error["error_code"]) == ("pump", "DeviceAlreadyExists")


def test_twins(seen: Seen) -> None:
    twins = seen["twins"]
    assert twins["patched"]["tags"] == {"site": "north"}
    desired = twins["patched"]["properties"]["desired"]
    assert (desired["rate"], desired["$version"]) == (5, 2)
    assert desired["$metadata"]["rate"]["$lastUpdatedVersion"] == 2
    assert twins["stale"] == [412, "PreconditionFailed"]
    assert twins["replaced"]["tags"] == {"site": "south"}
    assert (twins["pages"], twins["type"]) == ([["pump"], ["valve"]], "Twin")


def test_configurations(seen: Seen) -> None:
    created = seen["configurations"]["created"]
    assert created["content"] == {"device_content": {"properties.desired.rate": 5}}
    assert created["target_condition"] == "tags.site='north'"
    assert seen["configurations"]["listed"] == ["rates"]


def test_jobs(seen: Seen, job_container: JobContainer) -> None:
    jobs = seen["jobs"]
    assert jobs["busy"] == [403, "JobQuotaExceeded"]
    assert jobs["cancelled"] == "cancelled"
    assert jobs["refused"] == [400, "BlobContainerValidationError"]
    assert jobs["unknown"] == [404, "JobNotFound"]
    for job in (jobs["imported"], jobs["exported"]):
        assert (job["status"], job["progress"]) == ("completed", 100)
        assert "failure_reason" not in job
        assert job["end_time_utc"] > job["start_time_utc"]
    assert [jobs["imported"]["job_id"], jobs["exported"]["job_id"]] == jobs["listed"][1:]
    assert [line["errorCode"] for line in job_container.log()] == [404001]
    exported = {line["id"]: line for line in job_container.lines("all.txt")}
    assert exported.keys() == {"meter", "pump", "valve"}
    assert exported["pump"]["authentication"]["symmetricKey"] == PUMP_KEYS
    [configuration] = job_container.lines("configurations.txt")
    assert configuration["Id"] == "rates"


def test_entra_id(seen: Seen) -> None:
    assert seen["by_token"] == "pump"
    assert seen["scopes"] == ["https://iothubs.azure.net/.default"]
