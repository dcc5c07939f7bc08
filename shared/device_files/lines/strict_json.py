"""Strict JSON (RFC 8259): what Python and Json.NET accept beyond it is reported with its path.

Findings do not stop the reader, so that the other rules of a line are checked as well.
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

__all__ = ["MAX_NESTING", "StrictReader", "encode", "keeps_all", "nests_deeper", "read_sound"]

#: Objects and arrays within each other: the default of Json.NET.
MAX_NESTING = 64
#: Stands for numbers that are not JSON.
_NOT_FINITE = math.nan
_ESCAPED_COLON = b"\\u003"
_BLANKS = re.compile(r"[ \t\r\n]*")
_HINTS = {
    "'": "JSON requires double quotes",
    "/": "JSON does not allow comments",
    "#": "JSON does not allow comments",
    "T": "JSON writes true",
    "F": "JSON writes false",
    "N": "JSON writes null",
    "}": "possibly an extra comma",
    "]": "possibly an extra comma",
    "\N{LEFT DOUBLE QUOTATION MARK}": 'JSON requires plain quotes, "',
}

encode = msgspec.json.Encoder().encode


class _Doubled(dict[str, Any]):
    """An object in which some names occur more than once; the last one counts."""

    names: frozenset[str]


def keeps_all(text: bytes, encoded: bytes) -> bool:
    """Whether msgspec lost nothing when it read a text, by what it encodes again.

    Of properties with one name msgspec keeps the last; the others are lost with their colons.
    """
    if b"\\" in text and _ESCAPED_COLON in text:
        return False
    return text.count(b":") == encoded.count(b":")


def read_sound(line: bytes) -> Any:
    """Return the value of a line that certainly has no findings; None otherwise."""
    try:
        value = msgspec.json.decode(line)
        if line.count(b"{") + line.count(b"[") <= MAX_NESTING and keeps_all(line, encode(value)):
            return value
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        pass
    return None


class StrictReader:
    """Reads one text after another; not thread-safe."""

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
        """Return the value and its findings; the value is None if the text is unusable."""
        start = _BLANKS.match(text).end()  # type: ignore[union-attr]
        self._suspect = "\\u" in text  # which may be half of a surrogate pair
        try:
            value, end = self._decode(text, start)
        except json.JSONDecodeError as error:
            return None, [Finding("", Rule.JSON_INVALID, _explain(text, error))]
        except RecursionError:
            return None, [Finding("", Rule.JSON_NESTING)]
        if text.count("{") + text.count("[") > MAX_NESTING and nests_deeper(value, MAX_NESTING):
            return None, [Finding("", Rule.JSON_NESTING)]
        findings = list(islice(_walk(value, ""), MAX_FINDINGS)) if self._suspect else []
        end = _BLANKS.match(text, end).end()  # type: ignore[union-attr]
        if end < len(text):
            extra = "a comma" if text[end] == "," else _describe_unusual(text[end]) or "text"
            detail = f"{extra} at column {end + 1:,}"
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
        counts = Counter(name for name, _ in pairs)
        doubled.names = frozenset(name for name, count in counts.items() if count > 1)
        return doubled


def nests_deeper(value: Any, levels: int) -> bool:
    """Whether objects and arrays are nested on more levels."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(nests_deeper(item, levels - 1) for item in value)


def _walk(value: Any, path: str) -> Iterator[Finding]:
    if isinstance(value, dict):
        doubled = value.names if isinstance(value, _Doubled) else frozenset()
        for name, item in value.items():
            if name in doubled:
                yield Finding(_join(path, name), Rule.JSON_DUPLICATE_MEMBER)
            if _has_surrogate(name):
                yield Finding(path, Rule.JSON_SURROGATE, "in a property name")
            else:
                yield from _walk(item, _join(path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, _join(path, str(index)))
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Finding(path, Rule.JSON_NUMBER)
    elif isinstance(value, str) and _has_surrogate(value):
        yield Finding(path, Rule.JSON_SURROGATE)


def _join(path: str, step: str) -> str:
    return ".".join(filter(None, (path, step)))


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _explain(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "it is truncated"
    character = text[error.pos]
    message = f"{error.msg[0].lower()}{error.msg[1:].removesuffix(' at')}"
    parts = (_describe_unusual(character), _HINTS.get(character, ""))
    return "; ".join(filter(None, (f"{message} at column {error.pos + 1:,}", *parts)))


def _describe_unusual(character: str) -> str:
    """Name a character that JSON allows in strings only and that is easily overlooked."""
    return "" if " " <= character <= "~" else describe_character(character)
