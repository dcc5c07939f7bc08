"""Lenient parsing of values in a hub's answers and in its error log.

The answer may come from a later version, or from another server. Only `parse_json` raises, and each
returned value can be stored in a row of the table.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from shared.text import clean

__all__ = ["code_of", "parse_json", "text_of", "time_of"]

#: Maximum length of a returned text, in characters. A column holds 32,768 UTF-16 code units.
MAX_TEXT = 2000

#: Years of returned times. Table Storage supports 1601 to 9999 (learn: "Understanding the Table
#: service data model"); DateTime.MinValue and MaxValue of .NET, in 0001 and 9999, mean none.
_YEARS = range(1601, 9999)

_DATETIME = TypeAdapter(datetime)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}")


def parse_json(data: bytes | str) -> Any:
    """Parse JSON in UTF-8, with or without a byte order mark. Invalid bytes become U+FFFD.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    try:
        return json.loads(text.removeprefix("\ufeff"), parse_int=_integer)
    except RecursionError as error:
        raise ValueError("The JSON is nested too deeply.") from error


def text_of(value: object, limit: int = MAX_TEXT) -> str:
    """Return a string or number as clean text; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    try:
        return clean(str(value), limit)
    except ValueError:  # an integer of more than 4,300 digits
        return ""


def code_of(value: object) -> int | str:
    """Return an error code: a number, also for digits, or a name; "" for anything else."""
    if type(value) is int and 0 <= value < 10**9:
        return value
    text = text_of(value, 100)
    return int(text) if _NUMBER.fullmatch(text) else text


def time_of(value: object) -> datetime | None:
    """Return an ISO 8601 time in UTC; None for anything else. A time without a zone is UTC."""
    if not isinstance(value, str) or not _DATE.match(value):
        return None
    try:
        time = _DATETIME.validate_python(value)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return time if time.year in _YEARS else None


def _integer(digits: str) -> int | float:
    """Convert an integer of any length: `int` allows 4,300 digits."""
    return int(digits) if len(digits) < 1000 else float(digits)
