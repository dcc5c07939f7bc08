"""Comments in JSON files. JSON has none, so each is an error, but one that hides nothing else.

The hub's own reader, Json.NET, skips `//` and `/* */`. docs/validation.md says why they are not
accepted all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from shared.device_files.characters import INVISIBLE_BYTES, visible_part
from shared.device_files.formats.reader import Sink, UnusableFileError
from shared.device_files.rules import Finding, Rule

__all__ = [
    *("COMMENTS", "COMMENT_STARTS", "NO_COMMENTS", "STRING"),
    *("BlockComments", "between_tokens", "note_between_tokens", "without_comments"),
]

#: How lines begin that are comments.
COMMENT_STARTS = (b"//", b"#", b"/*")

#: A string ends at its line's end, for JSON allows none there: a forgotten quote is not to swallow
#: the rest of the file.
STRING = rb'"(?:[^"\\\n]++|\\.)*+["\n]'
#: Patterns of comments. Neither `http://` nor a colour such as #fff, which somebody forgot to
#: quote, is one.
COMMENTS = (
    rb"/(?<![\w:]/)(?:/[^\n]*+(?=\n)|\*(?:[^*]++|\*(?!/))*+\*/)",
    rb"#(?<!\w#)(?=[ \t#!\r\n])[^\n]*+(?=\n)",
)
#: The same signs where they begin no comment.
NO_COMMENTS = (rb"/(?:(?![/*])|(?<=[\w:]/))", rb"#(?:(?![ \t#!\r\n])|(?<=\w#))")
#: A string, a comment up to its line's end, or the beginning of a block comment.
_TOKENS = re.compile(
    rb"%s|/(?<![\w:]/)(?:(?P<line>/[^\n]*+(?=\n))|(?P<block>\*))|(?P<hash>%s)"
    # Behind a bracket, every # begins a comment.
    rb"|[}\]][ \t]*+(?P<tail>#[^\n]*+(?=\n))" % (STRING, COMMENTS[1]),
    re.DOTALL,
)
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BLOCK = rb"/\*(?:[^*]++|\*(?!/))*+\*/"
_INVISIBLE = re.compile(INVISIBLE_BYTES + b"++")
_LEADING = re.compile(rb"(?:[ \t\r]|%s)*+%s" % (INVISIBLE_BYTES, _BLOCK))
#: What may stand between two lines or elements beside blanks. A comment ends in front of LF.
_BETWEEN = re.compile(rb"(?://|#)[^\n]*+(?=\n)|%s" % _BLOCK)


def between_tokens(data: bytes, position: int) -> re.Match[bytes] | None:
    """A whole comment or invisible characters at a position where JSON allows blanks alone."""
    return _BETWEEN.match(data, position) or _INVISIBLE.match(data, position)


def note_between_tokens(match: re.Match[bytes], line: int, sink: Sink) -> None:
    """Report what `between_tokens` matched."""
    if match[0].startswith(COMMENT_STARTS):
        sink.note(line, Finding("", Rule.JSON_COMMENT))
    else:
        _, invisible = visible_part(match[0])
        sink.note(line, Finding("", Rule.LINE_INVISIBLE, invisible))


def _comments(data: bytes) -> Iterator[tuple[int, int]]:
    """Where comments begin and end, outside of strings; the end is -1 for one without an end."""
    position = 0
    while match := _TOKENS.search(data, position):
        position = match.end()
        if match.lastgroup == "block":
            end = data.find(b"*/", position)
            yield match.start(), end + 2 if end >= 0 else -1
            if end < 0:
                return
            position = end + 2
        elif match.lastgroup:
            yield match.start("tail" if match.lastgroup == "tail" else 0), position


def _has_signs(data: bytes) -> bool:
    """Whether there may be comments. Most text has their signs in strings alone, or not at all."""
    return b"#" in data or (b"/" in data and (b"//" in data or b"/*" in data))


def without_comments(data: bytes) -> tuple[bytes, list[int]]:
    """Take whole comments out of JSON text, and tell where they began."""
    if not _has_signs(data):
        return data, []
    text = data + b"\n"  # a comment may end with the text
    pieces: list[bytes] = []
    offsets: list[int] = []
    kept = 0
    for start, end in _comments(text):
        if end >= 0:
            pieces.append(text[kept:start])
            offsets.append(start)
            kept = end
    if not offsets:
        return data, []
    return b" ".join([*pieces, text[kept:]]).removesuffix(b"\n"), offsets


def open_brackets(text: bytes) -> int:
    """How many more brackets open than close, outside of strings."""
    text = _STRINGS.sub(b"", text)
    opening = text.count(b"{") + text.count(b"[")
    return opening - text.count(b"}") - text.count(b"]")


def open_comment(line: bytes) -> int:
    """Where a block comment begins that goes on behind the line; -1 for none."""
    if b"/*" not in line:
        return -1
    return next((start for start, end in _comments(line + b"\n") if end < 0), -1)


class BlockComments:
    """Takes comments that go on over several lines out of the lines of a file.

    Lines within them may look like devices, so nobody else may read these.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        #: Where the comment begins that is not closed yet; 0 for none.
        self._start = 0
        #: The parts of an object in which comments begin, its line, and brackets that are open.
        self._parts: list[bytes] = []
        self._line = self._depth = 0

    @property
    def is_open(self) -> bool:
        return self._start > 0

    def take_out(
        self, numbers: Sequence[int], lines: Sequence[bytes]
    ) -> tuple[list[int], list[bytes]]:
        """The lines, or what is left of them, without those that are all comment."""
        kept = [
            rest
            for number, line in zip(numbers, lines, strict=True)
            if (rest := self._rest(number, line)) is not None
        ]
        return [number for number, _ in kept], [rest for _, rest in kept]

    def close(self) -> None:
        """Refuse a file that ends within a comment, since its last devices may be in there."""
        if self._start:
            raise UnusableFileError(Rule.JSON_COMMENT, "its end */ is missing", self._start)

    def _rest(self, number: int, line: bytes) -> tuple[int, bytes] | None:
        rest = line
        if self._start:
            _, end, rest = line.partition(b"*/")
            if not end:
                return None
            self._sink.note(self._start, Finding("", Rule.JSON_COMMENT))
            self._start = 0
        position = 0
        while leading := _LEADING.match(rest, position):
            self._sink.note(number, Finding("", Rule.JSON_COMMENT))
            position = leading.end()
        if position:
            rest = rest[position:]
        start = open_comment(rest)
        if start >= 0:
            self._start = number
            rest = rest[:start]
        return (
            self._joined(number, rest)
            if start >= 0 or self._parts
            else _unless_blank(number, rest, line)
        )

    def _joined(self, number: int, part: bytes) -> tuple[int, bytes] | None:
        """The object that ends with a part of it; None if it goes on behind the comment."""
        self._line = self._line if self._parts else number
        self._parts.append(part)
        self._depth += open_brackets(part)
        if self._start and self._depth > 0:
            return None
        number, text = self._line, b" ".join(self._parts)
        self._parts, self._depth = [], 0
        return (number, text) if text.strip() else None


def _unless_blank(number: int, rest: bytes, line: bytes) -> tuple[int, bytes] | None:
    return (number, rest) if rest is line or rest.strip() else None
