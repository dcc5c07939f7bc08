"""The lifecycle of a job: creation and errors, the job slot, the log, cancellation."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from iothub_emulator.choices import Choices
from tests.emulator.support import (
    HubClient,
    JobContainer,
    StartHub,
    codes,
    error_code,
    stored,
    wait_until,
)

DEVICE = {"id": "pump", "status": "enabled"}


def test_a_job_from_creation_to_completion(
    hub: HubEmulator, client: HubClient, ready: JobContainer
) -> None:
    wanted = ready.request(storageAuthenticationType="keyBased")
    created = client.create_job(wanted)

    assert created.status_code == 200
    assert created.headers["x-ms-request-id"]
    job = created.json()
    assert job["type"] == "import"
    assert job["status"] == "enqueued"
    assert job["inputBlobContainerUri"] == wanted["inputBlobContainerUri"]
    assert job["storageAuthenticationType"] == "keyBased"
    assert job.keys().isdisjoint({"endTimeUtc", "failureReason"})

    done = client.wait_for_job(job["jobId"], "completed")
    assert done["progress"] == 100
    assert "failureReason" not in done
    assert datetime.fromisoformat(done["endTimeUtc"]) >= datetime.fromisoformat(
        done["startTimeUtc"]
    )
    assert client.send("GET", "/jobs").json() == [done]
    assert stored(hub.registry, "pump")["status"] == "enabled"
    assert ready.names() == {"devices.txt", "importErrors.log"}
    assert ready.log() == []


def test_time_is_spread_over_the_states(start_hub: StartHub, job_container: JobContainer) -> None:
    hub = start_hub(job_seconds=0.6)
    client = HubClient(hub.connection_string())
    job_container.write(*({"id": f"pump-{n}", "status": "enabled"} for n in range(20)))
    job_id = client.create_job(job_container.request()).json()["jobId"]

    assert client.job(job_id)["status"] == "enqueued"
    running = client.wait_for_job(job_id, "running")
    assert running["progress"] < 100
    done = client.wait_for_job(job_id, "completed")
    times = (datetime.fromisoformat(done[name]) for name in ("startTimeUtc", "endTimeUtc"))
    start, end = times
    assert 0.5 < (end - start).total_seconds() < 5


def test_a_rate_limits_a_job(start_hub: StartHub, job_container: JobContainer) -> None:
    hub = start_hub(job_rate=200)
    job_container.write(*({"id": f"pump-{number}", "status": "enabled"} for number in range(100)))
    HubClient(hub.connection_string()).create_job(job_container.request())
    hub.wait_idle()

    times = (hub.jobs[0][f"{end}TimeUtc"] for end in ("start", "end"))
    start, end = map(datetime.fromisoformat, times)
    assert end - start >= timedelta(seconds=0.5)
    assert len(hub.registry) == 100


# Live hub, recorded in 2021 at version 2020-03-13: the members of each answer.
RECORDED = {
    *("jobId", "startTimeUtc", "type", "status", "progress"),
    *("outputBlobContainerUri", "excludeKeysInExport", "useSecondaryStorageAsSource"),
}
RECORDED_VERSION = "?api-version=2020-03-13"


@pytest.mark.parametrize(
    ("type_", "created_only"), [("export", set()), ("import", {"inputBlobContainerUri"})]
)
def test_members_match_a_live_hub(
    hub: HubEmulator, client: HubClient, ready: JobContainer, type_: str, created_only: set[str]
) -> None:
    hub.faults.add("hangJob")
    wanted = {name: value for name, value in ready.request().items() if name in RECORDED}
    wanted |= {name: ready.uri() for name in created_only} | {"type": type_}
    created = client.create_job(wanted, query=RECORDED_VERSION).json()
    path = f"/jobs/{created['jobId']}"

    def later() -> dict[str, Any]:
        job: dict[str, Any] = client.send("GET", path, query=RECORDED_VERSION).json()
        assert client.send("GET", "/jobs", query=RECORDED_VERSION).json() == [job]
        return job

    assert created.keys() == RECORDED | created_only
    client.wait_for_job(created["jobId"], "running")
    assert later().keys() == RECORDED
    assert later()["outputBlobContainerUri"] == wanted["outputBlobContainerUri"]
    hub.jobs.cancel(created["jobId"])
    assert later().keys() == RECORDED | {"endTimeUtc"}


def test_other_blob_name(hub: HubEmulator, client: HubClient, job_container: JobContainer) -> None:
    job_container.write(DEVICE, name="other.txt")

    assert client.create_job(job_container.request(inputBlobName="other.txt")).status_code == 200
    hub.wait_idle(timeout=10)
    assert len(hub.registry) == 1


def test_log_replaces_an_older_one(
    hub: HubEmulator, client: HubClient, ready: JobContainer
) -> None:
    ready.write_bytes(b'{"errorCode":1}\n{"errorCode":2}\n', name="importErrors.log")
    ready.write({**DEVICE, "importMode": "delete"})

    client.create_job(ready.request())
    hub.wait_idle(timeout=10)
    assert codes(ready.log()) == [404001]
    assert hub.jobs[0]["status"] == "completed"
    assert hub.jobs[0]["failureReason"] is None


def test_all_modes_in_one_file(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    ids = ["update", "updateIfMatchETag", "delete", "deleteIfMatchETag"]
    ids += ["updateTwin", "updateTwinIfMatchETag"]
    for device_id in ids:
        hub.registry.put({"id": device_id})
    ids += ["createOrUpdate", "create", "createOrUpdateIfMatchETag"]
    stored = {device_id: hub.registry.get(device_id) or {} for device_id in ids}
    valid = [
        {
            "id": device_id,
            "importMode": device_id,
            "status": "enabled",
            "eTag": stored[device_id].get("eTag"),
            "twinETag": stored[device_id].get("twinETag"),
            "tags": {"seen": True},
        }
        for device_id in ids
    ]
    module = {"id": "create", "moduleId": "sensor", "status": "enabled"}
    again = {"id": "create", "importMode": "create", "status": "enabled"}
    job_container.write(*valid, module, again, {"id": "gone"})

    client.create_job(job_container.request())
    hub.wait_idle(timeout=10)
    assert codes(job_container.log()) == [409001, 400012]
    devices = [hub.registry.get(device_id) for device_id in ids if not device_id.startswith("del")]
    assert all(device and device["tags"] == {"seen": True} for device in devices)
    assert len(hub.registry) == len(devices) + 1


def test_large_files_are_read_in_chunks(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    filler = "x" * 100_000
    job_container.write(*({**DEVICE, "id": f"pump-{n}", "filler": filler} for n in range(90)))

    client.create_job(job_container.request())
    hub.wait_idle(timeout=10)
    assert job_container.log() == []
    assert len(hub.registry) == 90


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "GenericBadRequest"),
        ({"type": "sideways"}, "GenericBadRequest"),
        ({"inputBlobContainerUri": "x", "outputBlobContainerUri": "y"}, "GenericBadRequest"),
        ({"type": "export"}, "ArgumentNull"),
        ({"type": "import", "outputBlobContainerUri": "x"}, "ArgumentNull"),
        ({"type": "import", "inputBlobContainerUri": "x"}, "ArgumentNull"),
    ],
)
def test_invalid_bodies(client: HubClient, body: Any, code: str) -> None:
    assert error_code(client.create_job(body)) == (400, code)


def test_slot_is_checked_before_storage(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    hub.occupy_slot()
    response = client.create_job(job_container.request())

    assert error_code(response) == (403, "JobQuotaExceeded")
    lines = response.json()["Message"].split("\n")
    assert lines[0] == "ErrorCode:JobQuotaExceeded;Error: 403 ErrorCode: JobQuotaExceeded"
    assert lines[1] == "Message: Job quota has been exceeded"
    assert [line.partition(":")[0] for line in lines[2:]] == ["Timestamp", "Tracking ID"]


def test_foreign_job_frees_the_slot(
    hub: HubEmulator, client: HubClient, ready: JobContainer
) -> None:
    hub.occupy_slot()
    hub.occupy_slot()
    [foreign] = client.send("GET", "/jobs").json()
    assert (foreign["type"], foreign["status"]) == ("export", "running")

    hub.free_slot()
    hub.free_slot()
    assert client.job(foreign["jobId"])["status"] == "completed"
    assert client.create_job(ready.request()).status_code == 200


@pytest.mark.parametrize("status", ["enqueued", "running", "completed", "failed", "cancelled"])
def test_foreign_import(
    start_hub: StartHub, ready: JobContainer, status: str, blob_service: BlobServiceClient
) -> None:
    hub = start_hub(choices=Choices(uri_echo="full"))
    client = HubClient(hub.connection_string())
    theirs = JobContainer(blob_service)
    start = hub.clock.now() - timedelta(minutes=10)
    is_over = status not in ("enqueued", "running")
    job_id = hub.jobs.add_foreign(
        status, start=start, input_uri=theirs.uri(), output_uri=theirs.client.url
    )
    hub.wait_idle(timeout=1)
    job = client.job(job_id)

    assert (job["type"], job["status"]) == ("import", status)
    assert datetime.fromisoformat(job["startTimeUtc"]) == start
    assert ("endTimeUtc" in job) == is_over
    assert theirs.client.url in job["inputBlobContainerUri"]
    assert job["outputBlobContainerUri"] == theirs.client.url
    assert client.create_job(ready.request()).status_code == (200 if is_over else 403)
    hub.free_slot()
    assert client.job(job_id)["status"] == (status if is_over else "completed")
    assert theirs.names() == set()


def test_foreign_jobs_side_by_side(hub: HubEmulator, client: HubClient) -> None:
    end = hub.clock.now() - timedelta(days=1)
    failed = hub.jobs.add_foreign(
        "failed", type="export", start=end, end=end, failure_reason="No space."
    )
    running = hub.jobs.add_foreign()
    shown = client.job(failed)

    assert (shown["type"], shown["failureReason"]) == ("export", "No space.")
    assert shown["startTimeUtc"] == shown["endTimeUtc"]
    assert shown["outputBlobContainerUri"] == ""
    hub.occupy_slot()
    assert len(hub.jobs) == 2, "the slot is occupied already"
    assert client.send("DELETE", f"/jobs/{running}").status_code == 204
    hub.free_slot()
    assert [job["status"] for job in hub.jobs] == ["failed", "cancelled"]
    with pytest.raises(ValueError, match="paused"):
        hub.jobs.add_foreign("paused")


def test_a_single_job_slot(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    hub.faults.add("hangJob")
    first = client.create_job(ready.request()).json()["jobId"]

    assert client.create_job(ready.request()).status_code == 403
    client.wait_for_job(first, "running")
    assert client.create_job(ready.request()).status_code == 403
    assert client.send("DELETE", f"/jobs/{first}").status_code == 204
    assert client.create_job(ready.request()).status_code == 200


def test_only_one_of_two_concurrent_creations_succeeds(
    hub: HubEmulator, client: HubClient, ready: JobContainer
) -> None:
    hub.faults.add("hangJob")
    statuses = []
    threads = [
        threading.Thread(
            target=lambda: statuses.append(client.create_job(ready.request()).status_code)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200, 403, 403, 403]


def test_cancel(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    hub.faults.add("hangJob")
    job_id = client.create_job(ready.request()).json()["jobId"]
    client.wait_for_job(job_id, "running")

    assert client.send("DELETE", f"/jobs/{job_id}").status_code == 204
    job = client.job(job_id)
    assert job["status"] == "cancelled"
    assert job["endTimeUtc"]
    assert error_code(client.send("DELETE", f"/jobs/{job_id}")) == (500, "ServerError")
    assert len(hub.registry) == 0


def test_cancelled_job_keeps_imported_devices(
    start_hub: StartHub, job_container: JobContainer
) -> None:
    hub = start_hub(job_seconds=2)
    client = HubClient(hub.connection_string())
    job_container.write(*({"id": f"pump-{n}", "status": "enabled"} for n in range(100)))
    job_id = client.create_job(job_container.request()).json()["jobId"]
    wait_until(lambda: len(hub.registry) > 0)

    hub.jobs.cancel(job_id)
    assert client.job(job_id)["status"] == "cancelled"
    assert 0 < len(hub.registry) < 100
    assert "importErrors.log" not in job_container.names()


def test_unknown_job(client: HubClient) -> None:
    assert error_code(client.send("GET", "/jobs/nobody")) == (404, "JobNotFound")
    assert error_code(client.send("DELETE", "/jobs/nobody")) == (500, "ServerError")
