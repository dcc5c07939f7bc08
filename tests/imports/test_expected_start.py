"""When the job of a waiting import is expected to start."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from shared.imports.operate.expected_start import RECENT_JOBS, Pace, durations_of
from shared.imports.store.queries import JobTimes

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("jobs_ahead", "running_for", "durations", "expected"),
    [
        (1, 0, [10], 10),
        (1, 4, [10], 6),
        (3, 4, [10], 26),
        # The median, whatever a single long job took.
        (2, 0, [10, 12, 3600], 24),
        # Those that end sooner are no measure for a job that still runs.
        (1, 11, [10, 12, 3600], 3589),
        (2, 11, [10, 12, 14], 14 - 11 + 12),
        # Nor for those behind it, if most were shorter.
        (3, 8, [2, 2, 2, 15], 15 - 8 + 8 + 8),
        # Nothing is known of jobs that take so long.
        (1, 10, [10], None),
        (1, 0, [], None),
    ],
)
def test_expected_start(
    jobs_ahead: int, running_for: int, durations: list[int], expected: int | None
) -> None:
    pace = Pace(NOW, [timedelta(seconds=x) for x in durations], timedelta(seconds=running_for))
    assert pace.start(jobs_ahead + 1) == at(expected)


@pytest.mark.parametrize(
    ("position", "running_for", "durations", "expected"),
    [
        # What runs takes the rest, each other job a median.
        (1, 4, [10], 6),
        (3, 4, [10], 26),
        (2, 0, [10, 12, 3600], 24),
        (1, 10, [10], None),
        # The slot is free.
        (1, None, [10], 10),
        (3, None, [10], 30),
        (3, None, [], None),
    ],
)
def test_expected_end(
    position: int, running_for: int | None, durations: list[int], expected: int | None
) -> None:
    running = None if running_for is None else timedelta(seconds=running_for)
    pace = Pace(NOW, [timedelta(seconds=x) for x in durations], running)
    assert pace.end(position) == at(expected)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], []),
        ([(0, 1, 3)], [2]),
        # The second waited while the first ran, so what passes between them counts.
        ([(0, 0, 2), (1, 5, 7)], [5, 2]),
        # The queue was empty between them.
        ([(0, 0, 2), (3, 5, 7)], [2, 2]),
        # In any order; jobs that seem to overlap have at least their own durations.
        ([(1, 5, 7), (0, 0, 6)], [6, 2]),
    ],
)
def test_durations(jobs: list[tuple[int, int, int]], expected: list[int]) -> None:
    assert seconds(durations_of(times(*job) for job in jobs)) == expected


def test_only_the_last_jobs_count() -> None:
    """A hub whose jobs take longer now is not outvoted by its history."""
    former = [times(number, number, number + 1) for number in range(200)]
    recent = [times(1000 + 30 * n, 1000 + 30 * n, 1015 + 30 * n) for n in range(RECENT_JOBS // 2)]
    durations = durations_of([*recent, *former])
    assert len(durations) == RECENT_JOBS
    assert Pace(NOW, durations).end(4) == at(60)


def times(queued_at: int, start: int, end: int) -> JobTimes:
    return JobTimes(*(NOW + timedelta(seconds=x) for x in (queued_at, start, end)))


def seconds(durations: Iterable[timedelta]) -> list[float]:
    return [duration.total_seconds() for duration in durations]


def at(seconds: int | None) -> datetime | None:
    return None if seconds is None else NOW + timedelta(seconds=seconds)
