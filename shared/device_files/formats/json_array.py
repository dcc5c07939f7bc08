"""A JSON array of devices, split as a stream into its elements.

Brackets and strings are followed only to find where an element ends; its content is read later,
like a line. So elements keep the line that they begin on, and an error in one does not hide the
next. Comments are reported and removed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import NoReturn

from shared.device_files.formats.comments import (
    COMMENTS,
    NO_COMMENTS,
    STRING,
    match_between_tokens,
    note_between_tokens,
    without_comments,
)
from shared.device_files.formats.reader import Batch, Sink, UnusableFileError
from shared.device_files.rules import Finding, Rule

__all__ = ["ArrayReader"]

_BLANKS = re.compile(rb"[ \t\r\n]*+")
#: Up to and including the next bracket outside of strings and comments.
_TO_BRACKET = re.compile(
    rb'(?:[^"{}\[\]/#]++|%s)*+([{}\[\]])' % b"|".join((STRING, *COMMENTS, *NO_COMMENTS)), re.DOTALL
)
_SCALAR = re.compile(rb'(?:%s|[^"\[\]{},\s]++)' % STRING, re.DOTALL)
_LINE_ENDS = re.compile(rb"[\r\n]++[ \t]*+")
#: All strings end on their line, so that line ends are layout.
_JOINABLE = re.compile(rb'(?:[^"]++|"(?:[^"\\\r\n]++|\\[^\r\n])*+")*+')
_STEP_BYTES = 64 * 1024
#: Read after the file, so that its last comment or character is complete.
_END = b"\n"
#: How most elements begin, and what separates them.
_TOKENS = frozenset({b"{", b",", b"]", b"["})
#: The bytes of a character in UTF-8.
_MAX_CHARACTER = 4


class _Last(Enum):
    """What was read last, apart from blanks."""

    NOTHING = auto()
    OPENING = auto()
    ELEMENT = auto()
    COMMA = auto()
    CLOSING = auto()


class ArrayReader:
    def __init__(
        self,
        max_element_bytes: int,
        sink: Sink,
        first_line: int = 1,
        check_rest: Callable[[bytes, int, int], None] | None = None,
    ) -> None:
        """Prepare for one array.

        Args:
            first_line: the line of the file that the array begins on.
            check_rest: takes what follows the array, its line and the number of elements, or
                raises UnusableFileError; None if nothing may follow.
        """
        self._max = max_element_bytes
        self._sink = sink
        self._check_rest = check_rest
        self._buffer = b""
        self._position = 0
        #: A position in the buffer, and its line.
        self._counted = 0
        self._line = first_line
        self._last = _Last.NOTHING
        self._elements = 0

    def batches(self, chunks: Iterable[bytes]) -> Iterator[Batch]:
        """Return the elements of each chunk, each on one line, with the lines they begin on.

        Raises:
            UnusableFileError: the end of an element or of the array cannot be found.
        """
        for chunk in itertools.chain(_coalesced(chunks), [_END]):
            self._line_at(self._position)
            self._buffer = self._buffer[self._position :] + chunk
            self._position = self._counted = 0
            numbers: list[int] = []
            elements: list[bytes] = []
            while (numbered := self._next()) is not None:
                number, element = numbered
                if len(element) > self._max:
                    too_long = Finding("", Rule.LINE_TOO_LONG, f"over {self._max:,} bytes")
                    self._sink.drop(number, [too_long])
                    self._elements += 1
                else:
                    numbers.append(number)
                    elements.append(_on_one_line(self._without_comments(number, element)))
            self._elements += len(elements)
            if len(self._buffer) - self._position > self._max + _STEP_BYTES:
                detail = f"an element of over {self._max:,} bytes, or a bracket is missing"
                self._fail(Rule.LINE_TOO_LONG, detail)
            if elements:
                yield numbers, elements
        self._finish()

    def _finish(self) -> None:
        rest = self._buffer[self._position :]
        is_closed = self._last is _Last.CLOSING
        if is_closed and self._check_rest:
            line = self._line_at(self._position)
            self._check_rest(self._without_comments(line, rest), line, self._elements)
        elif rest.startswith(b"/*"):
            self._fail(Rule.JSON_COMMENT, "its end */ is missing")
        elif not is_closed:
            self._fail(Rule.ARRAY_NOT_CLOSED)
        elif rest.strip():
            self._fail(Rule.JSON_TRAILING_DATA, "after the array's end")

    def _line_at(self, position: int) -> int:
        self._line += self._buffer.count(b"\n", self._counted, position)
        self._counted = position
        return self._line

    def _next(self) -> tuple[int, bytes] | None:
        """Return the next element; None if there is none or more of the file is needed."""
        while True:
            start = self._skip_blanks()
            if start is None or (self._last is _Last.CLOSING and self._check_rest):
                return None
            byte = self._buffer[start : start + 1]
            if self._last is _Last.CLOSING:
                self._fail(Rule.JSON_TRAILING_DATA, "after the array's end")
            if self._last is _Last.NOTHING:
                self._last = _Last.OPENING
            elif byte == b",":
                if self._last is not _Last.ELEMENT:
                    self._sink.note(self._line_at(start), Rule.ARRAY_COMMA)
                self._last = _Last.COMMA
            elif byte == b"]":
                if self._last is _Last.COMMA:
                    self._sink.note(self._line_at(start), Rule.ARRAY_COMMA)
                self._last = _Last.CLOSING
            else:
                return self._element(start)
            self._position = start + 1

    def _element(self, start: int) -> tuple[int, bytes] | None:
        end = self._end_of_element(start)
        if end is None:
            return None
        line = self._line_at(start)
        if self._last is _Last.ELEMENT:
            self._sink.note(line, Rule.ARRAY_COMMA)
        self._position = end
        self._last = _Last.ELEMENT
        return line, self._buffer[start:end]

    def _end_of_element(self, start: int) -> int | None:
        """Return None if the element continues beyond the buffer."""
        first = self._buffer[start : start + 1]
        if first not in (b"{", b"["):
            scalar = _SCALAR.match(self._buffer, start)
            if scalar is None and first != b'"':
                self._fail(Rule.JSON_INVALID)
            return scalar.end() if scalar and scalar.end() < len(self._buffer) else None
        position, depth = start, 0
        while match := _TO_BRACKET.match(self._buffer, position):
            position = match.end()
            depth += 1 if match[1] in b"{[" else -1
            if depth == 0:
                return position
        return None

    def _skip_blanks(self) -> int | None:
        """Return where the next token begins; None if that is not known yet."""
        while True:
            blanks = _BLANKS.match(self._buffer, self._position)
            assert blanks is not None
            self._position = start = blanks.end()
            if self._buffer[start : start + 1] in _TOKENS:
                return start
            if match := match_between_tokens(self._buffer, start):
                note_between_tokens(match, self._line_at(start), self._sink)
                self._position = match.end()
                continue
            rest = self._buffer[start : start + _MAX_CHARACTER]
            # An open comment, or the first bytes of a character.
            is_cut = rest.startswith((b"//", b"/*", b"#")) or (
                len(rest) < _MAX_CHARACTER and (rest == b"/" or rest >= b"\x80")
            )
            return None if is_cut or not rest else start

    def _without_comments(self, number: int, element: bytes) -> bytes:
        rest, offsets = without_comments(element)
        for before, offset in itertools.pairwise([0, *offsets]):
            number += element.count(b"\n", before, offset)
            self._sink.note(number, Rule.JSON_COMMENT)
        return rest

    def _fail(self, rule: Rule, detail: str = "") -> NoReturn:
        """Reject the file at the current position: nothing after it could be split."""
        position = min(self._position, len(self._buffer) - len(_END))
        raise UnusableFileError(rule, detail, self._line_at(position))


def _on_one_line(element: bytes) -> bytes:
    """Replace line ends by blanks, or by tabs, which JSON does not allow in strings."""
    if b"\n" not in element and b"\r" not in element:
        return element
    return _LINE_ENDS.sub(b" " if _JOINABLE.fullmatch(element) else b"\t", element)


def _coalesced(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small chunks, since each one begins with the rest of the one before."""
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        if len(waiting) >= _STEP_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
