"""Rules for tags and properties of a twin, and how their size is counted.

Rules of the learn page on device twins; the refusals of nulls in arrays and of ``#`` in names
were recorded from a live hub.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from iothub_emulator.errors import invalid

MAX_TAGS, MAX_PROPERTIES = 8 * 1024, 32 * 1024
MAX_NAME_BYTES, MAX_STRING_BYTES = 1024, 4096
MAX_DEPTH = 10
MIN_INTEGER, MAX_INTEGER = -(2**52), 2**52 - 1

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FORBIDDEN_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f.$# ]")


def check_members(members: Mapping[str, Any]) -> None:
    """Refuse invalid names and values in a section of a twin."""
    _check_object(members, depth=1)


def check_size(section: str, values: Mapping[str, Any], limit: int) -> None:
    """Refuse a section of more than ``limit`` bytes, as the hub counts them."""
    if not _is_surely_small(values, limit) and _size(values) > limit:
        raise invalid(f"The {section} exceed {limit} bytes.")


def _is_surely_small(values: Mapping[str, Any], limit: int) -> bool:
    """A number counts as 8 bytes and has at least two characters with its separator."""
    return 4 * len(orjson.dumps(values)) <= limit


def _check_object(members: Mapping[str, Any], depth: int) -> None:
    if depth > MAX_DEPTH + 1:
        raise invalid(f"A twin nests at most {MAX_DEPTH} objects.")
    for name, value in members.items():
        if _is_longer(name, MAX_NAME_BYTES) or _FORBIDDEN_IN_NAMES.search(name):
            raise invalid("A property name of the twin is invalid.")
        if value is not None:
            _check_value(value, depth)


def _check_value(value: Any, depth: int) -> None:
    match value:
        case str():
            if _is_longer(value, MAX_STRING_BYTES):
                raise invalid(f"A string of the twin exceeds {MAX_STRING_BYTES} bytes.")
        case bool():
            pass
        case int():
            if not MIN_INTEGER <= value <= MAX_INTEGER:
                raise invalid("An integer of the twin is out of range.")
        case float():
            if not math.isfinite(value):
                raise invalid("A number of the twin is not finite.")
        case dict():
            _check_object(value, depth + 1)
        case list():
            _check_list(value, depth)
        case _:
            raise invalid("An array of the twin holds null.")


def _check_list(items: list[Any], depth: int) -> None:
    if depth > MAX_DEPTH + 1:
        raise invalid(f"A twin nests at most {MAX_DEPTH} arrays.")
    for item in items:
        _check_value(item, depth + isinstance(item, list))


def _size(value: Any) -> int:
    match value:
        case dict():
            return sum(_size(name) + _size(item) for name, item in value.items())
        case list():
            return sum(map(_size, value))
        case str():
            return len(_CONTROLS.sub("", value))
    return 4 if isinstance(value, bool) else 8


def _is_longer(text: str, limit: int) -> bool:
    """Whether a text has more bytes in UTF-8, where a character has at most four."""
    return 4 * len(text) > limit and len(text.encode("utf-8", "surrogatepass")) > limit
