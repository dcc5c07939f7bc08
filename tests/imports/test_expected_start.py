"""When the job of a waiting import is expected to start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.imports.operate.expected_start import expected_start

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
        # Nothing is known of jobs that take so long.
        (1, 10, [10], None),
        (1, 0, [], None),
    ],
)
def test_expected_start(
    jobs_ahead: int, running_for: int, durations: list[int], expected: int | None
) -> None:
    start = expected_start(
        jobs_ahead,
        timedelta(seconds=running_for),
        [timedelta(seconds=duration) for duration in durations],
        NOW,
    )
    assert start == (None if expected is None else NOW + timedelta(seconds=expected))
