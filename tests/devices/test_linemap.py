from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.devices.linemap import LineMap


@given(st.sets(st.integers(1, 10_000)).map(sorted))
def test_gives_back_every_line(upload_lines: list[int]) -> None:
    line_map = LineMap()
    for line in upload_lines:
        line_map.append(line)
    stored = LineMap.from_bytes(line_map.to_bytes())
    for staged, line in enumerate(upload_lines, 1):
        assert line_map.upload_line(staged) == line
        assert stored.upload_line(staged) == line
    assert line_map.is_identity == (upload_lines == list(range(1, len(upload_lines) + 1)))


def test_neighbouring_lines_take_one_entry() -> None:
    line_map = LineMap()
    for line in (*range(1, 1000), *range(1002, 5000)):
        line_map.append(line)
    assert line_map.to_bytes() == b"[[1, 1000], [1, 1002]]"
