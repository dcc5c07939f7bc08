"""Characters that are easily overlooked: how to name and remove them."""

from __future__ import annotations

import re
import unicodedata

__all__ = [
    *("INVISIBLE", "INVISIBLE_BYTES", "OBJECTS_BY_ODD_LINE_END", "ODD_LINE_END"),
    *("describe_character", "describe_outside", "describe_unseen"),
    *("visible_part", "without_unseen"),
]

#: First and last code points of runs of invisible characters, besides blank, tab, LF, CR and NUL:
#: controls, spaces, direction marks, joiners, fillers and byte order marks.
_RUNS = (
    *((0x01, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0xA0), (0xAD, 0xAD), (0x34F, 0x34F)),
    *((0x61C, 0x61C), (0x115F, 0x1160), (0x1680, 0x1680), (0x17B4, 0x17B5), (0x180B, 0x180E)),
    *((0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x2800, 0x2800), (0x3000, 0x3000)),
    *((0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB)),
)
INVISIBLE = "".join(chr(code) for first, last in _RUNS for code in range(first, last + 1))
#: One of them, as a pattern over UTF-8.
INVISIBLE_BYTES = b"(?:%s)" % b"|".join(re.escape(character.encode()) for character in INVISIBLE)

#: CR alone, NEXT LINE, LINE SEPARATOR or PARAGRAPH SEPARATOR.
_ODD_END = rb"(?P<end>\r|\xc2\x85|\xe2\x80[\xa8\xa9])"
ODD_LINE_END = re.compile(_ODD_END)
OBJECTS_BY_ODD_LINE_END = re.compile(rb"\}[ \t]*%s\s*\{" % _ODD_END)

_BLANKS = " \t\r\n"
_UNSEEN = re.compile(rf"[{INVISIBLE}\t\r\n]|\A | \Z")
#: Aliases of control characters, which have no name in Unicode.
_CONTROLS = {
    "\0": "NULL",
    "\t": "CHARACTER TABULATION",
    "\n": "LINE FEED",
    "\r": "CARRIAGE RETURN",
    "\x1a": "SUBSTITUTE",
    "\x1b": "ESCAPE",
    "\x1e": "RECORD SEPARATOR",
    "\x7f": "DELETE",
    "\x85": "NEXT LINE",
}


def describe_character(character: str, position: int = 0) -> str:
    """Name a character by its code point, such as `U+00A0 NO-BREAK SPACE at character 3`.

    Args:
        position: where in its text, from 1; 0 omits it.
    """
    kind = unicodedata.category(character)
    unnamed = {"Cc": "CONTROL CHARACTER", "Cs": "SURROGATE"}.get(kind, "UNNAMED CHARACTER")
    name = _CONTROLS.get(character) or unicodedata.name(character, unnamed)
    place = f" at character {position:,}" if position else ""
    return f"U+{ord(character):04X} {name}{place}"


def describe_outside(text: str, allowed: re.Pattern[str]) -> str:
    """Name the first character after what a pattern such as `[a-z]*` matches; "" for none."""
    match = allowed.match(text)
    end = match.end() if match else 0
    return describe_character(text[end], end + 1) if end < len(text) else ""


def describe_unseen(text: str) -> str:
    """Name the first invisible character of a text, or blank at its ends; "" for none."""
    match = _UNSEEN.search(text)
    return describe_character(match[0], match.start() + 1) if match else ""


def without_unseen(text: str) -> str:
    return _UNSEEN.sub("", text).strip(_BLANKS)


def visible_part(line: bytes) -> tuple[bytes, str]:
    """Remove blanks and invisible characters from both ends of a line.

    Returns:
        The rest, and the name of the first invisible character; "" if there was none.
    """
    if not line or (b" " < line[:1] < b"\x7f" and b" " < line[-1:] < b"\x7f"):
        return line, ""
    text = line.decode("utf-8", "surrogateescape")
    rest = text.strip(INVISIBLE + _BLANKS)
    start = text.find(rest)
    ends = [*enumerate(text[:start]), *enumerate(text[start + len(rest) :], start + len(rest))]
    for index, character in ends:
        if character not in _BLANKS:
            return rest.encode("utf-8", "surrogateescape"), describe_character(character, index + 1)
    return line, ""
