from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.device_files.line_map import LineMap


@given(st.sets(st.integers(1, 10_000)).map(sorted))
def test_every_line_is_returned(upload_lines: list[int]) -> None:
    line_map = LineMap()
    for line in upload_lines:
        line_map.append(line)
    stored = LineMap.from_bytes(line_map.to_bytes())
    for staged, line in enumerate(upload_lines, 1):
        assert line_map.upload_line(staged) == line
        assert stored.upload_line(staged) == line
    assert line_map.is_identity == (upload_lines == list(range(1, len(upload_lines) + 1)))


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=20))
def test_adding_runs_equals_adding_lines(runs: list[tuple[int, int]]) -> None:
    one_by_one, in_runs = LineMap(), LineMap()
    first = 1
    for gap, count in runs:
        in_runs.append(first, count)
        for line in range(first, first + count):
            one_by_one.append(line)
        first += count + gap
    staged = range(1, sum(count for _, count in runs) + 1)
    assert [*map(in_runs.upload_line, staged)] == [*map(one_by_one.upload_line, staged)]


def test_lines_at_a_regular_distance_take_one_entry() -> None:
    line_map = LineMap()
    for line in (*range(1, 1000), *range(1002, 500_000, 12)):
        line_map.append(line)
    assert len(line_map.to_bytes()) < 100
    assert line_map.upload_line(1001) == 1014
