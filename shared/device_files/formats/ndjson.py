"""NDJSON: one JSON object a line, as the hub itself takes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from shared.device_files.formats.comments import BlockComments
from shared.device_files.formats.reader import Batch, Sink
from shared.device_files.rules import Finding, Rule

__all__ = ["PrettyPrinted", "ndjson_batches"]

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]', re.DOTALL)
_DEPTHS = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
#: How a line ends whose object goes on. One that was cut off ends anywhere.
_GOES_ON = (b"{", b"[", b",")
#: How a line begins that may stand within an object.
_WITHIN = re.compile(rb'["{}\[\],]|-?[0-9]|(?:true|false|null)\b')


class PrettyPrinted:
    """Follows such an object line by line."""

    def __init__(self) -> None:
        #: Brackets that are open, and how many lines were good before.
        self._depth = 0
        self._good = 0

    def begins(self, good: int, text: bytes) -> bool:
        """Whether a line that is not JSON begins an object that goes on behind it."""
        if not (text.startswith(b"{") and text.endswith(_GOES_ON)):
            return False
        depth = sum(_DEPTHS.get(match[0], 0) for match in _TOKEN.finditer(text))
        self._depth, self._good = max(depth, 0), good
        return depth > 0

    def rest(self, good: int, text: bytes) -> bytes:
        """What a line holds behind the object that goes on; all of it if none does.

        Args:
            good: how many lines were good. One behind the object's beginning shows that it was cut
                off, for good lines are not followed.
        """
        if not self._depth or good != self._good or not _WITHIN.match(text) or _is_whole(text):
            self._depth = 0
            return text
        for match in _TOKEN.finditer(text):
            self._depth += _DEPTHS.get(match[0], 0)
            if self._depth == 0:
                return text[match.end() :].lstrip(b" \t\r,")
        return b""


def _is_whole(text: bytes) -> bool:
    """Whether a line looks like a device of its own: the object before it was cut off."""
    if not (text.startswith(b"{") and text.endswith(b"}") and b'"id"' in text):
        return False
    return sum(_DEPTHS.get(match[0], 0) for match in _TOKEN.finditer(text)) == 0


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
