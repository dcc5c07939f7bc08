"""Delayed and altered answers about jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from iothub_emulator import HubEmulator
from tests.emulator.support import HubClient, JobContainer, error_code

LAG = timedelta(seconds=30)


def listed(client: HubClient) -> list[str]:
    return [job["jobId"] for job in client.send("GET", "/jobs").json()]


def test_the_list_lags_behind(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    old = hub.jobs.add_foreign("completed")
    hub.clock.advance(LAG.total_seconds())
    hub.job_answers.list_lag = LAG
    job_container.write({"id": "pump", "status": "enabled"})
    new = client.create_job(job_container.request()).json()["jobId"]

    assert listed(client) == [old]
    assert client.wait_for_job(new, "completed")
    assert [job["jobId"] for job in hub.jobs] == [old, new]
    hub.clock.advance(LAG.total_seconds())
    assert listed(client) == [old, new]


def test_a_job_is_readable_after_a_delay(hub: HubEmulator, client: HubClient) -> None:
    hub.job_answers.get_lag = LAG
    job_id = hub.jobs.add_foreign()

    assert error_code(client.send("GET", f"/jobs/{job_id}")) == (404, "JobNotFound")
    assert listed(client) == [job_id]
    hub.job_answers.get_lag = timedelta(0)
    assert client.job(job_id)["status"] == "running"


def test_a_job_with_a_future_time_is_shown(hub: HubEmulator, client: HubClient) -> None:
    job_id = hub.jobs.add_foreign(start=hub.clock.now() + LAG)

    assert client.job(job_id)["jobId"] == job_id
    assert listed(client) == [job_id]


@pytest.mark.parametrize(
    "changes",
    [
        {"startTimeUtc": "2026-05-04T03:02:01.1234567", "endTimeUtc": "9999-12-31T23:59:59-12:00"},
        {"failureReason": "cut \ud83d", "progress": "²", "status": "paused"},
    ],
    ids=["times", "texts"],
)
def test_altered_jobs(
    hub: HubEmulator, client: HubClient, job_container: JobContainer, changes: dict[str, Any]
) -> None:
    hub.job_answers.alter = lambda job: job | changes
    job_container.write({"id": "pump", "status": "enabled"})
    created = client.create_job(job_container.request()).json()

    for job in (
        created,
        client.job(created["jobId"]),
        *client.send("GET", "/jobs").json(),
    ):
        assert {name: job[name] for name in changes} == changes
    hub.wait_idle()
    assert hub.jobs[0]["status"] == "completed"
