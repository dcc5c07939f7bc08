"""Several files in one job: each keeps its own result, and none depends on another."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.imports.model.job import JobState
from tests.app import App, device
from tests.events.receiver import Receiver
from tests.events.support import publisher
from tests.imports.shared_jobs import (
    FIRST,
    NAMES,
    containers_at_hub,
    deliver,
    gather,
    is_imported,
    job_row,
    members,
    results,
    shared_job,
    shared_jobs,
    start,
    states,
)

COMPLETED = ("completed", 1, 0)


def content(app: App, path: str) -> list[object]:
    container, _, name = path.partition("/")
    data = app.blobs.get_blob_client(container, name).download_blob().readall()
    return [json.loads(line) for line in data.splitlines()]


def test_each_file_has_its_own_result(app: App) -> None:
    app.hub.registry.put(device("taken"))
    rejected = device("taken", importMode="create")
    with Receiver() as receiver:
        app.configure(EVENTS_URL=receiver.url, EVENTS_KEY="key", VALIDATION_POLICY="partial")
        gather(
            app,
            {
                "a.ndjson": [device("a-1"), b"", rejected],
                "b.ndjson": [device("b-1"), device("b-2")],
                "c.ndjson": [{"id": "c 1"}, device("c-2")],
            },
        )
        start(app)
        job = shared_job(app)
        assert states(app) == ["running"] * 3
        assert {record.job_record for record in members(app)} == {job.id}
        assert [record.job_files for record in members(app)] == [3] * 3
        app.finish()
        publisher(app).wait()
        app.tick()
        publisher(app).wait()
        ends = {event["subject"].rpartition("/")[2]: event for event in receiver.events}
    assert len(ends) == len(receiver.events) == 4
    assert results(app) == [
        ("completedWithErrors", 1, 1),
        ("completed", 2, 0),
        ("completedWithErrors", 1, 0),
    ]
    assert containers_at_hub(app).count(job.staged.container) == 1
    assert shared_jobs(app) == []
    first, second, third = members(app)
    for record in (first, second, third):
        assert (record.job_record, record.job_files, record.shares_job) == (job.id, 3, True)
        assert record.staged.container == f"import-{record.id}"
        report = app.report(record)
        assert (report["state"], report["job"]["files"]) == (record.state, 3)
        assert report["job"]["jobId"] == record.job.id
        assert [state for state, _ in record.history] == [
            *("validating", "queued", "starting", "running"),
            record.state,
        ]
    [failed] = app.report(first)["failures"]["devices"]
    assert (failed["line"], failed["id"]) == (3, "taken")
    assert content(app, first.retry) == [rejected]
    assert second.retry == third.retry == ""
    for record in (second, third):
        assert app.report(record)["failures"]["devices"] == []
        assert "taken" not in json.dumps(app.report(record)) + record.failure_reason


def test_rejected_lines_of_one_file_are_retried(app: App) -> None:
    app.hub.registry.put(device("taken"))
    gather(
        app,
        {
            "a.ndjson": [device("a-1")],
            "b.ndjson": [device("b-1"), b"", device("taken", importMode="create")],
            "c.ndjson": [device("c-1")],
        },
    )
    start(app)
    app.finish()
    record = app.record("b.ndjson")
    new = app.importer.actions.retry(record)
    assert (new.devices, new.retry_of) == (1, record.id)
    app.finish()
    retried = next(record for record in app.records() if record.id == new.id)
    assert (retried.state, retried.imported, retried.failed) == ("completedWithErrors", 0, 1)
    [failed] = app.report(retried)["failures"]["devices"]
    assert (failed["line"], failed["id"]) == (3, "taken")
    assert retried.job_files == 1


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_job_that_does_not_complete_ends_all(app: App, end: str) -> None:
    gather(app)
    start(app, "failJob" if end == "failed" else "hangJob")
    job = shared_job(app)
    if end == "cancelled":
        app.hub.jobs.cancel(job.job.id)
    app.finish()
    assert results(app) == [(end, None, None)] * 3
    for record in members(app):
        assert "2 other files" in record.failure_reason
        assert app.report(record)["failureReason"] == record.failure_reason
        app.importer.actions.retry(record)
    before = len(containers_at_hub(app))
    app.finish()
    retries = [record for record in app.records() if record.retry_of]
    assert [record.state for record in retries] == ["completed"] * 3
    assert [record.job_files for record in retries] == [1] * 3
    assert len(containers_at_hub(app)) == before + 3


def test_only_the_file_that_the_hub_refuses_fails(app: App) -> None:
    """A refusal says nothing of the others: they are tried one by one."""
    gather(app)
    start(
        app,
        "error",
        operation="createJob",
        status=400,
        code="ArgumentInvalid",
        message="No.",
        times=2,
    )
    app.finish()
    assert results(app) == [("failed", 0, 0), COMPLETED, COMPLETED]
    assert [record.job_files for record in members(app)[1:]] == [1, 1]
    assert "ArgumentInvalid" in app.record("a.ndjson").failure_reason
    assert not is_imported(app, "a.ndjson")
    assert len(set(containers_at_hub(app))) == 3


def test_files_do_not_wait_for_the_deadline_one_after_another(app: App) -> None:
    gather(app)
    fault: dict[str, Any] = {"status": 401, "code": "IotHubUnauthorizedAccess", "times": 999}
    start(app, "error", operation="createJob", **fault)
    assert states(app) == ["queued"] * 3
    app.clock.ahead_minutes(29)
    app.tick()
    assert states(app) == ["queued"] * 3
    before = app.hub.requests["createJob"]
    app.clock.ahead_minutes(31)
    app.tick()
    assert results(app) == [("failed", 0, 0)] * 3
    assert app.hub.requests["createJob"] - before == 4
    app.hub.faults.clear()
    deliver(app, "later.ndjson", device("later"))
    app.finish()
    assert app.record("later.ndjson").state == "completed"


def test_lone_upload_does_not_wait_for_company(app: App) -> None:
    deliver(app, "alone.ndjson", device("alone"))
    record = app.record("alone.ndjson")
    assert (record.state, record.job_files, record.job_record) == ("running", 1, record.id)
    assert containers_at_hub(app) == [record.staged.container]


def test_each_file_gets_a_job_if_sharing_is_turned_off(app: App) -> None:
    app.configure(JOB_FILES="1")
    gather(app)
    start(app)
    assert states(app) == ["running", "queued", "queued"]
    app.finish()
    assert results(app) == [COMPLETED] * 3
    assert len(set(containers_at_hub(app))) == 4


def test_files_that_meet_get_jobs_in_order(app: App) -> None:
    gather(
        app,
        {
            "a.ndjson": [device("pump", tags={"n": 1})],
            "b.ndjson": [device("valve")],
            "c.ndjson": [device("PUMP"), device("meter")],
            "d.ndjson": [device("meter", tags={"n": 4}, importMode="update")],
        },
    )
    start(app)
    names = ("a.ndjson", "b.ndjson", "c.ndjson", "d.ndjson")
    assert states(app, names) == ["running", "running", "queued", "queued"]
    app.finish()
    assert results(app, names) == [COMPLETED, COMPLETED, ("completed", 2, 0), COMPLETED]
    assert [record.job_files for record in members(app, names)] == [2, 2, 1, 1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["edited", "deleted", "truncated", "one line more"])
def test_file_that_is_not_what_was_validated_leaves(app: App, name: str, damage: str) -> None:
    gather(app)
    blob = app.container_of(app.record(name)).get_blob_client("devices.txt")
    data = blob.download_blob().readall()
    more = json.dumps(device("intruder")).encode() + b"\n"
    if damage == "deleted":
        blob.delete_blob()
    else:
        changed = {"edited": more, "truncated": data[:-5], "one line more": data + more}[damage]
        blob.upload_blob(changed, overwrite=True)
    start(app)
    app.finish()
    assert results(app) == [("failed", 0, 0) if item == name else COMPLETED for item in NAMES]
    assert not is_imported(app, "intruder")
    assert [is_imported(app, item) for item in NAMES] == [item != name for item in NAMES]
    assert len(containers_at_hub(app)) == len(set(containers_at_hub(app)))


def test_record_that_does_not_fit_its_staged_file_leaves(app: App) -> None:
    gather(app)
    record = app.record("b.ndjson")
    row = {"PartitionKey": record.hub, "RowKey": record.row_key, "devices": 2}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    start(app)
    app.finish()
    first, second, third = results(app)
    assert first == third == COMPLETED
    assert second[0] in ("completed", "completedWithErrors", "failed")
    assert app.record("b.ndjson").job_files == 1


def test_row_of_a_member_that_cannot_be_read_holds_up_nobody(app: App) -> None:
    app.configure(MAX_ATTEMPTS="3")
    gather(app)
    start(app)
    record = app.record("b.ndjson")
    row = {"PartitionKey": record.hub, "RowKey": record.row_key, "devices": "many"}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    app.hub.wait_idle()
    app.tick()
    assert results(app, ("a.ndjson", "c.ndjson")) == [COMPLETED] * 2
    assert shared_job(app).state is JobState.ENDED
    deliver(app, "later.ndjson", device("later"))
    assert app.record("later.ndjson").state == "running"
    app.finish()
    for _ in range(3):
        app.tick()
    assert app.record("later.ndjson").state == "completed"
    assert results(app, ("b.ndjson",)) == [("failed", None, None)]
    assert shared_jobs(app) == []


def test_member_whose_record_was_deleted_holds_up_nobody(app: App) -> None:
    gather(app)
    start(app)
    record = app.record("b.ndjson")
    app.table.delete_entity(record.hub, record.row_key)
    app.hub.wait_idle()
    for _ in range(3):
        app.tick()
    assert results(app, ("a.ndjson", "c.ndjson")) == [COMPLETED] * 2
    assert shared_jobs(app) == []
    assert app.record("b.ndjson").state.is_final
    assert app.importer.services.queue_rows.oldest(record.hub) == []


def test_job_whose_files_end_slowly_does_not_hold_up_the_next(app: App) -> None:
    app.configure(BACKOFF_SECONDS="600", MAX_BACKOFF_SECONDS="600")
    gather(app)
    app.hub.free_slot()
    app.pass_minutes(11)
    start(app)
    record = app.record("b.ndjson")
    assert record.state == "running"
    app.hub.wait_idle()

    def fail(request: str) -> None:
        if record.staged.container in request and "/report" in request:
            raise RuntimeError("the disk is on fire")

    app.before_request = fail
    app.tick()
    app.before_request = lambda _: None
    assert states(app) == ["completed", "running", "completed"]
    deliver(app, "later.ndjson", device("later"))
    assert app.record("later.ndjson").state == "running"
    app.hub.wait_idle()
    app.tick()
    assert app.record("later.ndjson").state == "completed"
    assert shared_job(app).state is JobState.ENDED
    app.pass_minutes(11)
    app.tick()
    assert results(app) == [COMPLETED] * 3
    assert shared_jobs(app) == []
    assert len(containers_at_hub(app)) == 3


def test_container_of_a_running_job_is_deleted(app: App) -> None:
    gather(app)
    start(app, "hangJob")
    job = shared_job(app)
    app.blobs.delete_container(job.staged.container)
    app.hub.jobs.cancel(job.job.id)
    app.pass_minutes(11)
    app.finish()
    assert results(app) == [("cancelled", None, None)] * 3
    assert shared_jobs(app) == []


def test_container_of_a_waiting_job_is_deleted(app: App) -> None:
    gather(app)
    start(app, is_busy=True)
    app.blobs.delete_container(shared_job(app).staged.container)
    app.hub.free_slot()
    app.finish()
    assert results(app) == [COMPLETED] * 3
    assert len(set(containers_at_hub(app))) == 2


@pytest.mark.parametrize("retention", [{}, {"RECORD_RETENTION_DAYS": "60"}])
def test_retention_of_a_shared_job(app: App, retention: dict[str, str]) -> None:
    """Its container stays for the last of its imports, its row as long as their records."""
    app.configure(**retention)
    gather(app)
    start(app)
    job = shared_job(app)
    app.finish()
    record = app.record("c.ndjson")
    assert record.finished_at
    days = timedelta(days=1)
    row = {
        "PartitionKey": record.hub,
        "RowKey": record.row_key,
        "finishedAt": record.finished_at + 10 * days,
    }
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    container = app.blobs.get_container_client(job.staged.container)
    jobs = app.importer.services.jobs
    for passed, is_kept in ((29, True), (31, True), (39, True), (41, False)):
        app.clock.ahead = passed * days
        app.sweep()
        assert container.exists() == is_kept
    assert len(jobs.members_of(app.hub.address, job.id)) == 3
    app.clock.ahead = 61 * days
    app.sweep()
    app.sweep()
    assert bool(jobs.members_of(app.hub.address, job.id)) == (not retention)


def test_job_row_key_is_none_of_an_import(app: App) -> None:
    gather(app)
    start(app)
    keys = job_row(app)
    assert keys["RowKey"] == f"job-{shared_job(app).id}"
    assert {record.file for record in app.records()} == {FIRST, *NAMES}
