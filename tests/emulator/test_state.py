"""Persistent state, and the deletion of job history after 30 days."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
import requests

from iothub_emulator import HubEmulator
from iothub_emulator.registry.registry import Limits
from iothub_emulator.store import Documents
from tests.emulator.support import DEADLINE, HubClient, JobContainer, StartHub, error_code, stored

PUMP = {"id": "pump", "status": "enabled", "tags": {"a": 1}}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "hubs" / "hub"


def test_devices_configurations_and_jobs_are_persistent(
    state: Path, job_container: JobContainer
) -> None:
    job_container.write(PUMP)
    with HubEmulator(state=state) as hub:
        client = HubClient(hub.connection_string())
        job = client.create_job(job_container.request()).json()
        hub.wait_idle()
        client.send("PUT", "/configurations/rates", {"content": {"deviceContent": {}, "a": 1}})
        before = stored(hub.registry, "pump")

    with HubEmulator(state=state) as hub:
        client = HubClient(hub.connection_string())
        assert stored(hub.registry, "pump") == before
        assert len(hub.registry) == 1
        [kept] = client.send("GET", "/jobs").json()
        assert (kept["jobId"], kept["status"]) == (job["jobId"], "completed")
        assert kept["startTimeUtc"] == job["startTimeUtc"]
        assert client.send("GET", "/configurations/rates").status_code == 200
        hub.registry.put({"id": "valve"})
        assert stored(hub.registry, "valve")["eTag"] != before["eTag"]


def test_no_signature_is_stored(state: Path, job_container: JobContainer) -> None:
    job_container.write(PUMP)
    with HubEmulator(state=state) as hub:
        HubClient(hub.connection_string()).create_job(job_container.request())
        hub.wait_idle()

    assert job_container.client.container_name.encode() in (state / "hub.db").read_bytes()
    assert b"sig=" not in (state / "hub.db").read_bytes()


def test_an_interrupted_job_has_failed(state: Path, job_container: JobContainer) -> None:
    """The file was not closed, as after a power cut."""
    job_container.write(PUMP)
    with HubEmulator(state=state) as hub:
        hub.faults.add("hangJob")
        HubClient(hub.connection_string()).create_job(job_container.request())
        copy = shutil.copytree(state, state.with_name("copy"))

    with HubEmulator(state=copy) as hub:
        assert (hub.jobs[0]["status"], hub.jobs[0]["failureReason"]) == (
            "failed",
            "The hub was restarted during the job.",
        )


def test_only_the_owner_can_read_what_is_kept(state: Path) -> None:
    """The database has keys of devices."""
    with HubEmulator(state=state, tls=True) as hub:
        hub.registry.put({"id": "pump"})
        modes = {file.name: file.stat().st_mode & 0o777 for file in state.iterdir()}

    assert modes.pop("ca.pem") & 0o444
    assert set(modes) >= {"hub.db", "ca-key.pem"}
    assert set(modes.values()) == {0o600}


def test_two_emulators_cannot_share_a_folder(state: Path) -> None:
    with (
        HubEmulator(state=state),
        pytest.raises(ValueError, match=r"another emulator uses .*hub\.db"),
    ):
        HubEmulator(state=state)


def test_a_foreign_file_is_rejected(state: Path) -> None:
    state.mkdir(parents=True)
    (state / "hub.db").write_text("nothing of this kind, and long enough to be sure of that" * 20)

    with pytest.raises(ValueError, match=r"hub\.db cannot be used: file is not a database"):
        HubEmulator(state=state)


@pytest.mark.parametrize("version", [0, 7])
def test_a_database_of_another_program_is_rejected(state: Path, version: int) -> None:
    state.mkdir(parents=True)
    with closing(sqlite3.connect(state / "hub.db")) as other:
        other.execute("CREATE TABLE identities (name TEXT)")
        other.execute(f"PRAGMA user_version = {version}")

    with pytest.raises(ValueError, match=r"hub\.db cannot be used: it is not of this version"):
        HubEmulator(state=state)


def test_a_damaged_database_is_rejected(state: Path) -> None:
    with HubEmulator(state=state) as hub:
        for number in range(500):
            hub.registry.put({"id": f"pump-{number}"})
    file = state / "hub.db"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = b"\xff" * len(content[len(content) // 2 :])
    file.write_bytes(content)

    with pytest.raises(ValueError, match=r"hub\.db cannot be used"):
        HubEmulator(state=state)


def test_a_job_that_cannot_be_stored_does_not_occupy_the_slot(
    hub: HubEmulator, job_container: JobContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = HubClient(hub.connection_string())
    job_container.write({"id": "pump", "status": "enabled"})
    with monkeypatch.context() as full:
        full.setattr(Documents, "put", lambda *_: 1 / 0)
        assert client.create_job(job_container.request()).status_code == 500

    assert client.send("GET", "/jobs").json() == []
    assert client.create_job(job_container.request()).status_code == 200


def test_the_same_object_can_restart(state: Path) -> None:
    hub = HubEmulator(state=state)
    with hub:
        hub.registry.put(PUMP)
    with hub:
        assert stored(hub.registry, "pump")


def test_jobs_are_deleted_after_30_days(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    job_container.write(PUMP)
    path = f"/jobs/{client.create_job(job_container.request()).json()['jobId']}"
    hub.wait_idle()
    month = 30 * 86400

    advance(hub, month - 3600)
    assert client.send("GET", path).status_code == 200
    advance(hub, 3600)
    assert error_code(client.send("GET", path)) == (404, "JobNotFound")
    assert client.send("GET", "/jobs").json() == []
    assert stored(hub.registry, "pump"), "of devices nothing is forgotten"


def test_a_running_job_is_never_deleted(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    hub.faults.add("hangJob")
    job_container.write(PUMP)
    path = f"/jobs/{client.create_job(job_container.request()).json()['jobId']}"
    advance(hub, 40 * 86400)

    assert client.send("GET", path).json()["status"] in ("enqueued", "running")
    client.send("DELETE", path)
    job = client.send("GET", path).json()
    took = datetime.fromisoformat(job["endTimeUtc"]) - datetime.fromisoformat(job["startTimeUtc"])
    assert took.days == 40


@pytest.mark.parametrize("seconds", [-1, "x", None, 1e300])
def test_the_clock_only_moves_forward(hub: HubEmulator, seconds: float | str | None) -> None:
    response = requests.post(
        f"{hub.url}/emulator/clock", json={"seconds": seconds}, timeout=DEADLINE
    )
    assert response.status_code == 400


def advance(hub: HubEmulator, seconds: int) -> None:
    response = requests.post(
        f"{hub.url}/emulator/clock", json={"seconds": seconds}, timeout=DEADLINE
    )
    assert response.status_code == 200
    assert response.json()["now"]


def test_a_full_hub_rejects_devices_and_modules(
    start_hub: StartHub, job_container: JobContainer
) -> None:
    hub = start_hub(limits=Limits(identities=2))
    job_container.write(
        {"id": "a", "status": "enabled"},
        {"id": "a", "moduleId": "m", "status": "enabled"},
        {"id": "b", "status": "enabled"},
        {"id": "a", "status": "disabled"},
        {"id": "a", "moduleId": "m", "status": "enabled", "importMode": "delete"},
        {"id": "c", "status": "enabled"},
    )
    HubClient(hub.connection_string()).create_job(job_container.request())
    hub.wait_idle()

    [rejected] = job_container.log()
    assert (rejected["deviceId"], rejected["errorCode"]) == ("b", 403002)
    assert "Max allowed device count : '2', current device count : '2'" in rejected["errorStatus"]
    assert len(hub.registry) == 2
