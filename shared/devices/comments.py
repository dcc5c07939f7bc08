"""Comments in JSON files. JSON has none, so each is an error, but one that hides nothing else.

The hub's own reader, Json.NET, skips `//` and `/* */`. docs/validation.md says why they are not
accepted all the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.devices.characters import INVISIBLE_BYTES, visible_part
from shared.devices.rules import Rule
from shared.devices.source import Sink, UnusableFileError
from shared.devices.strictjson import Finding

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
_STRINGS_AND_COMMENTS = re.compile(
    rb"%s|(?P<comment>%s)" % (STRING, b"|".join(COMMENTS)), re.DOTALL
)
_BLOCK = rb"/\*(?:[^*]++|\*(?!/))*+\*/"
_INVISIBLE = re.compile(INVISIBLE_BYTES + b"++")
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


def without_comments(data: bytes) -> tuple[bytes, list[int]]:
    """Take whole comments out of JSON text, and tell where they began."""
    # Signs are found fast, and most text has them in strings alone.
    has_sign = b"#" in data or b"/" in data
    if not has_sign or not any(start in data for start in COMMENT_STARTS):
        return data, []
    offsets: list[int] = []

    def replaced(match: re.Match[bytes]) -> bytes:
        if match["comment"] is None:
            return match[0]
        offsets.append(match.start())
        return b" "

    # A comment may end with the text.
    rest = _STRINGS_AND_COMMENTS.sub(replaced, data + b"\n").removesuffix(b"\n")
    return (rest, offsets) if offsets else (data, [])


class BlockComments:
    """Takes comments that begin a line and may go on over several out of the lines of a file.

    Lines within them may look like devices, so nobody else may read these.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        #: Where the comment begins that is not closed yet; 0 for none.
        self._start = 0

    @property
    def is_open(self) -> bool:
        return self._start > 0

    def take_out(
        self, numbers: Sequence[int], lines: Sequence[bytes]
    ) -> tuple[list[int], list[bytes]]:
        """The lines, or what is left of them, without those that are all comment."""
        kept = [
            (number, rest)
            for number, line in zip(numbers, lines, strict=True)
            if (rest := self._rest(number, line)) is not None
        ]
        return [number for number, _ in kept], [rest for _, rest in kept]

    def close(self) -> None:
        """Refuse a file that ends within a comment, since its last devices may be in there."""
        if self._start:
            raise UnusableFileError(Rule.JSON_COMMENT, "its end */ is missing", self._start)

    def _rest(self, number: int, line: bytes) -> bytes | None:
        rest = line
        while self._start or rest.lstrip().startswith(b"/*"):
            if not self._start:
                self._start = number
                self._sink.note(number, Finding("", Rule.JSON_COMMENT))
                rest = rest.lstrip()[2:]
            _, end, rest = rest.partition(b"*/")
            if not end:
                return None
            self._start = 0
        return rest if rest is line or rest.strip() else None
