from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.devices.formats import ndjson_lines


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(
    st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=20),
    st.integers(1, 50),
    st.booleans(),
)
def test_chunks_do_not_matter(lines: list[bytes], size: int, ends: bool) -> None:
    data = b"[" + b"\n".join(lines) + b"\n" * ends
    expected = [
        (number, line.strip()) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()
    ]
    assert list(ndjson_lines(cut(data, size), 1000)) == expected


def test_line_ends_blank_lines_and_byte_order_mark() -> None:
    data = b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"b":2}'
    for size in (1, 2, 3, 4, 100):
        assert list(ndjson_lines(cut(data, size), 100)) == [(1, b'{"a":1}'), (4, b'{"b":2}')]


@given(st.integers(1, 30))
def test_a_long_line_is_skipped_without_being_held(size: int) -> None:
    data = b"ok\n" + b"x" * 11 + b"\nfits__ten_\n" + b"y" * 500
    assert list(ndjson_lines(cut(data, size), 10)) == [
        (1, b"ok"),
        (2, None),
        (3, b"fits__ten_"),
        (4, None),
    ]


def test_only_a_line_feed_ends_a_line() -> None:
    line = '{"a":"\u2028\u0085\x0c"}'.encode()
    assert list(ndjson_lines([line + b"\n"], 100)) == [(1, line)]
