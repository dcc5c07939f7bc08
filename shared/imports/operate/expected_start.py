"""When the jobs of waiting imports are expected to start and to end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from shared.imports.model.job import JobRecord
from shared.imports.model.keys import uploaded_at_of
from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.imports.store.queries import JobTimes

__all__ = ["RECENT_JOBS", "Pace", "durations_of", "pace_of", "position_behind"]

#: The jobs that tell how long the next ones take: a hub that becomes slower is noticed after five.
RECENT_JOBS = 10


@dataclass(frozen=True)
class Pace:
    """How long the last jobs of a hub took."""

    now: datetime
    #: Of jobs that have ended, see `durations_of`; empty if none is known.
    durations: Sequence[timedelta] = ()
    #: What the job in the hub's slot took until now; None if the slot is free.
    running_for: timedelta | None = None

    def start(self, position: int) -> datetime | None:
        """When the job with this position in the queue, from 1, may start.

        Returns:
            None if it runs or is next, or if no job is known that took longer than the running one
            has taken.
        """
        return self.end(position - 1) if position > 1 else None

    def end(self, position: int) -> datetime | None:
        """When the job with this position may end; None as for its start."""
        running_for = self.running_for or timedelta()
        # The one that runs takes as long as those that took longer than it has taken until now.
        longer = [duration for duration in self.durations if duration > running_for]
        if not longer:
            return None
        first = _median(longer) - running_for
        # A job that already takes longer than most says the same of those behind it.
        each = max(_median(self.durations), running_for)
        return self.now + first + (position - 1) * each


def durations_of(jobs: Iterable[JobTimes]) -> Sequence[timedelta]:
    """How long each of the last `RECENT_JOBS` jobs kept those behind it waiting, oldest first.

    That is until the next job started if an import waited for it, as the app needs time between two
    jobs: it notices the end, and may compare the next file with the registry. Else it is until the
    end of the job.
    """
    ordered = sorted(jobs, key=lambda job: job.start)
    durations = [
        (max(job.end, following.start) if following.queued_at <= job.end else job.end) - job.start
        for job, following in pairwise(ordered)
    ]
    durations += [job.end - job.start for job in ordered[-1:]]
    return durations[-RECENT_JOBS:]


def pace_of(services: Services, hub: str, occupying: Sequence[JobRecord], oldest: str) -> Pace:
    """The pace of a hub: one request, or none if nothing can be told.

    Args:
        occupying: the jobs that use its slot or wait for it.
        oldest: row key of the record of an import that has no job yet, if none has one.
    """
    now = services.clock()
    if len(occupying) > 1 or any(job.failure_reason for job in occupying):
        return Pace(now)
    until = uploaded_at_of(occupying[0].members[0] if occupying else oldest)
    durations = durations_of(services.queries.job_times(hub, until))
    return Pace(now, durations, _age(occupying[0], now) if occupying else None)


def position_behind(record: ImportRecord, occupying: int, waiting: int) -> int | None:
    """Which of the hub's jobs, from 1, is to take an import; None if it is not counted yet.

    Args:
        occupying: jobs ahead of it.
        waiting: imports ahead of it that wait for a job.
    """
    position = occupying + waiting + 1
    if record.queue_position is not None:
        # Jobs may have ended since it was counted, and each takes one of these files or more.
        return min(record.queue_position, position)
    return None if waiting else position


def _median(durations: Sequence[timedelta]) -> timedelta:
    return sorted(durations)[len(durations) // 2]


def _age(job: JobRecord, now: datetime) -> timedelta:
    return max(now - job.last_start_at, timedelta()) if job.last_start_at else timedelta()
