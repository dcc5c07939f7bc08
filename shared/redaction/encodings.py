"""Decode percent-encodings, JSON escapes and HTML entities, and map positions back."""

from __future__ import annotations

import re
from bisect import bisect_right

__all__ = ["MAX_NESTING", "Anchors", "decode", "encoded_position"]

#: Layers of encodings that are decoded; each kind may repeat within a layer (`%25252B`,
#: `\\\\\\u002b`).
MAX_NESTING = 8

#: A character in one of its encodings, or one that `_character` replaces.
_INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffd\ud800-\udfff"
)
_FULL_WIDTH = "\uff01-\uff5e"
_ENCODED = re.compile(
    r"%(?:25)*+(?:(?P<percent>[0-7][0-9A-Fa-f])"
    r"|(?P<bytes>(?:[Cc][2-9A-Fa-f]|[Dd][0-9A-Fa-f]|[Ee][0-9A-Fa-f]%(?:25)*+[89ABab][0-9A-Fa-f])"
    r"%(?:25)*+[89ABab][0-9A-Fa-f]))"
    r"|(?<!\\)\\++(?:u(?P<json>[0-9A-Fa-f]{4})|U0000(?P<python>[0-9A-Fa-f]{4})"
    r"|u\{0{0,9}(?P<braced>[0-9A-Fa-f]{1,4})\}|x(?P<byte>[0-9A-Fa-f]{2})"
    r"|(?P<slash>/)|(?P<space>[bfnrt]))"
    r"|&(?:\#0{0,9}(?P<decimal>[0-9]{1,5})|\#[xX]0{0,9}(?P<hex>[0-9A-Fa-f]{1,4})"
    r"|(?P<entity>[A-Za-z]{2,14}));"
    rf"|(?P<raw>[{_INVISIBLE}{_FULL_WIDTH}])"
)
_ENCODES = re.compile(rf"[%\\&{_INVISIBLE}{_FULL_WIDTH}]")
_IS_INVISIBLE = re.compile(f"[{_INVISIBLE}]")
_IS_FULL_WIDTH = re.compile(f"[{_FULL_WIDTH}]")
#: Entities of characters in and around keys and their names (HTML, "Named character references").
_ENTITIES = {
    **{"quot": '"', "QUOT": '"', "apos": "'", "amp": "&", "AMP": "&", "lt": "<", "LT": "<"},
    **{"gt": ">", "GT": ">", "plus": "+", "sol": "/", "bsol": "\\", "equals": "=", "colon": ":"},
    **{"semi": ";", "comma": ",", "period": ".", "quest": "?", "percnt": "%", "num": "#"},
    **{"commat": "@", "lowbar": "_", "UnderBar": "_", "lpar": "(", "rpar": ")", "excl": "!"},
    **{"lbrack": "[", "lsqb": "[", "rbrack": "]", "rsqb": "]", "lbrace": "{", "lcub": "{"},
    **{"rbrace": "}", "rcub": "}", "nbsp": " ", "Tab": " ", "NewLine": " ", "shy": ""},
    **{"ZeroWidthSpace": "", "zwj": "", "zwnj": "", "NoBreak": ""},
}

#: Pairs of positions in the decoded and in the encoded text, between which the two are equal.
Anchors = list[tuple[int, int]]


def decode(text: str) -> tuple[str, list[Anchors]]:
    """Return the decoded text, and the anchors of each layer of encodings."""
    maps = []
    for _ in range(MAX_NESTING):
        if not _ENCODES.search(text):
            break
        anchors, pieces, end, length = [(0, 0)], [], 0, 0
        for match in _ENCODED.finditer(text):
            character = _character(match)
            if character is None:
                continue
            pieces += [text[end : match.start()], character]
            length += match.start() - end + len(character)
            end = match.end()
            anchors.append((length, end))
        if not pieces:
            break
        text = "".join((*pieces, text[end:]))
        maps.append(anchors)
    return text, maps


def _character(match: re.Match[str]) -> str | None:
    """The decoded character: a blank for white space, "" if invisible, None if not decoded."""
    kind = match.lastgroup or ""
    value = match[kind]
    match kind:
        case "slash":
            return "/"
        case "space":
            return " "
        case "entity":
            return _ENTITIES.get(value)
        case "bytes":
            data = bytes.fromhex(re.sub("%(?:25)*", "", value))
            character = data.decode("utf-8", "replace")[0]
        case "raw":
            character = value
        case "decimal":
            character = chr(int(value))
        case _:
            character = chr(int(value, 16))
    if _IS_FULL_WIDTH.fullmatch(character):
        return chr(ord(character) - 0xFEE0)
    if _IS_INVISIBLE.fullmatch(character):
        return ""
    if character.isspace():
        return " "
    return character if character.isascii() else None


def encoded_position(anchors: Anchors, position: int) -> int:
    """Convert a position in the decoded text to one in the encoded text."""
    decoded, encoded = anchors[bisect_right(anchors, (position, 1 << 62)) - 1]
    return encoded + position - decoded
