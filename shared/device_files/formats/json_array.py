"""A JSON array of devices, taken apart as a stream into one text an element.

Brackets and strings are followed no further than it takes to find where an element ends; what it
holds is read later, like a line. So elements keep the line that they begin on, and a mistake in
one of them does not hide the next. Comments are reported and taken out, wherever they stand.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from itertools import pairwise
from typing import NoReturn

from shared.device_files.formats.comments import (
    COMMENTS,
    NO_COMMENTS,
    STRING,
    between_tokens,
    note_between_tokens,
    without_comments,
)
from shared.device_files.formats.reader import Batch, Sink, UnusableFileError
from shared.device_files.rules import Finding, Rule

__all__ = ["array_batches"]

_BLANKS = re.compile(rb"[ \t\r\n]*+")
#: Up to and with the next bracket that stands in no string and no comment.
_TO_BRACKET = re.compile(
    rb'(?:[^"{}\[\]/#]++|%s)*+([{}\[\]])' % b"|".join((STRING, *COMMENTS, *NO_COMMENTS)), re.DOTALL
)
_SCALAR = re.compile(rb'(?:%s|[^"\[\]{},\s]++)' % STRING, re.DOTALL)
_LINE_ENDS = re.compile(rb"[\r\n]++[ \t]*+")
#: All strings end on their line, so that what stands between lines is nothing but layout.
_JOINABLE = re.compile(rb'(?:[^"]++|"(?:[^"\\\r\n]++|\\[^\r\n])*+")*+')
_STEP_BYTES = 64 * 1024
#: What is read behind the file, so that its last comment or character is whole.
_END = b"\n"
#: How most elements begin, and what stands between them.
_TOKENS = frozenset({b"{", b",", b"]", b"["})
#: Bytes of UTF-8 that a character takes.
_MAX_CHARACTER = 4


def array_batches(
    chunks: Iterable[bytes],
    max_element_bytes: int,
    sink: Sink,
    *,
    first_line: int = 1,
    check_rest: Callable[[bytes, int, int], None] | None = None,
) -> Iterator[Batch]:
    """The elements of each chunk, each on one line, with the lines that they begin on.

    Args:
        first_line: the line of the file that the array begins on.
        check_rest: takes what follows the array, its line and the number of elements, or raises
            UnusableFileError; None if nothing may follow.

    Raises:
        UnusableFileError: it cannot be told where the next element begins, or the array does not
            end.
    """
    return _Splitter(max_element_bytes, sink, first_line, check_rest).split(chunks)


class _Last(Enum):
    """What was read last, blanks apart."""

    NOTHING = auto()
    OPENING = auto()
    ELEMENT = auto()
    COMMA = auto()
    CLOSING = auto()


class _Splitter:
    def __init__(
        self,
        max_element_bytes: int,
        sink: Sink,
        first_line: int,
        check_rest: Callable[[bytes, int, int], None] | None,
    ) -> None:
        self._max = max_element_bytes
        self._sink = sink
        self._buffer = b""
        self._position = 0
        #: The line of `_counted`, which is a position in the buffer.
        self._line = first_line
        self._check_rest = check_rest
        self._counted = 0
        self._last = _Last.NOTHING
        self._elements = 0

    def split(self, chunks: Iterable[bytes]) -> Iterator[Batch]:
        for chunk in itertools.chain(_coalesced(chunks), [_END]):
            self._drop_read()
            self._buffer += chunk
            numbers: list[int] = []
            elements: list[bytes] = []
            while (found := self._next()) is not None:
                number, element = found
                if len(element) > self._max:
                    too_long = Finding("", Rule.LINE_TOO_LONG, f"over {self._max:,} bytes")
                    self._sink.drop(number, [too_long])
                    self._elements += 1
                else:
                    numbers.append(number)
                    elements.append(_on_one_line(self._without_comments(number, element)))
            self._elements += len(elements)
            if len(self._buffer) - self._position > self._max + _STEP_BYTES:
                self._fail_too_long()
            if elements:
                yield numbers, elements
        if self._last is not _Last.CLOSING:
            # Nothing after the last whole element could be taken apart: it begins there.
            line = self._line_at(min(self._position, len(self._buffer) - len(_END)))
            if self._buffer.startswith(b"/*", self._position):
                raise UnusableFileError(Rule.JSON_COMMENT, "its end */ is missing", line)
            raise UnusableFileError(Rule.ARRAY_NOT_CLOSED, line=line)
        rest = self._buffer[self._position :]
        if self._check_rest:
            line = self._line_at(self._position)
            self._check_rest(self._without_comments(line, rest), line, self._elements)
        elif rest.startswith(b"/*"):
            line = self._line_at(self._position)
            raise UnusableFileError(Rule.JSON_COMMENT, "its end */ is missing", line)
        elif rest.strip():
            self._fail_behind_end()

    def _drop_read(self) -> None:
        self._line_at(self._position)
        self._buffer = self._buffer[self._position :]
        self._position = self._counted = 0

    def _line_at(self, position: int) -> int:
        self._line += self._buffer.count(b"\n", self._counted, position)
        self._counted = position
        return self._line

    def _next(self) -> tuple[int, bytes] | None:
        """The next element; None if there is none or more of the file is needed to tell."""
        while True:
            start = self._skip_blanks()
            if start is None or (self._last is _Last.CLOSING and self._check_rest):
                return None
            byte = self._buffer[start : start + 1]
            if self._last is _Last.CLOSING:
                self._fail_behind_end()
            if self._last is _Last.NOTHING:
                self._last = _Last.OPENING
            elif byte == b",":
                if self._last is not _Last.ELEMENT:
                    self._sink.note(self._line_at(start), Finding("", Rule.ARRAY_COMMA))
                self._last = _Last.COMMA
            elif byte == b"]":
                if self._last is _Last.COMMA:
                    self._sink.note(self._line_at(start), Finding("", Rule.ARRAY_COMMA))
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
            self._sink.note(line, Finding("", Rule.ARRAY_COMMA))
        self._position = end
        self._last = _Last.ELEMENT
        return line, self._buffer[start:end]

    def _end_of_element(self, start: int) -> int | None:
        """None if the buffer ends before the element does."""
        position, depth = start, 0
        if self._buffer[start : start + 1] not in (b"{", b"["):
            scalar = _SCALAR.match(self._buffer, start)
            if scalar is None and self._buffer[start : start + 1] == b'"':
                return None
            if scalar is None:
                raise UnusableFileError(Rule.JSON_INVALID, line=self._line_at(start))
            return scalar.end() if scalar.end() < len(self._buffer) else None
        while match := _TO_BRACKET.match(self._buffer, position):
            position = match.end()
            depth += 1 if match[1] in b"{[" else -1
            if depth == 0:
                return position
        return None

    def _skip_blanks(self) -> int | None:
        """Where the next token begins; None if that cannot be known yet."""
        while True:
            blanks = _BLANKS.match(self._buffer, self._position)
            assert blanks is not None
            self._position = start = blanks.end()
            if self._buffer[start : start + 1] in _TOKENS:
                return start
            if match := between_tokens(self._buffer, start):
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
        for before, offset in pairwise([0, *offsets]):
            number += element.count(b"\n", before, offset)
            self._sink.note(number, Finding("", Rule.JSON_COMMENT))
        return rest

    def _fail_behind_end(self) -> NoReturn:
        line = self._line_at(self._position)
        raise UnusableFileError(Rule.JSON_TRAILING_DATA, "after the array's end", line)

    def _fail_too_long(self) -> NoReturn:
        raise UnusableFileError(
            Rule.LINE_TOO_LONG,
            f"an element of over {self._max:,} bytes, or a bracket is missing",
            self._line_at(self._position),
        )


def _on_one_line(element: bytes) -> bytes:
    """The element with blanks for its line ends, or with tabs, which JSON refuses in strings."""
    if b"\n" not in element and b"\r" not in element:
        return element
    return _LINE_ENDS.sub(b" " if _JOINABLE.fullmatch(element) else b"\t", element)


def _coalesced(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Chunks of some size, since each one begins with what the one before left over."""
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        if len(waiting) >= _STEP_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
