"""NDJSON, one JSON object per line, and what wrongly spans several of its lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from shared.device_files.characters import INVISIBLE_BYTES
from shared.device_files.formats.comments import BLOCK, comments
from shared.device_files.formats.reader import Batch, Sink, UnusableFileError
from shared.device_files.rules import Finding, Rule

__all__ = ["PrettyPrinted", "ndjson_batches"]

_LEADING_COMMENT = re.compile(rb"(?:[ \t\r]|%s)*+%s" % (INVISIBLE_BYTES, BLOCK))
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]', re.DOTALL)
_DEPTHS = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
#: How a line ends whose object continues. A truncated one ends anywhere.
_CONTINUES = (b"{", b"[", b",")
#: How a line begins that may be part of an object.
_WITHIN = re.compile(rb'["{}\[\],]|-?[0-9]|(?:true|false|null)\b')


def ndjson_batches(chunks: Iterable[bytes], max_line_bytes: int, sink: Sink) -> Iterator[Batch]:
    """Split into lines without their LF, numbered from 1, including blank lines.

    Only LF ends a line; a CR before it belongs to the line end. A line that is too long is skipped
    without being kept: memory is limited to a chunk and a line. Block comments that span lines are
    reported and removed.

    Raises:
        UnusableFileError: such a comment is not closed.
    """
    too_long = Finding("", Rule.LINE_TOO_LONG, f"over {max_line_bytes:,} bytes")
    first = 1
    tail = b""
    skipping = False
    block_comments = _BlockComments(sink)
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
            if block_comments.is_open or (b"*" in data and b"/*" in data):
                numbers, lines = block_comments.remove(numbers, lines)
            yield numbers, lines
        if len(tail.removesuffix(b"\r")) > max_line_bytes:  # its LF may follow
            if not skipping:
                sink.drop(first, [too_long])
            tail, skipping = b"", True
    if tail and not skipping:
        yield block_comments.remove([first], [tail])
    block_comments.close()


class _BlockComments:
    """Removes comments that span lines; what is inside may look like devices."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        #: The line of the open comment; 0 for none.
        self._start = 0
        #: The parts of an object that contains comments, its line, and its open brackets.
        self._parts: list[bytes] = []
        self._line = self._depth = 0

    @property
    def is_open(self) -> bool:
        return self._start > 0

    def remove(
        self, numbers: Sequence[int], lines: Sequence[bytes]
    ) -> tuple[list[int], list[bytes]]:
        """Return what remains of the lines, without those that are all comment."""
        kept = [
            rest
            for number, line in zip(numbers, lines, strict=True)
            if (rest := self._rest(number, line)) is not None
        ]
        return [number for number, _ in kept], [rest for _, rest in kept]

    def close(self) -> None:
        """Reject a file that ends within a comment, which may contain its last devices."""
        if self._start:
            raise UnusableFileError(Rule.JSON_COMMENT, "its end */ is missing", self._start)

    def _rest(self, number: int, line: bytes) -> tuple[int, bytes] | None:
        rest = line
        if self._start:
            _, end, rest = line.partition(b"*/")
            if not end:
                return None
            self._sink.note(self._start, Rule.JSON_COMMENT)
            self._start = 0
        position = 0
        while leading := _LEADING_COMMENT.match(rest, position):
            self._sink.note(number, Rule.JSON_COMMENT)
            position = leading.end()
        rest = rest[position:]
        start = _open_comment(rest)
        if start >= 0:
            self._start = number
            rest = rest[:start]
        if start >= 0 or self._parts:
            return self._joined(number, rest)
        return (number, rest) if rest == line or rest.strip() else None

    def _joined(self, number: int, part: bytes) -> tuple[int, bytes] | None:
        """Return the object that ends with a part; None if it continues after the comment."""
        self._line = self._line if self._parts else number
        self._parts.append(part)
        self._depth += _open_brackets(part)
        if self._start and self._depth > 0:
            return None
        number, text = self._line, b" ".join(self._parts)
        self._parts, self._depth = [], 0
        return (number, text) if text.strip() else None


class PrettyPrinted:
    """Follows an object that spans several lines, so that it is reported once."""

    def __init__(self) -> None:
        #: Open brackets, and how many good lines there were before.
        self._depth = 0
        self._good = 0

    def begins(self, good: int, text: bytes) -> bool:
        """Whether a line that is not JSON begins an object that continues on the next line."""
        if not (text.startswith(b"{") and text.endswith(_CONTINUES)):
            return False
        self._depth, self._good = max(_open_brackets(text), 0), good
        return self._depth > 0

    def rest(self, good: int, text: bytes) -> bytes:
        """Return what follows the object on a line; the whole line if no object continues there.

        Args:
            good: how many lines were good. One after the object's beginning shows that the object
                is truncated.
        """
        if not self._depth or good != self._good or not _WITHIN.match(text) or _is_device(text):
            self._depth = 0
            return text
        for match in _TOKEN.finditer(text):
            self._depth += _DEPTHS.get(match[0], 0)
            if self._depth == 0:
                return text[match.end() :].lstrip(b" \t\r,")
        return b""


def _is_device(text: bytes) -> bool:
    """Whether a line looks like a whole device, so that the object before it is truncated."""
    is_object = text.startswith(b"{") and text.endswith(b"}") and b'"id"' in text
    return is_object and _open_brackets(text) == 0


def _open_brackets(text: bytes) -> int:
    """How many more brackets open than close, outside of strings."""
    return sum(_DEPTHS.get(match[0], 0) for match in _TOKEN.finditer(text))


def _open_comment(line: bytes) -> int:
    """Where a block comment begins that continues on the next line; -1 for none."""
    if b"/*" not in line:
        return -1
    return next((start for start, end in comments(line + b"\n") if end < 0), -1)
