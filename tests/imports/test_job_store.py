"""The records of jobs with lost responses, concurrent processes and many members."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.parts import BackOff, StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.import_store import MAX_HISTORY, ConflictError, ImportStore
from shared.imports.store.job_store import MAX_MEMBERS, JobStore
from shared.imports.store.rows import UnreadableRowError
from tests.app import App
from tests.imports.test_import_store import lose_one_answer
from tests.records import import_record

UPLOADED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
JOB_ID = "5" * 24


@pytest.fixture
def store(app: App) -> ImportStore:
    return app.importer.services.store


@pytest.fixture
def jobs(app: App) -> JobStore:
    return app.importer.services.jobs


def queued(store: ImportStore, number: int, **columns: Any) -> ImportRecord:
    record = import_record(
        "hub", f"{number}.ndjson", "0x1", UPLOADED + timedelta(seconds=number), **columns
    )
    return store.transition(store.create(record)[0], ImportState.QUEUED)


def new_job(*members: ImportRecord, job_id: str = JOB_ID) -> JobRecord:
    return JobRecord(
        hub="hub",
        id=job_id,
        members=tuple(record.row_key for record in members),
        member_lines=(1,) * len(members),
        staged=StagedFile(container=f"import-{job_id}"),
        state=JobState.PREPARING,
        created_at=UPLOADED,
        updated_at=UPLOADED,
    )


def stored(store: ImportStore, *members: ImportRecord) -> list[ImportRecord]:
    return [store.get("hub", record.row_key) for record in members]


def states(store: ImportStore, *members: ImportRecord) -> list[tuple[str, str]]:
    return [(record.state.value, record.job_record) for record in stored(store, *members)]


def act(jobs: JobStore, action: str, job: JobRecord, members: list[ImportRecord]) -> None:
    match action:
        case "update":
            jobs.update(job)
        case "transition":
            jobs.transition(job, JobState.ASKED)
        case "dissolve":
            back_off = BackOff(unexpected_errors=1)
            jobs.dissolve(job, [(record, replace(record, back_off=back_off)) for record in members])
        case _:
            jobs.close(job)


@pytest.mark.parametrize("is_lost", [False, True])
def test_seal_moves_all_members(
    app: App, store: ImportStore, jobs: JobStore, is_lost: bool
) -> None:
    members = [queued(store, number) for number in range(3)]
    if is_lost:
        lose_one_answer(app)
    job = jobs.seal(new_job(*members), members)
    assert jobs.find("hub", JOB_ID) == job
    assert jobs.all("hub") == {JOB_ID: job}
    assert jobs.members_of("hub", JOB_ID) == [record.row_key for record in members]
    assert states(store, *members) == [("starting", JOB_ID)] * 3
    # Their ETags are those of that transaction: the next write does not meet a conflict.
    assert jobs.update(replace(job, failure_reason="x")).etag != job.etag


def test_a_job_of_another_process_is_not_taken_for_the_own(
    store: ImportStore, jobs: JobStore
) -> None:
    first, second = queued(store, 1), queued(store, 2)
    job = jobs.seal(new_job(first), [first])
    with pytest.raises(ConflictError):
        jobs.seal(new_job(second), [second])
    assert jobs.find("hub", JOB_ID) == job
    assert states(store, first, second) == [("starting", JOB_ID), ("queued", "")]


def test_seal_changes_nothing_if_one_member_changed(store: ImportStore, jobs: JobStore) -> None:
    members = [queued(store, number) for number in range(3)]
    store.update(replace(members[1], failure_reason="changed"))
    with pytest.raises(ConflictError):
        jobs.seal(new_job(*members), members)
    assert jobs.all("hub") == {}
    assert states(store, *members) == [("queued", "")] * 3


def test_seal_changes_nothing_if_one_member_was_deleted(
    app: App, store: ImportStore, jobs: JobStore
) -> None:
    members = [queued(store, number) for number in range(3)]
    app.table.delete_entity("hub", members[2].row_key)
    with pytest.raises(ConflictError):
        jobs.seal(new_job(*members), members)
    assert jobs.all("hub") == {}
    assert states(store, *members[:2]) == [("queued", "")] * 2


def test_only_one_of_two_jobs_gets_an_import(store: ImportStore, jobs: JobStore) -> None:
    members = [queued(store, number) for number in range(3)]
    jobs.seal(new_job(*members[1:]), members[1:])
    with pytest.raises(ConflictError):
        jobs.seal(new_job(*members[:2], job_id="6" * 24), members[:2])
    assert list(jobs.all("hub")) == [JOB_ID]
    assert states(store, *members) == [("queued", ""), *[("starting", JOB_ID)] * 2]


def test_seal_changes_its_own_columns_alone(app: App, store: ImportStore, jobs: JobStore) -> None:
    """A column that another version added stays."""
    member = queued(store, 1, footprint=b"123", failure_reason="waits")
    row = {"PartitionKey": "hub", "RowKey": member.row_key, "added": "kept"}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    [member] = stored(store, member)
    job = jobs.seal(new_job(member), [member])
    [sealed] = stored(store, member)
    assert (sealed.footprint, sealed.failure_reason) == (b"123", "")
    jobs.dissolve(job, [(sealed, sealed)])
    row = app.table.get_entity("hub", member.row_key)
    assert row["added"] == "kept"
    [dissolved] = stored(store, member)
    assert (dissolved.state, dissolved.job_record) == (ImportState.QUEUED, "")


def test_update_succeeds_after_a_lost_response(
    app: App, store: ImportStore, jobs: JobStore
) -> None:
    member = queued(store, 1)
    job = jobs.seal(new_job(member), [member])
    lose_one_answer(app)
    asked = jobs.transition(replace(job, failure_reason="asked"), JobState.ASKED)
    assert jobs.find("hub", JOB_ID) == asked
    assert [state for state, _ in asked.history] == ["preparing", "asked"]
    with pytest.raises(ConflictError):
        jobs.update(job)
    with pytest.raises(ValueError, match="cannot go from asked to preparing"):
        jobs.transition(asked, JobState.PREPARING)


@pytest.mark.parametrize("action", ["update", "transition", "dissolve", "close"])
def test_a_job_that_changed_is_left_alone(store: ImportStore, jobs: JobStore, action: str) -> None:
    member = queued(store, 1)
    job = jobs.seal(new_job(member), [member])
    newer = jobs.transition(job, JobState.ASKED)
    [sealed] = stored(store, member)
    with pytest.raises(ConflictError):
        act(jobs, action, job, [sealed])
    assert jobs.find("hub", JOB_ID) == newer
    assert states(store, member) == [("starting", JOB_ID)]
    assert jobs.members_of("hub", JOB_ID) == [member.row_key]


@pytest.mark.parametrize("action", ["update", "dissolve", "close"])
def test_a_job_that_is_over_stays_over(store: ImportStore, jobs: JobStore, action: str) -> None:
    member = queued(store, 1)
    job = jobs.seal(new_job(member), [member])
    [sealed] = stored(store, member)
    jobs.dissolve(job, [(sealed, sealed)])
    with pytest.raises(ConflictError):
        act(jobs, action, job, [sealed])
    assert jobs.all("hub") == {}
    assert jobs.members_of("hub", JOB_ID) == []
    assert states(store, member) == [("queued", "")]


def test_dissolve_changes_nothing_if_one_member_changed(store: ImportStore, jobs: JobStore) -> None:
    members = [queued(store, number) for number in range(3)]
    job = jobs.seal(new_job(*members), members)
    sealed = stored(store, *members)
    store.update(replace(sealed[2], failure_reason="changed"))
    with pytest.raises(ConflictError):
        jobs.dissolve(job, [(record, record) for record in sealed])
    assert jobs.find("hub", JOB_ID) == job
    assert states(store, *members) == [("starting", JOB_ID)] * 3


@pytest.mark.parametrize("action", ["dissolve", "close"])
def test_a_lost_response_leaves_all_or_nothing(
    app: App, store: ImportStore, jobs: JobStore, action: str
) -> None:
    """The repeated transaction finds no job, which another process may have caused as well."""
    members = [queued(store, number) for number in range(3)]
    job = jobs.seal(new_job(*members), members)
    sealed = stored(store, *members)
    lose_one_answer(app)
    with pytest.raises(ConflictError):
        act(jobs, action, job, sealed)
    assert jobs.find("hub", JOB_ID) is None
    if action == "close":
        assert jobs.members_of("hub", JOB_ID) == [record.row_key for record in members]
        assert states(store, *members) == [("starting", JOB_ID)] * 3
    else:
        assert jobs.members_of("hub", JOB_ID) == []
        assert states(store, *members) == [("queued", "")] * 3
        errors = [record.back_off.unexpected_errors for record in stored(store, *members)]
        assert errors == [1, 1, 1]


def test_dissolve_queues_those_that_are_left(store: ImportStore, jobs: JobStore) -> None:
    members = [queued(store, number) for number in range(2)]
    job = jobs.seal(new_job(*members), members)
    sealed = stored(store, *members)
    store.end(sealed[0], ImportState.FAILED)
    jobs.dissolve(job, [(sealed[1], replace(sealed[1], footprint=b""))])
    assert [state for state, _ in states(store, *members)] == ["failed", "queued"]


def test_a_shared_job_is_kept_apart_until_it_is_forgotten(
    app: App, store: ImportStore, jobs: JobStore
) -> None:
    members = [queued(store, number) for number in range(2)]
    jobs.close(jobs.seal(new_job(*members), members))
    alone = queued(store, 3)
    jobs.close(jobs.seal(new_job(alone, job_id=alone.id), [alone]))
    assert jobs.all("hub") == {}
    assert jobs.members_of("hub", alone.id) == []
    now = app.clock()
    assert jobs.ended_before("hub", now - timedelta(minutes=1)) == []
    ended = jobs.ended_before("hub", now + timedelta(minutes=1))
    assert ended == [f"ended-job-{JOB_ID}"]
    jobs.forget("hub", ended)
    jobs.forget("hub", ended)
    assert jobs.ended_before("hub", now + timedelta(minutes=1)) == []
    assert jobs.members_of("hub", JOB_ID) == []


@pytest.mark.parametrize(
    "members", ["", "{", "[]", "5", '["queue-1"]', "[" * 5000, '{"a": 1}', '["import-1"]']
)
def test_an_edited_list_of_members(
    app: App, store: ImportStore, jobs: JobStore, members: str
) -> None:
    member = queued(store, 1)
    jobs.seal(new_job(member), [member])
    row = {"PartitionKey": "hub", "RowKey": f"job-{JOB_ID}", "members": members}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    with pytest.raises(UnreadableRowError):
        jobs.find("hub", JOB_ID)
    assert jobs.all("hub") == {}
    assert jobs.members_of("hub", JOB_ID) == []
    entity = app.table.get_entity("hub", f"job-{JOB_ID}")
    jobs.discard(entity)
    with pytest.raises(ConflictError):
        jobs.discard(entity)


def test_as_many_members_as_one_transaction_takes(
    app: App, store: ImportStore, jobs: JobStore
) -> None:
    """Also if their rows are large: only what changes is sent."""
    history = tuple(
        (state, UPLOADED)
        for _ in range(MAX_HISTORY)
        for state in (ImportState.QUEUED, ImportState.STARTING)
    )[: MAX_HISTORY - 1]
    long = {"failure_reason": "é" * 16_000, "footprint": bytes(64 * 1024)}
    members = []
    for number in range(MAX_MEMBERS):
        made = store.create(
            import_record(
                "hub", "é" * 300 + str(number), "0x1", UPLOADED + timedelta(seconds=number), **long
            )
        )[0]
        members.append(
            store.transition(
                replace(made, history=((ImportState.VALIDATING, UPLOADED), *history[:-1])),
                ImportState.QUEUED,
            )
        )
    assert len(members[0].history) == MAX_HISTORY
    with app.counting() as requests:
        job = jobs.seal(new_job(*members), members)
    assert len(requests) == 1
    assert states(store, *members) == [("starting", JOB_ID)] * MAX_MEMBERS
    job = jobs.transition(replace(job, failure_reason="é" * 16_000), JobState.ASKED)
    job = jobs.update(replace(job, end_reason="é" * 16_000, member_lines=(4000,) * MAX_MEMBERS))
    assert jobs.find("hub", JOB_ID) == job
    sealed = stored(store, *members)
    assert {len(record.history) for record in sealed} == {MAX_HISTORY}
    with app.counting() as requests:
        jobs.dissolve(
            job,
            [
                (one, replace(one, footprint=b"", back_off=BackOff(refused_since=UPLOADED)))
                for one in sealed
            ],
        )
    assert len(requests) == 1
    assert states(store, *members) == [("queued", "")] * MAX_MEMBERS
    assert {record.footprint for record in stored(store, *members)} == {b""}
    again = stored(store, *members)
    job = jobs.seal(new_job(*again), again)
    jobs.close(job)
    row = app.table.get_entity("hub", f"ended-job-{JOB_ID}")
    assert len(json.loads(row["members"])) == MAX_MEMBERS
