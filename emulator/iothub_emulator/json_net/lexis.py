"""Tokens and errors, and the characters and numbers of .NET."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

#: The names are those in messages. An empty item before a comma is undefined, like the literal.
Scalar = Literal["Integer", "Float", "String", "Boolean", "Null", "Undefined"]
Start = Literal["StartObject", "StartArray", "StartConstructor"]
End = Literal["EndObject", "EndArray", "EndConstructor"]
Token = Literal["None", "Comment", "PropertyName", Scalar, Start, End]
#: Names and indices from the root to a value.
Path = list[str | int]

#: Names with one of these are written in brackets.
_SPECIAL = re.compile("[. '/\"\\[\\]()\t\n\r\f\b\\\\\x85\u2028\u2029]")
_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x85, 0x2028, 0x2029)}
_ESCAPES |= {ord(c): f"\\{code}" for c, code in zip("\t\n\r\f\b\\'", "tnrfb\\'", strict=True)}
#: char.IsWhiteSpace.
WHITESPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
WHITESPACE += "\u200a\u2028\u2029\u202f\u205f\u3000"

#: Longest integer, in characters (MaximumJavascriptIntegerCharacterLength).
_MAX_INTEGER_LENGTH = 380

_INTEGER = re.compile(r"-?[0-9]+")
#: NumberStyles.Integer; longer numbers do not fit into 32 bits.
_INTEGER_TEXT = re.compile("[\t-\r ]*([+-]?)0*([0-9]{1,20})[\t-\r ]*\0*")


class JsonNetError(Exception):
    """The text cannot be converted into an object of the expected type."""

    def __init__(self, reason: str, path: Path | None = None, place: str = "") -> None:
        """Add the path, if any, and a place in the text to one or several sentences."""
        if path is not None:
            separator = "" if reason.endswith("\n") else " "
            reason = f"{reason}{separator}Path '{show_path(path)}'{place}."
        super().__init__(join_surrogates(reason))


def show_path(path: Path) -> str:
    """Format a path, for example ``tags['odd name'].sizes[2]``."""
    shown = ""
    for step in path:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif _SPECIAL.search(step):
            shown += f"['{step.translate(_ESCAPES)}']"
        else:
            shown += f".{step}" if shown else step
    return shown


def join_surrogates(text: str) -> str:
    """Convert UTF-16 code units to characters; replace single surrogates."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_letter_or_digit(character: str) -> bool:
    """char.IsLetterOrDigit, which is false for surrogates."""
    return unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd")


class Names(dict[str, Any]):
    """Values by names of ASCII letters, which are also found in another case if required."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._folded = {name.lower(): value for name, value in values.items()}

    def find(self, name: str, exact_case: bool) -> Any:
        """Find a value as StringComparison.OrdinalIgnoreCase does."""
        if name in self or exact_case or not name.isascii():
            return self.get(name)
        return self._folded.get(name.lower())


def to_signed(number: int, bits: int) -> int:
    """Truncate an integer as a conversion in C# does."""
    half = 1 << bits - 1
    return (number + half) % (2 * half) - half


def read_int32(text: str) -> int | None:
    """Read a string as int.TryParse does; None if it is no integer or does not fit."""
    match = _INTEGER_TEXT.fullmatch(text)
    number = int(match[1] + match[2]) if match else 2**31
    return number if to_signed(number, 32) == number else None


def parse_number(text: str, expected: Token | None) -> tuple[Token, Any]:
    """Parse a number where Json.NET expects a type; ValueError with the reason.

    A leading zero makes it octal, 0x hexadecimal; the point may be the first or last character.
    """
    is_radix = text.startswith("0") and text[1:2] not in ("", ".", "e", "E")
    is_integer = is_radix or _INTEGER.fullmatch(text) is not None
    is_int32 = expected == "Integer"
    try:
        if is_int32 and not is_integer:
            raise ValueError
        if is_radix:
            number: float = int(text, 16 if text[1] in "xX" else 8)
            bits = 32 if is_int32 else 64
            if number >= 2**bits:
                raise ValueError
            number = to_signed(int(number), bits)
        elif is_integer and len(text) <= _MAX_INTEGER_LENGTH:
            number = int(text)
        else:
            number = float(text)
    except ValueError:
        kind = "integer" if is_int32 else "number"
        raise ValueError(f"Input string '{text}' is not a valid {kind}.") from None
    if expected == "String":
        return expected, text
    if is_int32 and not -(2**31) <= number < 2**31:
        raise ValueError(f"JSON integer {text} is too large or small for an Int32.")
    if is_integer and isinstance(number, float):
        raise ValueError(f"JSON integer {text} is too large to parse.")
    if expected == "Boolean":
        return expected, bool(number)
    return "Integer" if is_integer else "Float", number
