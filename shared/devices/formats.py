"""From the bytes of an uploaded file to its numbered lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["ndjson_lines"]

_BOM = b"\xef\xbb\xbf"


def ndjson_lines(
    chunks: Iterable[bytes], max_line_bytes: int
) -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not blank, each with its number from 1 and without its line end.

    None stands for a line longer than `max_line_bytes`, which is skipped without being held: the
    memory needed is a chunk and a line, whatever the file. Only LF ends a line; a CR before it
    belongs to the line end. A byte order mark at the start is left out.
    """
    number = 0
    tail = b""
    skipping = False
    first = True
    for chunk in chunks:
        if first:
            tail, chunk = b"", tail + chunk
            if len(chunk) < len(_BOM):
                tail = chunk
                continue
            chunk, first = chunk.removeprefix(_BOM), False
        *lines, tail = (tail + chunk).split(b"\n")
        for line in lines:
            number += 1
            if skipping or len(line) > max_line_bytes:
                skipping = False
                yield number, None
            elif line := line.strip():
                yield number, line
        if len(tail) > max_line_bytes:
            tail, skipping = b"", True
    tail = tail.strip()
    if tail or skipping:
        yield number + 1, None if skipping else tail
