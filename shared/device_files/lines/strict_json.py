"""JSON read as RFC 8259 has it, with all that Python and Json.NET let pass reported by its path.

Findings do not stop the reading, so that the other rules of a line are looked at as well.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from shared.device_files.characters import describe_character
from shared.device_files.rules import MAX_FINDINGS, Finding, Rule

__all__ = [
    *("MAX_NESTING", "StrictReader"),
    *("dotted", "encode", "keeps_all", "nests_deeper", "read_sound"),
]


def dotted(*path: str | int) -> str:
    return ".".join([str(part) for part in path if part != ""])


class _Doubled(dict[str, Any]):
    """An object of which some names occurred more than once; the last one counts."""

    names: frozenset[str]


#: Objects and arrays within each other: what Json.NET reads by default.
MAX_NESTING = 64

#: What json reads only if asked to be lax stands in the value as a float that is not finite.
_NOT_FINITE = math.nan
_ESCAPED_COLON = b"\\u003"
#: Where JSON's blanks end.
_BLANKS = re.compile(r"[ \t\r\n]*")
_HINTS = {
    "'": "JSON takes double quotes",
    "/": "JSON has no comments",
    "#": "JSON has no comments",
    "T": "JSON writes true",
    "F": "JSON writes false",
    "N": "JSON writes null",
    "}": "perhaps a comma too many",
    "]": "perhaps a comma too many",
    "\N{LEFT DOUBLE QUOTATION MARK}": 'JSON takes plain quotes, "',
}


encode = msgspec.json.Encoder().encode


def keeps_all(text: bytes, encoded: bytes) -> bool:
    """Whether nothing of a text is lost when msgspec reads it and encodes it again.

    Of members of one name msgspec keeps the last one. The others, and their colons, are lost.
    """
    if b"\\" in text and _ESCAPED_COLON in text:
        return False
    return text.count(b":") == encoded.count(b":")


def read_sound(line: bytes) -> Any:
    """The value of a line of which there is nothing to report; None if there may be something."""
    try:
        value = msgspec.json.decode(line)
        if line.count(b"{") + line.count(b"[") <= MAX_NESTING and keeps_all(line, encode(value)):
            return value
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        pass
    return None


class StrictReader:
    """Reads texts one after the other; not for several threads at once."""

    def __init__(self) -> None:
        self._suspect = False
        self._decoder = self._make_decoder()
        self._decoder_of_huge_integers = self._make_decoder(parse_int=lambda _: _NOT_FINITE)

    def _make_decoder(self, **options: Any) -> json.JSONDecoder:
        return json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_constant=self._constant,
            parse_float=self._float,
            **options,
        )

    def read(self, text: str) -> tuple[Any, list[Finding]]:
        """The value and what is wrong with it; the value is None if there is none to speak of."""
        start = _BLANKS.match(text).end()  # type: ignore[union-attr]
        self._suspect = "\\u" in text  # which may stand for half a surrogate pair
        try:
            value, end = self._decode(text, start)
        except json.JSONDecodeError as error:
            return None, [Finding("", Rule.JSON_INVALID, _explain(text, error))]
        except RecursionError:
            return None, [Finding("", Rule.JSON_NESTING)]
        if text.count("{") + text.count("[") > MAX_NESTING and nests_deeper(value, MAX_NESTING):
            return None, [Finding("", Rule.JSON_NESTING)]
        findings = list(islice(_walk(value, ()), MAX_FINDINGS)) if self._suspect else []
        end = _BLANKS.match(text, end).end()  # type: ignore[union-attr]
        if end < len(text):
            what = "a comma" if text[end] == "," else _odd(text[end]) or "text"
            detail = f"{what} at column {end + 1:,}"
            findings.insert(0, Finding("", Rule.JSON_TRAILING_DATA, detail))
        return value, findings

    def _decode(self, text: str, start: int) -> tuple[Any, int]:
        try:
            return self._decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            raise
        except ValueError:
            # Python refuses integers of thousands of digits.
            self._suspect = True
            return self._decoder_of_huge_integers.raw_decode(text, start)

    def _constant(self, _: str) -> float:
        self._suspect = True
        return _NOT_FINITE

    def _float(self, digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            self._suspect = True
        return number

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        self._suspect = True
        doubled = _Doubled(members)
        doubled.names = frozenset(
            name for name, times in Counter(name for name, _ in pairs).items() if times > 1
        )
        return doubled


def nests_deeper(value: Any, levels: int) -> bool:
    """Whether objects and arrays are within each other on more levels."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(nests_deeper(item, levels - 1) for item in value)


def _walk(value: Any, path: tuple[str | int, ...]) -> Iterator[Finding]:
    if isinstance(value, dict):
        doubled = value.names if isinstance(value, _Doubled) else frozenset()
        for name, item in value.items():
            if name in doubled:
                yield Finding(dotted(*path, name), Rule.JSON_DUPLICATE_MEMBER)
            if _has_surrogate(name):
                yield Finding(dotted(*path), Rule.JSON_SURROGATE, "in the name of a member")
            else:
                yield from _walk(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Finding(dotted(*path), Rule.JSON_NUMBER)
    elif isinstance(value, str) and _has_surrogate(value):
        yield Finding(dotted(*path), Rule.JSON_SURROGATE)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _explain(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "it ends in the middle"
    character = text[error.pos]
    said = f"{error.msg[0].lower()}{error.msg[1:].removesuffix(' at')} at column {error.pos + 1:,}"
    return "; ".join(filter(None, (said, _odd(character), _HINTS.get(character, ""))))


def _odd(character: str) -> str:
    """The name of a character that JSON has in strings alone, and that is easily overlooked."""
    return "" if " " <= character <= "~" else describe_character(character)
