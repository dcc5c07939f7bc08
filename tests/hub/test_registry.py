"""Reading devices one by one and by an export: both give the same lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iothub_emulator import HubEmulator
from iothub_emulator.registry.identity import Key
from shared.hub.client import HubClient
from shared.hub.exceptions import HubUnauthorizedError
from shared.hub.jobs import ExportJobRequest, JobStatus
from shared.hub.registry import export_line
from shared.plan.entries import Entry, read_entry
from tests.hub.conftest import Connect, JobContainer

SIGNED = {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "aB" * 20}}


@pytest.fixture
def fleet(hub: HubEmulator) -> HubEmulator:
    """All kinds of devices, with modules."""
    registry = hub.registry
    registry.put({"id": "pump", "tags": {"site": "Süd"}, "statusReason": "new"})
    registry.put({"id": "pump", "moduleId": "sensor", "properties": {"desired": {"rate": 5}}})
    registry.put({"id": "pump", "moduleId": "broken", "status": "disabled", "statusReason": "x"})
    registry.put({"id": "signed", "status": "disabled", "authentication": SIGNED})
    registry.put({"id": "ca?#%", "authentication": {"type": "certificateAuthority"}})
    registry.put({"id": "gateway", "capabilities": {"iotEdge": True}})
    scope = (registry.get("gateway") or {})["deviceScope"]
    registry.put({"id": "leaf", "deviceScope": scope})
    registry.put({"id": "child", "capabilities": {"iotEdge": True}, "parentScopes": [scope]})
    registry.put({"id": "pump", "authentication": SIGNED})
    return hub


def exported(
    hub: HubEmulator, client: HubClient, container: JobContainer, *, exclude_keys: bool
) -> list[str]:
    request = ExportJobRequest(output_blob_container_uri=container.uri, exclude_keys=exclude_keys)
    job = client.create_job(request)
    assert job.type == "export"
    hub.wait_idle()
    assert client.get_job(job.job_id).status is JobStatus.COMPLETED
    text: str = container.client.download_blob("devices.txt", encoding="utf-8").readall()
    return text.splitlines()


def looked_up(client: HubClient, device_id: str, module_id: str = "") -> tuple[Any, Entry]:
    line = client.read_identity(device_id, module_id)
    assert line is not None
    return read_entry(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode())


def test_lookups_read_what_an_export_contains(
    fleet: HubEmulator, connect: Connect, job_container: JobContainer
) -> None:
    client = connect(fleet.connection_string())
    lines = exported(fleet, client, job_container, exclude_keys=False)
    assert len(lines) == len(fleet.registry)
    for line in lines:
        ids, entry = read_entry(line.encode())
        assert looked_up(client, *ids) == (ids, entry)
    assert {*client.list_modules("pump")} == {"sensor", "broken"}
    assert {*client.list_modules("gateway")} == {"$edgeAgent", "$edgeHub"}


def test_an_export_without_keys(
    fleet: HubEmulator, connect: Connect, job_container: JobContainer
) -> None:
    client = connect(fleet.connection_string("registryReadWrite"))
    note, *lines = exported(fleet, client, job_container, exclude_keys=True)
    assert not note.startswith("{")
    assert all(read_entry(line.encode())[1].keys is None for line in lines)
    assert len(lines) == len(fleet.registry)


def test_devices_are_counted_without_modules(fleet: HubEmulator, connect: Connect) -> None:
    client = connect(fleet.connection_string("registryRead"))
    assert client.count_devices() == 6
    fleet.registry.delete(Key("gateway"))
    assert client.count_devices() == 5


def test_what_does_not_exist(fleet: HubEmulator, connect: Connect) -> None:
    client = connect(fleet.connection_string())
    assert client.read_identity("absent") is None
    assert client.read_identity("pump", "absent") is None
    assert client.list_modules("leaf") == []


@pytest.mark.parametrize("ids", [("signed", "sensor"), ("absent", "sensor")])
def test_modules_of_a_disabled_or_missing_device(
    fleet: HubEmulator, connect: Connect, ids: tuple[str, str]
) -> None:
    """Hubs answer 401 to shared access signatures, as if a right were missing."""
    client = connect(fleet.connection_string())
    with pytest.raises(HubUnauthorizedError):
        client.read_identity(*ids)
    with pytest.raises(HubUnauthorizedError):
        client.list_modules(ids[0])


def test_twins_need_another_right_than_devices(fleet: HubEmulator, connect: Connect) -> None:
    client = connect(fleet.connection_string("registryReadWrite"))
    with pytest.raises(HubUnauthorizedError):
        client.read_identity("pump")
    assert client.read_identity("absent") is None


@pytest.mark.parametrize(("identity", "twin"), [([], {}), ({}, None), ("", "")])
def test_other_answers_are_no_line(identity: Any, twin: Any) -> None:
    assert export_line(identity, twin) is None
