"""NDJSON: one JSON object a line, as the hub itself takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from shared.device_files.comments import BlockComments
from shared.device_files.rules import Rule
from shared.device_files.source import Batch, Sink
from shared.device_files.strictjson import Finding

__all__ = ["ndjson_batches"]


def ndjson_batches(chunks: Iterable[bytes], max_line_bytes: int, sink: Sink) -> Iterator[Batch]:
    """The lines of each chunk, numbered from 1 and without their LF; blank ones too.

    Only LF ends a line; a CR before it belongs to the line end. A line that is too long is
    skipped without being held: the memory needed is a chunk and a line, whatever the file. Comments
    that begin a line with `/*` are reported and taken out.

    Raises:
        UnusableFileError: such a comment is not closed.
    """
    too_long = Finding("", Rule.LINE_TOO_LONG, f"over {max_line_bytes:,} bytes")
    first = 1
    tail = b""
    skipping = False
    comments = BlockComments(sink)
    for chunk in chunks:
        data = tail + chunk
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        *lines, tail = data.split(b"\n")
        if lines:
            numbers: Sequence[int] = range(first, first + len(lines))
            first += len(lines)
            if skipping or len(max(lines, key=len)) > max_line_bytes:
                pairs = list(zip(numbers, lines, strict=True))[skipping:]
                skipping = False
                for number, line in pairs:
                    if len(line) > max_line_bytes:
                        sink.drop(number, [too_long])
                pairs = [pair for pair in pairs if len(pair[1]) <= max_line_bytes]
                numbers, lines = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            if comments.is_open or (b"*" in data and b"/*" in data):
                numbers, lines = comments.take_out(numbers, lines)
            yield numbers, lines
        if len(tail.removesuffix(b"\r")) > max_line_bytes:  # whose LF may follow
            if not skipping:
                sink.drop(first, [too_long])
            tail, skipping = b"", True
    if tail and not skipping:
        yield comments.take_out([first], [tail])
    comments.close()
