"""The record of an import while it is in a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.parts import StagedFile
from shared.imports.model.states import ImportState
from tests.records import import_record

START = datetime(2026, 1, 1, tzinfo=UTC)


def _at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def test_history_has_the_last_job_only() -> None:
    states = (
        ImportState.VALIDATING,
        ImportState.QUEUED,
        # A job that was dissolved.
        ImportState.STARTING,
        ImportState.QUEUED,
        ImportState.STARTING,
        # As the version before wrote it.
        ImportState.RUNNING,
    )
    record = import_record(
        "hub",
        "a.ndjson",
        "0x1",
        START,
        state=ImportState.RUNNING,
        history=tuple((state, _at(at)) for at, state in enumerate(states)),
    )
    job = JobRecord(
        hub="hub",
        id=record.id,
        members=(record.row_key,),
        staged=StagedFile(container=f"import-{record.id}"),
        state=JobState.ACCEPTED,
        history=((JobState.ASKED, _at(8)), (JobState.ACCEPTED, _at(9))),
        created_at=_at(8),
        updated_at=_at(9),
        last_start_at=_at(8),
    )
    assert job.member(record).history == (
        (ImportState.VALIDATING, _at(0)),
        (ImportState.QUEUED, _at(1)),
        (ImportState.STARTING, _at(8)),
        (ImportState.RUNNING, _at(9)),
    )
