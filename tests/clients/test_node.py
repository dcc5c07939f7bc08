"""The official Node.js service client, unmodified, against the hub emulator over TLS."""

from __future__ import annotations

import json

import pytest

from iothub_emulator import HubEmulator
from tests.clients.support import FLEET, FOLDER, PUMP_KEYS, Seen, run_client
from tests.emulator.support import JobContainer


@pytest.fixture(scope="module")
def seen(hub: HubEmulator, job_container: JobContainer) -> Seen:
    job_container.write(*FLEET)
    command = ["node", "--require", str(FOLDER / "port.cjs"), str(FOLDER / "node_client.cjs")]
    host, port = hub.address.split(":")
    trust = {"NODE_EXTRA_CA_CERTS": str(hub.ca_file)}
    return run_client(command, hub, job_container, host, HUB_PORT=port, **trust)


def test_registry(seen: Seen) -> None:
    devices = seen["devices"]
    assert devices["created"]["authentication"]["symmetricKey"] == PUMP_KEYS
    assert devices["updated"]["status"] == devices["got"]["status"] == "disabled"
    assert devices["edge"]["capabilities"] == {"iotEdge": True}
    assert devices["modules"] == ["$edgeAgent", "$edgeHub", "filter"]
    assert devices["listed"] == ["edge", "pump"]
    assert devices["statistics"]["totalDeviceCount"] == 2
    assert devices["again"]["name"] == "DeviceAlreadyExistsError"
    assert devices["missing"]["name"] == "DeviceNotFoundError"


def test_bulk(seen: Seen) -> None:
    devices = seen["devices"]
    assert devices["added"]["isSuccessful"]
    assert devices["removed"]["isSuccessful"]
    assert "DeviceAlreadyExists" in devices["addedAgain"]["message"]


def test_twins(seen: Seen) -> None:
    twins = seen["twins"]
    assert twins["patched"]["tags"] == {"site": "north"}
    assert twins["patched"]["properties"]["desired"]["rate"] == 5
    assert twins["stale"]["name"] == "InvalidEtagError"
    assert twins["pages"] == [["pump"], ["valve"]]


def test_jobs(seen: Seen, job_container: JobContainer) -> None:
    jobs = seen["jobs"]
    assert "ErrorCode: JobQuotaExceeded" in jobs["busy"]["message"]
    assert jobs["cancelled"] == "cancelled"
    assert jobs["imported"]["status"] == jobs["exported"]["status"] == "completed"
    assert len(jobs["listed"]) == 3
    assert "Unauthorized to write to output blob container." in jobs["refused"]["message"]
    assert jobs["unknown"]["name"] == "Error"
    assert [line["errorCode"] for line in job_container.log()] == [404001]
    _, *lines = job_container.text("devices.txt").splitlines()
    exported = {line["id"]: line for line in map(json.loads, lines)}
    assert exported.keys() == {"meter", "pump", "valve"}
    keys = exported["pump"]["authentication"]["symmetricKey"]
    assert set(keys.values()) == {None}, "they were left out"


def test_entra_id(seen: Seen) -> None:
    assert seen["byToken"] == "pump"
    assert seen["scopes"] == ["https://iothubs.azure.net/.default"]
