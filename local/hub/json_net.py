"""Reading JSON as Json.NET does, which is what the hub reads import files with.

Its error texts appear word for word in importErrors.log files that were published. It matches
member and enum names in any case, skips unknown members and turns scalars into strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

E = TypeVar("E", bound=StrEnum)

_BLANKS = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class JsonNetError(Exception):
    """A text that Json.NET cannot turn into an object of the wanted type."""


class JsonObject:
    """One JSON object of a text, its members found by name in any case; of doubles the last."""

    def __init__(self, members: dict[str, Any], text: str, path: tuple[str, ...] = ()) -> None:
        self._members = {name.lower(): (name, value) for name, value in members.items()}
        self._text = text
        self._path = path

    def string(self, name: str) -> str | None:
        actual, value = self._member(name)
        if isinstance(value, dict | list):
            opening = "{" if isinstance(value, dict) else "["
            self._fail(f"Unexpected character encountered while parsing value: {opening}.", actual)
        return value if value is None or isinstance(value, str) else json.dumps(value)

    def required_string(self, name: str) -> str:
        self._require(name)
        return self.string(name) or ""

    def enum(self, name: str, values: type[E], dotnet_type: str) -> E | None:
        actual, value = self._member(name)
        if value is None:
            return None
        for member in values:
            if isinstance(value, str) and member.value.lower() == value.lower():
                return member
        self._fail_conversion(value, f"System.Nullable`1[{dotnet_type}]", actual)

    def required_enum(self, name: str, values: type[E], dotnet_type: str) -> E:
        self._require(name)
        value = self.enum(name, values, dotnet_type)
        assert value is not None
        return value

    def boolean(self, name: str) -> bool:
        actual, value = self._member(name)
        if not isinstance(value, bool | None):
            self._fail_conversion(value, "System.Boolean", actual)
        return bool(value)

    def strings(self, name: str) -> tuple[str, ...]:
        actual, value = self._member(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._fail_conversion(
                value, "System.Collections.Generic.IList`1[System.String]", actual
            )
        return tuple(value)

    def child(self, name: str) -> JsonObject:
        """The object in a member; without members where there is none or null."""
        actual, _ = self._member(name)
        return JsonObject(self.document(name) or {}, self._text, (*self._path, actual))

    def document(self, name: str) -> dict[str, Any] | None:
        """A member that is kept as it is, such as the tags of a twin."""
        actual, value = self._member(name)
        if not isinstance(value, dict | None):
            self._fail_conversion(value, "Newtonsoft.Json.Linq.JObject", actual)
        return value

    def _member(self, name: str) -> tuple[str, Any]:
        return self._members.get(name.lower(), (name, None))

    def _require(self, name: str) -> None:
        if name.lower() not in self._members:
            self._fail(f"Required property '{name}' not found in JSON.")
        if self._member(name)[1] is None:
            self._fail(f"Required property '{name}' expects a value but got null.")

    def _fail_conversion(self, value: object, dotnet_type: str, actual: str) -> NoReturn:
        self._fail(f"Error converting value {json.dumps(value)} to type '{dotnet_type}'.", actual)

    def _fail(self, reason: str, *member: str) -> NoReturn:
        path = (*self._path, *member)
        position = _end_of_value(self._text, path)
        raise JsonNetError(f"{reason} Path '{'.'.join(path)}', line 1, position {position}.")


def parse_object(text: str) -> JsonObject:
    """Parse a text of one line that must hold one object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise JsonNetError(_syntax_message(text, error.pos)) from None
    except (ValueError, RecursionError):
        raise JsonNetError(_syntax_message(text, len(text))) from None
    if not isinstance(value, dict):
        raise JsonNetError(
            f"Error converting value {json.dumps(value)} to type "
            f"'Microsoft.Azure.Devices.ExportImportDevice'. Path '', line 1, position {len(text)}."
        )
    return JsonObject(value, text)


def _syntax_message(text: str, position: int) -> str:
    if position >= len(text):
        reason = "Unexpected end when deserializing object."
    else:
        reason = f"Unexpected character encountered while parsing value: {text[position]}."
    return f"{reason} Path '', line 1, position {position}."


def _end_of_value(text: str, path: tuple[str, ...]) -> int:
    """How many characters Json.NET has read when it has the value at a path: its "position"."""
    start = _skip_blanks(text, 0)
    for wanted in path:
        start = [begin for name, begin in _members(text, start) if name == wanted][-1]
    return _DECODER.raw_decode(text, start)[1]


def _members(text: str, start: int) -> Iterator[tuple[str, int]]:
    """Names and starts of the values in the object that starts here; the text is valid JSON."""
    index = start
    while text[index] != "}":
        index = _skip_blanks(text, index + 1)
        if text[index] == "}":
            return
        name, index = _DECODER.raw_decode(text, index)
        begin = _skip_blanks(text, _skip_blanks(text, index) + 1)
        yield name, begin
        index = _skip_blanks(text, _DECODER.raw_decode(text, begin)[1])


def _skip_blanks(text: str, index: int) -> int:
    blanks = _BLANKS.match(text, index)
    assert blanks is not None
    return blanks.end()
