"""The import benchmarks run the intended cases. No timing."""

from __future__ import annotations

import pytest

from bench import __main__ as command
from bench import import_results, queue
from bench.environment import HubProcess
from bench.throughput import ceiling, throughput
from bench.ticks import (
    BEHIND_BUSY,
    BEHIND_JOB,
    EVENT,
    FIRST,
    IDLE,
    JOB,
    Row,
    by_history,
    by_hubs,
    by_queue,
)


def requests(rows: list[Row]) -> dict[tuple[str, int], int]:
    return {(row.what, row.count): row.cost.requests for row in rows}


def test_history_adds_no_requests_to_a_tick(storage_connection_string: str) -> None:
    rows, seconds = by_history(storage_connection_string, (1, 120))
    counts = requests(rows)
    assert (counts[IDLE, 120], counts[JOB, 120]) == (1, 2)
    assert counts[EVENT, 1] == counts[EVENT, 120] > 0
    assert "120 records" in next(import_results.history(rows, seconds))


def test_queue_length_adds_no_requests_to_a_tick(storage_connection_string: str) -> None:
    rows = by_queue(storage_connection_string, (1, 3))
    counts = requests(rows)
    assert counts[BEHIND_JOB, 1] == counts[BEHIND_JOB, 3] == 2
    assert counts[BEHIND_BUSY, 1] == counts[BEHIND_BUSY, 3] == 6
    assert [line for line in import_results.queue(rows) if line.startswith("met ")]


def test_each_hub_is_called_per_tick_with_delayed_responses(
    storage_connection_string: str,
) -> None:
    rows = by_hubs(storage_connection_string, (1, 3), latency=0.001)
    # The first tick records that the timer runs.
    assert requests(rows) == {
        (what, count): count * each + once
        for what, each, once in ((FIRST, 1, 1), (IDLE, 1, 0), (JOB, 2, 0))
        for count in (1, 3)
    }
    assert all(row.cost.seconds > 0.001 for row in rows)
    assert list(import_results.hubs(rows, 0.001))


def test_all_imports_of_a_throughput_are_completed(storage_connection_string: str) -> None:
    with HubProcess(storage_connection_string) as hub:
        by_hand = ceiling(storage_connection_string, hub, 2)
        result = throughput(storage_connection_string, hub, 5)
    assert (by_hand.count, result.count) == (2, 5)
    assert result.kinds["hub POST job"] == result.kinds["GET upload"] == 5
    assert by_hand.gap_seconds > 0 < result.gap_seconds
    assert list(import_results.throughput(0, by_hand, result))
    assert list(import_results.requests(result))


def test_files_of_a_queue_share_jobs(storage_connection_string: str) -> None:
    with HubProcess(storage_connection_string, 0.5) as hub:
        by_hand = ceiling(storage_connection_string, hub, 2, devices=3)
        seconds = queue.single(storage_connection_string, hub, 1, devices=3)
        alone = throughput(storage_connection_string, hub, 2, devices=3)
        shared = throughput(storage_connection_string, hub, 12, devices=3, settings={})
    assert (by_hand.jobs, alone.jobs) == (2, 2)
    assert shared.jobs < shared.count == 12
    assert all(second >= 0.5 for second in seconds)
    assert list(queue.report(3, by_hand, alone, shared, seconds))


@pytest.mark.parametrize(
    ("part", "option"),
    [
        ("devices", "devices"),
        ("imports", "imports"),
        ("queue", "uploads"),
        ("emulator", "devices"),
    ],
)
def test_counts_are_at_least_one(
    part: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main([part, f"--{option}", "0"])
    assert "less than 1" in capsys.readouterr().err
