"""Comments in JSON files. Each is an error, but the text around them is read without them.

The hub's own reader, Json.NET, skips `//` and `/* */`. docs/validation.md explains why they are
rejected nevertheless.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.device_files.characters import INVISIBLE_BYTES, visible_part
from shared.device_files.formats.reader import Sink
from shared.device_files.rules import Rule

__all__ = [
    *("BLOCK", "COMMENTS", "COMMENT_STARTS", "NO_COMMENTS", "STRING"),
    *("comments", "match_between_tokens", "note_between_tokens", "without_comments"),
]

#: How comments begin a line.
COMMENT_STARTS = (b"//", b"#", b"/*")

#: A string ends at its line's end, which JSON does not allow in strings: otherwise a missing quote
#: would swallow the rest of the file.
STRING = rb'"(?:[^"\\\n]++|\\.)*+["\n]'
BLOCK = rb"/\*(?:[^*]++|\*(?!/))*+\*/"
#: Patterns of comments. Neither `http://` nor an unquoted colour such as #fff is one.
COMMENTS = (
    rb"/(?<![\w:]/)(?:/[^\n]*+(?=\n)|\*(?:[^*]++|\*(?!/))*+\*/)",
    rb"#(?<!\w#)(?=[ \t#!\r\n])[^\n]*+(?=\n)",
)
#: The same characters where they begin no comment.
NO_COMMENTS = (rb"/(?:(?![/*])|(?<=[\w:]/))", rb"#(?:(?![ \t#!\r\n])|(?<=\w#))")
#: A string, a comment up to its line's end, or the beginning of a block comment.
_TOKENS = re.compile(
    rb"%s|/(?<![\w:]/)(?:(?P<line>/[^\n]*+(?=\n))|(?P<block>\*))|(?P<hash>%s)"
    # After a bracket, every # begins a comment.
    rb"|[}\]][ \t]*+(?P<tail>#[^\n]*+(?=\n))" % (STRING, COMMENTS[1]),
    re.DOTALL,
)
#: What may occur between lines or elements besides blanks. A comment ends before LF.
_BETWEEN = re.compile(rb"(?://|#)[^\n]*+(?=\n)|%s|%s++" % (BLOCK, INVISIBLE_BYTES))


def match_between_tokens(data: bytes, position: int) -> re.Match[bytes] | None:
    """Match a whole comment or invisible characters where JSON allows only blanks."""
    return _BETWEEN.match(data, position)


def note_between_tokens(match: re.Match[bytes], line: int, sink: Sink) -> None:
    if match[0].startswith(COMMENT_STARTS):
        sink.note(line, Rule.JSON_COMMENT)
    else:
        sink.note(line, Rule.LINE_INVISIBLE, visible_part(match[0])[1])


def comments(data: bytes) -> Iterator[tuple[int, int]]:
    """Find comments outside of strings: their start and end, -1 for one that is not closed."""
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


def without_comments(data: bytes) -> tuple[bytes, list[int]]:
    """Remove whole comments from JSON text; also return where they began."""
    if not (b"#" in data or (b"/" in data and (b"//" in data or b"/*" in data))):
        return data, []
    text = data + b"\n"  # a comment may end with the text
    parts: list[bytes] = []
    offsets: list[int] = []
    kept = 0
    for start, end in comments(text):
        if end >= 0:
            parts.append(text[kept:start])
            offsets.append(start)
            kept = end
    if not offsets:
        return data, []
    return b" ".join([*parts, text[kept:]]).removesuffix(b"\n"), offsets
