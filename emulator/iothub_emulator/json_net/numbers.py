"""Numbers as Json.NET reads them (ParseReadNumber)."""

from __future__ import annotations

import re

#: Longest integer, in characters (MaximumJavascriptIntegerCharacterLength).
MAX_INTEGER_LENGTH = 380

_RFC_8259 = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DECIMAL_INTEGER = re.compile(r"-?[0-9]+")


def is_standard(text: str) -> bool:
    """Whether RFC 8259 knows a number."""
    return _RFC_8259.fullmatch(text) is not None


def parse_number(text: str) -> int | float:
    """Read a number: a leading zero makes it octal, 0x hexadecimal; the point may be at an end.

    Raises
    ------
    ValueError
        With the reason as Json.NET words it.
    """
    if text.startswith("0") and text[1:2] not in ("", ".", "e", "E"):
        return _parse_radix(text)
    if _DECIMAL_INTEGER.fullmatch(text):
        if len(text) > MAX_INTEGER_LENGTH:
            raise ValueError(f"JSON integer {text} is too large to parse.")
        return int(text)
    try:
        return float(text)
    except ValueError:
        raise _invalid(text) from None


def _parse_radix(text: str) -> int:
    """An integer of 64 bits, the first of which is the sign."""
    try:
        number = int(text, 16 if text[1] in "xX" else 8)
    except ValueError:
        raise _invalid(text) from None
    if number >= 2**64:
        raise _invalid(text)
    return number - 2**64 if number >= 2**63 else number


def _invalid(text: str) -> ValueError:
    return ValueError(f"Input string '{text}' is not a valid number.")
