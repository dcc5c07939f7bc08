"""Rows of shared jobs that operators delete or edit: no line is imported twice, none is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import UpdateMode

from iothub_emulator import HubEmulator
from shared.imports.model.job import JobRecord, JobState
from tests.app import App, device
from tests.imports.shared_jobs import (
    FIRST,
    NAMES,
    containers_at_hub,
    deliver,
    gather,
    is_imported,
    job_row,
    members,
    shared_job,
    shared_jobs,
    start,
    states,
)

#: Waits behind the job, as it touches a device of it.
NEXT = "next.ndjson"


def bring_to(app: App, state: str, act: Callable[[JobRecord], None]) -> None:
    """Act on the shared job when it is in a state."""
    lines: dict[str, list[object]] = {name: [device(name)] for name in NAMES}
    gather(app, {**lines, NEXT: [device("b.ndjson", tags={"of": NEXT})]})
    match state:
        case "preparing":
            _start_and_act(app, act)
            return
        case "refused":
            start(app, is_busy=True)
        case "asked":
            start(app, "refuse", operation="createJob")
        case "asked, with a job":
            start(app, "dropReply", operation="createJob")
        case "accepted":
            start(app)
        case "ended":
            start(app)
            _end_all_but_one(app)
    job = shared_job(app)
    assert job.state == state.partition(",")[0]
    act(job)


def _start_and_act(app: App, act: Callable[[JobRecord], None]) -> None:
    done: list[str] = []

    def hook(request: str) -> None:
        jobs = [] if done or not request.endswith("/devices.txt") else [request]
        if jobs and request.startswith("PUT"):
            done.append(request)
            job = shared_job(app)
            assert job.state is JobState.PREPARING
            act(job)

    app.hub.free_slot()
    app.tick()
    app.hub.wait_idle()
    app.before_request = hook
    app.tick()
    app.before_request = lambda _: None
    assert done


def _end_all_but_one(app: App) -> None:
    container = app.record("b.ndjson").staged.container

    def fail(request: str) -> None:
        if container in request and "/report" in request:
            raise RuntimeError("the disk is on fire")

    app.hub.wait_idle()
    app.before_request = fail
    app.tick()
    app.before_request = lambda _: None
    assert states(app) == ["completed", "running", "completed"]


def settle(app: App) -> None:
    app.hub.free_slot()
    for _ in range(4):
        app.hub.wait_idle()
        app.tick()
        app.tick()
        app.pass_minutes(11)
    app.finish()


def assert_nothing_was_lost_or_doubled(app: App) -> None:
    containers = containers_at_hub(app)
    assert len(containers) == len(set(containers))
    for name in NAMES:
        record = app.record(name)
        counts = (record.imported, record.failed)
        assert record.state in ("completed", "completedWithErrors", "failed"), name
        if record.state == "completed":
            assert counts == (1, 0)
        if counts == (0, 0):
            assert not is_imported(app, name) or name == "b.ndjson"
        elif counts == (1, 0):
            assert is_imported(app, name)
        else:
            assert counts == (None, None)
    # It touches a device of the job, so it came behind it, in another job.
    after = app.record(NEXT)
    assert (after.state, after.imported) == ("completed", 1)
    stored = app.hub.registry.get("b.ndjson")
    assert stored is not None
    assert stored["tags"] == {"of": NEXT}
    assert app.record(FIRST).state == "completed"
    assert shared_jobs(app) == []
    assert app.importer.services.jobs.all(app.hub.address) == {}
    assert app.importer.services.queue_rows.oldest(app.hub.address) == []
    deliver(app, "later.ndjson", device("later"))
    app.finish()
    assert app.record("later.ndjson").state == "completed"


STATES = ("preparing", "refused", "asked", "asked, with a job", "accepted", "ended")


def known_results(app: App) -> list[int | None]:
    return [app.record(name).imported for name in NAMES]


@pytest.mark.parametrize("state", STATES)
def test_row_of_a_job_is_deleted(app: App, state: str) -> None:
    def delete(job: JobRecord) -> None:
        app.table.delete_entity(job.hub, job.row_key)

    bring_to(app, state, delete)
    settle(app)
    assert_nothing_was_lost_or_doubled(app)
    if state == "ended":
        assert known_results(app)[::2] == [1, 1]
    if state in ("accepted", "ended"):
        assert "The row of the job was deleted" in app.record("b.ndjson").failure_reason


def test_job_whose_row_was_deleted_is_never_requested_again(app: App) -> None:
    gather(app)
    start(app, "refuse", operation="createJob")
    job = shared_job(app)
    app.table.delete_entity(job.hub, job.row_key)
    before = app.hub.requests["createJob"]
    # It is written again, and looked for.
    app.tick()
    app.tick()
    for record in members(app):
        assert record.state == "starting"
        assert "The import fails if none appears" in record.failure_reason
    settle(app)
    assert [record.state for record in members(app)] == ["failed"] * 3
    assert app.hub.requests["createJob"] == before


EDITS: list[dict[str, Any]] = [
    {"members": "[]"},
    {"members": "{"},
    {"state": "over"},
    {"state": "preparing"},
    {"history": "{"},
    {"memberLines": "[3]"},
    {"memberLines": "none"},
    {"stagedEtag": "0x1"},
    {"stagedContainer": "elsewhere"},
    {"container": ""},
    {"jobId": "nobody"},
    {"endState": "done"},
    {"id": "6" * 24},
]


@pytest.mark.parametrize("edit", EDITS, ids=str)
@pytest.mark.parametrize("state", ["refused", "asked, with a job", "accepted", "ended"])
def test_row_of_a_job_is_edited(app: App, state: str, edit: dict[str, Any]) -> None:
    def change(job: JobRecord) -> None:
        row = {"PartitionKey": job.hub, "RowKey": job.row_key, **edit}
        app.table.update_entity(row, mode=UpdateMode.MERGE)

    bring_to(app, state, change)
    settle(app)
    assert_nothing_was_lost_or_doubled(app)


@pytest.mark.parametrize("change", ["fewer", "more", "twice", "others"])
@pytest.mark.parametrize("state", STATES)
def test_list_of_members_is_edited(app: App, state: str, change: str) -> None:
    """A job ends only the imports that it was made for, and all of them come to an end."""

    def edit(job: JobRecord) -> None:
        after = app.record(NEXT).row_key
        keys = {
            "fewer": [*job.members[:1], *job.members[2:]],
            "more": [*job.members, after],
            "twice": [*job.members, job.members[0]],
            "others": [after],
        }[change]
        row = {"PartitionKey": job.hub, "RowKey": job.row_key, "members": json.dumps(keys)}
        app.table.update_entity(row, mode=UpdateMode.MERGE)

    bring_to(app, state, edit)
    settle(app)
    assert_nothing_was_lost_or_doubled(app)


@pytest.mark.parametrize("numbers", [[0, 2], [0, 0, 1, 2], [2]])
def test_log_is_told_to_nobody_if_the_list_of_members_was_edited(
    app: App, numbers: list[int]
) -> None:
    """What the lines of each are is not known then."""
    app.hub.registry.put(device("taken"))
    rejected = device("taken", importMode="create")
    gather(app, {NAMES[0]: [device("a")], NAMES[1]: [device("b")], NAMES[2]: [rejected]})
    start(app)
    job = shared_job(app)
    keys = json.dumps([job.members[number] for number in numbers])
    row = {"PartitionKey": job.hub, "RowKey": job.row_key, "members": keys}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    settle(app)
    assert [(record.imported, record.failed) for record in map(app.record, NAMES)] == (
        [(None, None)] * 3
    )
    assert shared_jobs(app) == []


@pytest.mark.parametrize("state", STATES)
def test_record_of_a_member_is_deleted(app: App, state: str) -> None:
    def delete(_: JobRecord) -> None:
        record = app.record("c.ndjson")
        app.table.delete_entity(record.hub, record.row_key)

    bring_to(app, state, delete)
    settle(app)
    record = app.record("c.ndjson")
    assert record.state.is_final
    assert (record.imported, record.failed) == (None, None)
    assert [app.record(name).state for name in NAMES[:2]] == ["completed"] * 2
    assert shared_jobs(app) == []


def test_row_of_an_ended_job_is_deleted(app: App) -> None:
    """Its imports are final, so only the list of its members is lost."""
    gather(app)
    start(app)
    job = shared_job(app)
    app.finish()
    app.table.delete_entity(job.hub, f"ended-job-{job.id}")
    app.tick()
    assert app.importer.services.jobs.members_of(job.hub, job.id) == []
    assert states(app) == ["completed"] * 3
    with pytest.raises(ResourceNotFoundError):
        app.table.get_entity(job.hub, job.row_key)


def test_member_that_was_refused_before_stays_readable_when_its_job_is_dissolved(app: App) -> None:
    gather(app)
    code = "IotHubUnauthorizedAccess"
    start(app, "error", operation="createJob", status=401, code=code)
    app.importer.actions.cancel(app.record("a.ndjson"))
    assert app.record("b.ndjson").back_off.refused_since is not None
    app.hub.occupy_slot()
    app.tick()
    # The answer that the hub is busy ended the refusal.
    app.importer.actions.cancel(app.record("b.ndjson"))
    assert app.record("c.ndjson").back_off.refused_since is None
    app.hub.free_slot()
    app.finish()
    assert states(app) == ["cancelled", "cancelled", "completed"]


@pytest.mark.parametrize("names", [NAMES, NAMES[:1]], ids=["shared", "alone"])
def test_lines_of_a_deleted_record_are_not_sent_again(app: App, names: tuple[str, ...]) -> None:
    """The request for the job never arrived."""
    gather(app, {name: [device(name)] for name in names})
    start(app, "refuse", operation="createJob")
    assert states(app, names) == ["starting"] * len(names)
    lost = app.record(names[0])
    app.table.delete_entity(lost.hub, lost.row_key)
    app.tick()
    app.pass_minutes(11)
    app.finish()
    assert not is_imported(app, names[0])
    assert states(app, names) == ["failed", *["completed"] * (len(names) - 1)]


def test_container_deleted_after_a_request_without_an_answer(app: App) -> None:
    gather(app)
    start(app, "refuse", operation="createJob")
    app.blobs.delete_container(shared_job(app).staged.container)
    app.tick()
    app.pass_minutes(11)
    app.finish()
    assert states(app) == ["completed"] * 3
    assert len(containers_at_hub(app)) == len(set(containers_at_hub(app)))


def test_cancel_without_hub_and_without_the_row_of_the_job(
    app: App, other_hub: HubEmulator
) -> None:
    gather(app)
    start(app, "hangJob")
    hub = app.hub.address
    app.table.delete_entity(job_row(app))
    app.configure(IOTHUB=other_hub.connection_string())
    [record] = [item for item in app.records(hub) if item.file == "a.ndjson"]
    cancelled = app.importer.actions.cancel(record)
    assert (cancelled.state, cancelled.imported, cancelled.failed) == ("cancelled", None, None)
