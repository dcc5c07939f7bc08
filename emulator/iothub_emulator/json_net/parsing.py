"""Parsing of texts as declared types.

Nearly all lines of an import are plain JSON with correct types, so orjson parses them. The reader
reads a text when orjson refuses it, when Json.NET may read it differently, and for messages.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from iothub_emulator.json_net.contracts import Contract, JsonObject, ListOf
from iothub_emulator.json_net.lexis import JsonNetError
from iothub_emulator.json_net.reader import MAX_DEPTH
from iothub_emulator.json_net.types import Session, Type, UnsureError

#: From here on, orjson makes floats of integers.
_BIG = 2.0**63


def read_as(text: str, type_: Type, *, lenient: bool = True, exact_case: bool = False) -> Any:
    """Parse a text as a type; None for null, and for whitespace and comments alone.

    If ``lenient``, extensions of JSON and numbers as enum values are accepted. Names of properties
    and enum values match in any case unless ``exact_case``. Raise JsonNetError for a text that is
    malformed or has another type.
    """
    try:
        return _read_plain(text, type_, exact_case)
    except UnsureError:
        session = Session(text, exact_case=exact_case, lenient=lenient)
    value = None
    if type_.read_first(session):
        value = type_.read(session, None)
        while session.read():
            if session.token != "Comment":
                reason = "Additional text found in JSON string after finishing deserializing object"
                session.fail(f"{reason}.")
    if not lenient:
        try:
            json.loads(text, parse_constant=int, parse_int=str)  # No "NaN" is an int.
        except ValueError as error:
            raise JsonNetError(f"Not standard JSON: {error}.") from None
    return value


def parse_object(text: str, contract: Contract) -> JsonObject:
    """Parse a text that must contain one object; see ``read_as``."""
    value: JsonObject = _not_null(read_as(text, contract), contract.dotnet_type)
    return value


def parse_array(text: str, contract: Contract) -> list[JsonObject]:
    """Parse a text that must contain an array of objects; see ``read_as``."""
    items = ListOf(contract, f"System.Collections.Generic.IEnumerable`1[{contract.dotnet_type}]")
    values = _not_null(read_as(text, items), items.dotnet_type)
    return [_not_null(value, contract.dotnet_type) for value in values]


def _not_null(value: Any, dotnet_type: str) -> Any:
    if value is None:
        raise JsonNetError(f"No JSON content found and type '{dotnet_type}' is not nullable.")
    return value


def _read_plain(text: str, type_: Type, exact_case: bool) -> Any:
    """Parse with orjson."""
    try:
        encoded = text.encode()
        value = orjson.loads(encoded)
    except ValueError:
        raise UnsureError from None
    result = type_.convert(value, exact_case)
    # What follows finds, among others, names that orjson has dropped because they are doubled.
    if orjson.dumps(value) == encoded and encoded.count(b"{") + encoded.count(b"[") <= MAX_DEPTH:
        return result
    one_line = encoded.translate(None, b"\t\n\r")
    if b" :" in one_line or one_line.count(b'":') != _count_names(value, MAX_DEPTH):
        raise UnsureError
    return result


def _count_names(value: Any, levels: int) -> int:
    """The number of names in an object or array with at most ``levels`` levels."""
    count, items = (len(value), value.values()) if type(value) is dict else (0, value)
    for item in items:
        kind = type(item)
        if kind is dict or kind is list:
            if levels == 1:
                raise UnsureError
            count += _count_names(item, levels - 1)
        elif kind is float and abs(item) >= _BIG:
            raise UnsureError
    return count
