"""When the job of a waiting import is expected to start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.keys import uploaded_at_of
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.rows import NewerRowError, UnreadableRowError, to_job

__all__ = ["expected_start", "with_expected_start"]


def expected_start(
    jobs_ahead: int, running_for: timedelta, durations: Sequence[timedelta], now: datetime
) -> datetime | None:
    """When the hub's slot is expected to be free after the jobs ahead.

    Args:
        jobs_ahead: at least one, of which the first is running.
        running_for: what that one took until now.
        durations: of jobs that have ended.

    Returns:
        None if no job is known that took longer than the running one has taken.
    """
    longer = [duration for duration in durations if duration > running_for]
    if not longer:
        return None
    return now + _median(longer) - running_for + (jobs_ahead - 1) * _median(durations)


def with_expected_start(
    services: Services, record: ImportRecord
) -> tuple[ImportRecord, datetime | None]:
    """An import with its queue position as of now, and the expected start of its job.

    Takes no request, or two if other jobs are ahead of it.

    Args:
        record: as it is shown.

    Returns:
        The start is None where nothing can be told: the import waits for something else, its
        position is not counted yet, or the hub runs no job or is in trouble.
    """
    waits_for_turn = record.state is ImportState.QUEUED and not record.failure_reason
    if not waits_for_turn or record.job_record or record.queue_position == 1:
        return record, None
    work = services.queue_rows.ahead_of(record)
    try:
        jobs = [to_job(row) for row in work.jobs]
    except (UnreadableRowError, NewerRowError):
        return record, None
    in_jobs = {key for job in jobs for key in job.members}
    waiting = sum(row.record_key not in in_jobs for row in work.queue)
    occupying = [job for job in jobs if job.state is not JobState.ENDED]
    jobs_ahead = len(occupying) + waiting
    if record.queue_position is not None:
        # Jobs may have ended since it was counted, and each takes one of these files or more.
        jobs_ahead = min(record.queue_position - 1, jobs_ahead)
    elif waiting:
        return record, None
    record = replace(record, queue_position=jobs_ahead + 1)
    if len(occupying) != 1 or occupying[0].failure_reason or jobs_ahead == 0:
        return record, None
    durations = services.queries.job_durations(record.hub, uploaded_at_of(occupying[0].members[0]))
    now = services.clock()
    return record, expected_start(jobs_ahead, _age(occupying[0], now), durations, now)


def _median(durations: Sequence[timedelta]) -> timedelta:
    return sorted(durations)[len(durations) // 2]


def _age(job: JobRecord, now: datetime) -> timedelta:
    return max(now - job.last_start_at, timedelta()) if job.last_start_at else timedelta()
