"""Export jobs, and importing the exports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iothub_emulator import HubEmulator
from iothub_emulator.jobs.runner import KEYLESS_NOTE
from iothub_emulator.registry.registry import Registry
from local import samples
from tests.emulator.support import HubClient, JobContainer, StartHub, error_code, stored

FLEET: list[dict[str, Any]] = [
    *map(dict, samples.fleet(20)),
    {"id": "edge", "capabilities": {"iotEdge": True}},
    {"id": "edge", "moduleId": "filter", "properties": {"desired": {"rate": 5}}},
]


@pytest.fixture
def fleet(hub: HubEmulator) -> HubEmulator:
    for line in FLEET:
        hub.registry.put(line)
    return hub


def export(hub: HubEmulator, job_container: JobContainer, **members: Any) -> dict[str, Any]:
    wanted = {"type": "export", "outputBlobContainerUri": job_container.uri(), **members}
    response = HubClient(hub.connection_string()).create_job(wanted)
    assert response.status_code == 200, response.text
    hub.wait_idle()
    return hub.jobs[-1]


def test_each_identity_is_a_line_followed_by_its_modules(
    fleet: HubEmulator, job_container: JobContainer
) -> None:
    job = export(fleet, job_container)

    assert (job["status"], job["progress"], job["failureReason"]) == ("completed", 100, None)
    lines = job_container.lines("devices.txt")
    assert len(lines) == len(fleet.registry) == len(FLEET) + 2
    names = [(line["id"], line.get("moduleId")) for line in lines]
    assert names == sorted(names, key=lambda name: (name[0], name[1] or ""))
    start = names.index(("edge", None))
    modules = [module for _, module in names[start : start + 4]]
    assert modules == [None, "$edgeAgent", "$edgeHub", "filter"]
    for line in lines:
        assert line == stored(fleet.registry, line["id"], line.get("moduleId"))
    assert "importErrors.log" not in job_container.names()


def test_export_and_import_copy_a_hub(
    fleet: HubEmulator, start_hub: StartHub, job_container: JobContainer
) -> None:
    """Modules that each hub creates for its edge devices are rejected."""
    export(fleet, job_container)
    other = start_hub()
    HubClient(other.connection_string()).create_job(job_container.request())
    other.wait_idle()

    assert [line["errorCode"] for line in job_container.log()] == [401100, 401100]
    assert len(other.registry) == len(fleet.registry)
    for line in FLEET:
        name = line["id"], line.get("moduleId")
        mine, theirs = stored(fleet.registry, *name), stored(other.registry, *name)
        for own in ("eTag", "twinETag", "deviceScope"):
            mine.pop(own, None)
            theirs.pop(own, None)
        assert mine == theirs


def test_without_keys(fleet: HubEmulator, job_container: JobContainer) -> None:
    export(fleet, job_container, excludeKeysInExport=True)

    first, *rest = job_container.text("devices.txt").splitlines(keepends=True)
    assert first == KEYLESS_NOTE
    keys = [json.loads(line)["authentication"]["symmetricKey"] for line in rest]
    assert {value for each in keys for value in each.values()} == {None}
    with_thumbprints = sum('primaryThumbprint":"' in line for line in rest)
    assert with_thumbprints == sum(
        "primaryThumbprint" in str(line.get("authentication")) for line in FLEET
    )


def test_importing_an_export_without_keys_creates_new_keys(
    hub: HubEmulator, job_container: JobContainer
) -> None:
    hub.registry.put({"id": "pump"})
    old = stored(hub.registry, "pump")["authentication"]
    export(hub, job_container, excludeKeysInExport=True)
    HubClient(hub.connection_string()).create_job(job_container.request())
    hub.wait_idle()

    assert [line["errorCode"] for line in job_container.log()] == [400012]
    assert stored(hub.registry, "pump")["authentication"] != old


def test_an_empty_hub_writes_an_empty_file(hub: HubEmulator, job_container: JobContainer) -> None:
    export(hub, job_container, outputBlobName="all.ndjson")

    assert job_container.text("all.ndjson") == ""


def test_an_older_export_is_replaced(fleet: HubEmulator, job_container: JobContainer) -> None:
    export(fleet, job_container)
    for device in {line["id"] for line in FLEET} - {"edge"}:
        HubClient(fleet.connection_string()).send(
            "DELETE", f"/devices/{device}", headers={"If-Match": "*"}
        )
    export(fleet, job_container)

    assert {line["id"] for line in job_container.lines("devices.txt")} == {"edge"}


def test_many_identities_are_read_in_batches(hub: HubEmulator, job_container: JobContainer) -> None:
    for number in range(1100):
        hub.registry.put({"id": f"pump-{number:04}"})
    export(hub, job_container)

    expected = [f"pump-{number:04}" for number in range(1100)]
    assert [line["id"] for line in job_container.lines("devices.txt")] == expected


@pytest.mark.parametrize(
    ("permission", "text"),
    [("r", "Unauthorized to write"), ("rw", "Unauthorized to delete from")],
)
def test_storage_is_checked_first(
    client: HubClient, job_container: JobContainer, permission: str, text: str
) -> None:
    wanted = {"type": "export", "outputBlobContainerUri": job_container.uri(permission)}
    response = client.create_job(wanted)

    assert error_code(response) == (400, "BlobContainerValidationError")
    assert text in response.json()["Message"]


def test_exports_and_imports_share_the_slot(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    hub.faults.add("hangJob")
    export_job = {"type": "export", "outputBlobContainerUri": job_container.uri()}
    running = client.create_job(export_job).json()
    job_container.write({"id": "pump", "status": "enabled"})

    assert error_code(client.create_job(job_container.request())) == (403, "JobQuotaExceeded")
    assert client.send("DELETE", f"/jobs/{running['jobId']}").status_code == 204
    assert client.create_job(job_container.request()).status_code == 200


def test_configurations_are_exported_too(
    hub: HubEmulator, start_hub: StartHub, job_container: JobContainer
) -> None:
    content = {"deviceContent": {"properties.desired.rate": 5}}
    body = {"content": content, "targetCondition": "*", "priority": 3, "labels": {"a": "b"}}
    client = HubClient(hub.connection_string())
    created = client.send("PUT", "/configurations/rates", body).json()
    hub.registry.put({"id": "pump"})
    export(hub, job_container, includeConfigurations=True)
    [exported] = job_container.lines("configurations.txt")
    assert (exported["Id"], exported["Priority"]) == ("rates", 3)

    job_container.write(
        json.dumps(exported),
        {"id": "none", "importMode": "delete", "content": content},
        {"id": "UPPER", "content": content},
        {"id": "rates", "importMode": "updateTwin", "content": content},
        "no JSON",
        name="configurations.txt",
    )
    other = start_hub()
    HubClient(other.connection_string()).create_job(
        job_container.request(includeConfigurations=True)
    )
    other.wait_idle()
    moved = HubClient(other.connection_string()).send("GET", "/configurations/rates").json()
    moved["systemMetrics"]["results"] = {}
    unlike = {"createdTimeUtc", "lastUpdatedTimeUtc"}
    assert {k: v for k, v in moved.items() if k not in unlike} == {
        k: v for k, v in created.items() if k not in unlike
    }
    log = job_container.lines("importConfigErrors.log")
    assert [line["errorCode"] for line in log] == [404301, 400004, 400003, 400012]
    assert [line.get("configurationId") for line in log] == ["none", "UPPER", "rates", None]
    assert job_container.log() == []


def test_a_lone_surrogate_is_replaced(registry: Registry) -> None:
    """It is read as the replacement character, as in Json.NET."""
    registry.put(json.loads('{"id": "pump", "statusReason": "\\ud800", "tags": {"a": "\\udfff"}}'))

    assert stored(registry, "pump")["tags"] == {"a": "\N{REPLACEMENT CHARACTER}"}
