"""Fault injection by Python and by the control API."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from iothub_emulator import HubEmulator
from tests.emulator.support import HubClient, JobContainer, codes, error_code, wait_until


def control(hub: HubEmulator, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, f"http://{hub.address}/emulator{path}", timeout=10, **options)


def test_throttle(hub: HubEmulator, client: HubClient) -> None:
    hub.faults.add("throttle", times=2)

    for _ in range(2):
        response = client.send("GET", "/jobs")
        assert error_code(response) == (429, "ThrottlingBacklogTimeout")
        assert "Wait 10 seconds" in response.json()["Message"]
        assert "Operation type: ListJobs" in response.json()["Message"]
        assert "Retry-After" not in response.headers
        assert response.headers["Connection"] == "close"
    assert client.send("GET", "/jobs").status_code == 200


def test_fail_over(hub: HubEmulator, client: HubClient) -> None:
    hub.faults.add("failOver", times=2)

    for path in ("/jobs", "/devices/pump"):
        assert error_code(client.send("GET", path)) == (404, "IotHubFailingOver")
    assert client.send("GET", "/jobs").status_code == 200


def test_rules_apply_to_operations(hub: HubEmulator, client: HubClient) -> None:
    for operation in ("createJob", "getJob", "listJobs", "cancelJob", "registry"):
        hub.faults.add("error", operation=operation, status=503, code=operation)

    def code(method: str, path: str) -> str:
        return client.send(method, path).headers["iothub-errorcode"]

    assert code("GET", "/devices") == "registry"
    assert code("DELETE", "/jobs/x") == "cancelJob"
    assert code("GET", "/jobs/x") == "getJob"
    assert code("POST", "/jobs/create") == "createJob"
    assert code("GET", "/jobs") == "listJobs"
    assert hub.faults.to_json() == []


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("MessageTooLarge", 413001),
        ("ConfigurationCountLimitExceeded", 413101),
        ("ThrottlingException", 429001),
        ("ServiceUnavailable", 503001),
        ("Unheard", 500000),
    ],
)
def test_the_status_follows_from_the_code(
    hub: HubEmulator, client: HubClient, code: str, number: int
) -> None:
    hub.faults.add("error", code=code, shape="E2")
    response = client.send("GET", "/devices")

    assert error_code(response) == (number // 1000, code)
    assert response.json()["errorCode"] == number


@pytest.mark.parametrize("shape", ["E1", "E2", "E3", "E4", "E7"])
def test_error_in_every_shape(hub: HubEmulator, client: HubClient, shape: str) -> None:
    hub.faults.add("error", status=503, code="ServerBusy", message="not now", shape=shape)
    response = client.send("GET", "/jobs")

    assert response.status_code == 503
    if shape == "E7":
        assert response.text == "not now"
        assert "iothub-errorcode" not in response.headers
        return
    assert response.headers["iothub-errorcode"] == "ServerBusy"
    body = response.json()
    match shape:
        case "E1":
            assert body["Message"] == "ErrorCode:ServerBusy;not now"
            assert body["ExceptionMessage"]
        case "E2":
            assert (body["errorCode"], body["message"]) == (503000, "not now")
        case "E3":
            assert '"errorCode":503000' in body["Message"]
        case "E4":
            assert "\nMessage: not now\n" in body["Message"]
            assert body["ExceptionMessage"] == ""


def test_refuse(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    hub.faults.add("refuse", operation="createJob")

    with pytest.raises(requests.ConnectionError):
        client.create_job(ready.request())
    assert len(hub.jobs) == 0


def test_drop_reply(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    hub.faults.add("dropReply", operation="createJob")

    with pytest.raises(requests.ConnectionError):
        client.create_job(ready.request())
    assert len(hub.jobs) == 1
    hub.wait_idle(timeout=10)
    assert len(hub.registry) == 1


def test_delay(hub: HubEmulator, client: HubClient) -> None:
    hub.faults.add("delay", seconds=0.2)
    started = time.monotonic()

    assert client.send("GET", "/jobs").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_delay_past_the_timeout_of_the_client(
    hub: HubEmulator, client: HubClient, ready: JobContainer
) -> None:
    hub.faults.add("delay", operation="createJob", seconds=3600)

    with pytest.raises(requests.Timeout):
        client.create_job(ready.request(), timeout=0.3)
    wait_until(lambda: len(hub.jobs) == 1)


def test_fail_job(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    hub.faults.add("failJob", reason="The moon was in the way.")
    client.create_job(ready.request())
    hub.wait_idle(timeout=10)

    assert hub.jobs[0]["status"] == "failed"
    assert hub.jobs[0]["failureReason"] == "The moon was in the way."
    assert hub.jobs[0]["endTimeUtc"]
    assert len(hub.registry) == 0
    assert client.create_job(ready.request()).status_code == 200
    hub.wait_idle(timeout=10)
    assert hub.jobs[1]["status"] == "completed"


def test_hang_job(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    hub.faults.add("hangJob")
    job_id = client.create_job(ready.request()).json()["jobId"]
    client.wait_for_job(job_id, "running")

    with pytest.raises(TimeoutError):
        hub.wait_idle(timeout=0.05)
    hub.jobs.cancel(job_id)
    hub.wait_idle(timeout=10)


def test_forget_job(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    hub.faults.add("hangJob")
    job_id = client.create_job(ready.request()).json()["jobId"]
    hub.faults.add("forgetJob")

    assert error_code(client.send("GET", f"/jobs/{job_id}")) == (404, "JobNotFound")
    assert client.send("GET", "/jobs").json() == []
    assert client.create_job(ready.request()).status_code == 200


def test_late_log(hub: HubEmulator, client: HubClient, job_container: JobContainer) -> None:
    """The log survives the next job and the deletion of its own job."""
    job_container.write({"id": "pump"}, {"id": "valve", "status": "enabled"})
    hub.faults.add("lateLog")
    job_id = client.create_job(job_container.request()).json()["jobId"]
    done = client.wait_for_job(job_id, "completed")
    assert done["progress"] == 100
    assert len(hub.registry) == 1
    assert job_container.names() == {"devices.txt"}

    other = JobContainer(job_container.service)
    other.write({"id": "pump", "status": "enabled"})
    client.create_job(other.request())
    hub.wait_idle()
    wait_until(lambda: "importErrors.log" in other.names())
    hub.faults.add("forgetJob")
    hub.write_late_logs()
    assert codes(job_container.log()) == [400012]
    job_container.client.delete_blob("importErrors.log")
    hub.write_late_logs()
    assert job_container.names() == {"devices.txt"}, "a log is written once"


def test_late_logs_through_the_control_api(
    hub: HubEmulator, client: HubClient, ready: JobContainer
) -> None:
    hub.faults.add("lateLog")
    client.create_job(ready.request())
    hub.wait_idle()

    assert control(hub, "POST", "/late-logs").status_code == 204
    assert ready.log() == []


def test_late_log_of_configurations(
    hub: HubEmulator, client: HubClient, ready: JobContainer
) -> None:
    ready.write_bytes(b"{", name="configurations.txt")
    before = ready.names()
    hub.faults.add("lateLog")
    client.create_job(ready.request(includeConfigurations=True))
    hub.wait_idle()
    assert ready.names() == before

    hub.write_late_logs()
    assert ready.log() == []
    assert len(ready.text("importConfigErrors.log").splitlines()) == 1


def test_no_log(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    hub.faults.add("noLog")
    job_id = client.create_job(ready.request()).json()["jobId"]

    assert client.wait_for_job(job_id, "completed")["progress"] == 100
    hub.write_late_logs()
    assert len(hub.registry) == 1
    assert ready.names() == {"devices.txt"}


def test_control_api(hub: HubEmulator, client: HubClient) -> None:
    rule = {"kind": "throttle", "operation": "listJobs", "times": 3}
    assert control(hub, "POST", "/faults", json=rule).status_code == 204
    assert client.send("GET", "/jobs").status_code == 429
    [left] = control(hub, "GET", "/faults").json()
    assert left["times"] == 2
    assert control(hub, "DELETE", "/faults").status_code == 204
    assert client.send("GET", "/jobs").status_code == 200
    assert control(hub, "GET", "/requests").json() == {
        "createJob": 0,
        "getJob": 0,
        "listJobs": 2,
        "cancelJob": 0,
        "registry": 0,
    }
    assert hub.requests["listJobs"] == 2


def test_roles_through_the_control_api(hub: HubEmulator, client: HubClient) -> None:
    def status() -> int:
        token = {"Authorization": f"Bearer {hub.token('somebody')}"}
        return client.send("GET", "/jobs", headers=token).status_code

    assert status() == 200
    for role, expected in (("IoT Hub Registry Contributor", 401), ("IoT Hub Data Reader", 200)):
        answer = control(hub, "POST", "/roles", json={"principal": "somebody", "role": role})
        assert (answer.status_code, status()) == (204, expected)
    control(hub, "POST", "/roles", json={"principal": "somebody", "role": None})
    assert status() == 401


def test_slot_through_the_control_api(hub: HubEmulator) -> None:
    assert control(hub, "POST", "/slot", json={"occupied": True}).status_code == 204
    assert hub.jobs[0]["status"] == "running"
    assert control(hub, "POST", "/slot", json={"occupied": False}).status_code == 204
    assert hub.jobs[0]["status"] == "completed"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", "{"),
        ("/faults", "[]"),
        ("/faults", "{}"),
        ("/faults", '{"kind": "nonsense"}'),
        ("/faults", '{"kind": "throttle", "operation": "nonsense"}'),
        ("/faults", '{"kind": "error", "shape": "E9"}'),
        ("/faults", '{"kind": "throttle", "colour": "red"}'),
        ("/faults", '{"kind": "throttle", "times": 0}'),
        ("/faults", '{"kind": "throttle", "times": "twice"}'),
        ("/faults", '{"kind": "error", "status": "abc"}'),
        ("/faults", '{"kind": "error", "status": 99999}'),
        ("/faults", '{"kind": "error", "code": 5}'),
        ("/faults", '{"kind": "delay", "seconds": "x"}'),
        ("/faults", '{"kind": "delay", "seconds": -1}'),
        ("/slot", "{}"),
        ("/roles", '{"principal": "somebody"}'),
        ("/roles", '{"principal": "somebody", "role": "King"}'),
    ],
)
def test_invalid_control_requests(hub: HubEmulator, path: str, body: Any) -> None:
    assert control(hub, "POST", path, data=body).status_code == 400
    assert hub.faults.to_json() == []
