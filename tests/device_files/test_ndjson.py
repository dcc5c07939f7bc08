from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.device_files.formats.ndjson import ndjson_batches
from shared.device_files.limits import Limits
from shared.device_files.validation import Validation
from tests.device_files.support import Dropped, cut


def read(data: bytes, size: int, max_bytes: int, sink: Dropped) -> list[tuple[int, bytes]]:
    batches = ndjson_batches(cut(data, size), max_bytes, sink)
    return [pair for numbers, lines in batches for pair in zip(numbers, lines, strict=True)]


@given(
    st.lists(st.binary(max_size=40).map(lambda b: b.translate(None, b"\n*")), max_size=20),
    st.integers(1, 50),
)
def test_chunks_do_not_matter(lines: list[bytes], size: int) -> None:
    data = b"\n".join(lines)
    expected = [
        (number, line.strip()) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()
    ]
    numbered = read(data, size, 1000, Dropped())
    assert [(number, line.strip()) for number, line in numbered if line.strip()] == expected


def test_line_ends() -> None:
    data = b'{"a":1}\r\n\r\n  \n{"b":2}'
    for size in (1, 2, 3, 4, 100):
        numbered = read(data, size, 100, Dropped())
        assert [(number, line.strip()) for number, line in numbered if line.strip()] == [
            (1, b'{"a":1}'),
            (4, b'{"b":2}'),
        ]


@given(st.integers(1, 30))
def test_a_long_line_is_skipped_without_being_held(size: int) -> None:
    data = b"ok\n" + b"x" * 11 + b"\nfits__ten_\n" + b"y" * 500
    sink = Dropped()
    assert read(data, size, 10, sink) == [(1, b"ok"), (3, b"fits__ten_")]
    assert sink.codes == [(2, "line-too-long"), (4, "line-too-long")]


def test_only_a_line_feed_ends_a_line() -> None:
    line = '{"a":"\u2028\u0085\x0c"}'.encode()
    assert read(line + b"\n", 100, 100, Dropped()) == [(1, line)]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_line_ends_may_be_mixed(size: int) -> None:
    """Neither what is staged nor what is too long depends on the chunks."""
    line = b'  {"id":"d%d","status":"disabled","importMode":"create"}  '
    lines = [line % n for n in range(9)]
    ends = [b"\r\n", b"\n", b"\r\n"] * 3
    data = b"".join(text + end for text, end in zip(lines, ends, strict=True))
    limits = Limits(max_line_bytes=len(lines[0]))
    validation = Validation(limits)
    staged = b"".join(validation.run(cut(data, size)))
    assert staged == b"".join(text + b"\n" for text in lines)
    assert validation.report.problems == []
