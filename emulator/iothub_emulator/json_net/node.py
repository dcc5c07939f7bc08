"""Values with their positions in a text, and their conversion to .NET types.

Each ``as_...`` method converts to one .NET type. Whether an error reports the end of a value or the
character after its start depends on how much of it Json.NET has read at that moment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NoReturn, TypeVar

from iothub_emulator.json_net.errors import JsonNetError, Path, show_character

E = TypeVar("E", bound=StrEnum)

MIN_INT32, MAX_INT32 = -(2**31), 2**31 - 1

STRING_LIST = "System.Collections.Generic.IList`1[System.String]"
J_OBJECT = "Newtonsoft.Json.Linq.JObject"
_J_ARRAY = "Newtonsoft.Json.Linq.JArray"
_J_VALUE = "Newtonsoft.Json.Linq.JValue"

#: Longer numbers do not fit into 32 bits.
_INTEGER = re.compile("[\t-\r ]*[+-]?[0-9]{1,20}[\t-\r ]*")
#: The hub runs on Windows.
_WRONG_ARRAY = (
    "Cannot deserialize the current JSON array (e.g. [1,2,3]) into type '{type}' because the type "
    'requires a JSON object (e.g. {{"name":"value"}}) to deserialize correctly.\r\n'
    'To fix this error either change the JSON to a JSON object (e.g. {{"name":"value"}}) or change '
    "the deserialized type to an array or a type that implements a collection interface (e.g. "
    "ICollection, IList) like List<T> that can be deserialized from a JSON array. "
    "JsonArrayAttribute can also be added to the type to force it to deserialize from a JSON "
    "array.\r\n"
)
_WRONG_OBJECT = (
    'Cannot deserialize the current JSON object (e.g. {{"name":"value"}}) into type \'{type}\' '
    "because the type requires a JSON array (e.g. [1,2,3]) to deserialize correctly.\r\n"
    "To fix this error either change the JSON to a JSON array (e.g. [1,2,3]) or change the "
    "deserialized type so that it is a normal .NET type (e.g. not a primitive type like integer, "
    "not a collection type like an array or List<T>) that can be deserialized from a JSON object. "
    "JsonObjectAttribute can also be added to the type to force it to deserialize from a JSON "
    "object.\r\n"
)


class Kind(StrEnum):
    """The kind of a value, by the name of its first token."""

    OBJECT = "StartObject"
    ARRAY = "StartArray"
    STRING = "String"
    INTEGER = "Integer"
    #: Also NaN, Infinity and -Infinity.
    FLOAT = "Float"
    BOOLEAN = "Boolean"
    NULL = "Null"
    #: The literal, or an empty item before a comma.
    UNDEFINED = "Undefined"


@dataclass(slots=True)
class Node:
    """A value in a text."""

    kind: Kind
    #: Pairs of name and Node for objects, Nodes for arrays, else the value in Python.
    value: Any
    text: str
    path: Path
    #: Indices in the text of the first character, and after the last one.
    start: int
    end: int

    @property
    def raw(self) -> str:
        return self.text[self.start : self.end]

    def plain(self) -> Any:
        """The value in Python; the last of several properties with the same name counts."""
        if self.kind is Kind.OBJECT:
            return {name: member.plain() for name, member in self.value}
        if self.kind is Kind.ARRAY:
            return [item.plain() for item in self.value]
        return self.value

    def item(self, step: str | int, *, exact_case: bool) -> Node:
        """The item at an index, or the last property of a name; it must exist."""
        item: Node
        if isinstance(step, int):
            item = self.value[step]
        else:
            folded = fold(step, exact_case)
            members = reversed(self.value)
            item = next(node for name, node in members if fold(name, exact_case) == folded)
        return item

    def as_string(self) -> str | None:
        """A string, or another scalar as it is written (ReadAsString)."""
        match self.kind:
            case Kind.STRING:
                return str(self.value)
            case Kind.INTEGER | Kind.FLOAT | Kind.BOOLEAN:
                return self.raw
            case Kind.NULL:
                return None
        self._fail_at_start()

    def as_boolean(self) -> bool | None:
        """A boolean, a number, or a string "true" or "false" (ReadAsBoolean)."""
        match self.kind:
            case Kind.BOOLEAN | Kind.INTEGER:
                return bool(self.value)
            case Kind.FLOAT if not self._is_literal:
                return bool(self.value)
            case Kind.STRING:
                return self._boolean_of_string()
            case Kind.NULL:
                return None
        self._fail_at_start()

    def as_integer(self) -> int | None:
        """A number of 32 bits, also as a string (ReadAsInt32)."""
        match self.kind:
            case Kind.INTEGER:
                if not MIN_INT32 <= self.value <= MAX_INT32:
                    self.fail(f"JSON integer {self.raw} is too large or small for an Int32.")
                return int(self.value)
            case Kind.FLOAT:
                if self._is_literal:
                    self.fail(f"Cannot read {self.raw} value.")
                self.fail(f"Input string '{self.raw}' is not a valid integer.")
            case Kind.STRING:
                return self._integer_of_string()
            case Kind.NULL:
                return None
        self._fail_at_start()

    def as_enum(
        self, values: type[E], dotnet_type: str, *, exact_case: bool, numbers: bool
    ) -> E | None:
        """A name, or a number if ``numbers`` (StringEnumConverter).

        Json.NET also accepts unknown numbers and lists of names; both are refused here.
        """
        match self.kind:
            case Kind.NULL:
                return None
            case Kind.STRING:
                if not self.value:
                    return None
                name = self.value.strip()
                if member := by_name(values, exact_case).get(fold(name, exact_case)):
                    return values(member)
                number = int(name) if _INTEGER.fullmatch(name) else None
            case Kind.INTEGER:
                number = self.value
            case Kind.OBJECT | Kind.ARRAY:
                self.fail(f"Unexpected token {self.kind} when parsing enum.", self.start + 1)
            case _:
                self.fail(f"Unexpected token {self.kind} when parsing enum.")
        if not numbers or number is None or not 0 <= number < len(values):
            self.fail_conversion(f"System.Nullable`1[{dotnet_type}]")
        return list(values)[number]

    def as_object(self, dotnet_type: str) -> Node | None:
        """An object; None for null and for an empty string."""
        if self.kind is Kind.OBJECT:
            return self
        if self.kind is Kind.ARRAY:
            self.fail(_WRONG_ARRAY.format(type=dotnet_type), self.start + 1)
        self._expect_nothing(dotnet_type)
        return None

    def as_list(self, dotnet_type: str) -> list[Node]:
        """The items of an array; no items for null and for an empty string."""
        if self.kind is Kind.ARRAY:
            return list(self.value)
        if self.kind is Kind.OBJECT:
            self._fail_in_object(_WRONG_OBJECT.format(type=dotnet_type))
        self._expect_nothing(dotnet_type)
        return []

    def as_strings(self) -> tuple[str, ...]:
        """A list of strings without its nulls."""
        items = [item.as_string() for item in self.as_list(STRING_LIST)]
        return tuple(item for item in items if item is not None)

    def as_document(self) -> dict[str, Any] | None:
        """An object without further conversion (CreateJToken)."""
        if self.kind is Kind.NULL:
            return None
        if self.kind is not Kind.OBJECT:
            actual = _J_ARRAY if self.kind is Kind.ARRAY else _J_VALUE
            self.fail(
                f"Deserialized JSON type '{actual}' is not compatible with expected type "
                f"'{J_OBJECT}'."
            )
        document: dict[str, Any] = self.plain()
        return document

    def fail_conversion(self, dotnet_type: str) -> NoReturn:
        self.fail(f"Error converting value {self._shown()} to type '{dotnet_type}'.")

    def fail(self, reason: str, index: int | None = None) -> NoReturn:
        raise JsonNetError.at(self.text, self.end if index is None else index, self.path, reason)

    @property
    def _is_literal(self) -> bool:
        return self.raw[-1:].isalpha()

    def _boolean_of_string(self) -> bool | None:
        if not self.value:
            return None
        word = self.value.strip("\0\t\n\v\f\r ").lower()
        if word not in ("true", "false"):
            self.fail(f"Could not convert string to boolean: {self.value}.")
        return bool(word == "true")

    def _integer_of_string(self) -> int | None:
        if not self.value:
            return None
        if _INTEGER.fullmatch(self.value) and MIN_INT32 <= int(self.value) <= MAX_INT32:
            return int(self.value)
        self.fail(f"Could not convert string to integer: {self.value}.")

    def _expect_nothing(self, dotnet_type: str) -> None:
        if self.kind not in (Kind.NULL, Kind.UNDEFINED) and self.value != "":
            self.fail_conversion(dotnet_type)

    def _fail_at_start(self) -> NoReturn:
        character = show_character(self.text[self.start])
        reason = f"Unexpected character encountered while parsing value: {character}."
        self.fail(reason, self.start + 1)

    def _fail_in_object(self, reason: str) -> NoReturn:
        """Json.NET reads the first name of an object before it checks the expected type."""
        if not self.value:
            self.fail(reason)
        name, member = self.value[0]
        after_colon = self.text.rindex(":", 0, member.start) + 1
        raise JsonNetError.at(self.text, after_colon, (*self.path, name), reason)

    def _shown(self) -> str:
        """The value in a message, as .NET formats it."""
        match self.kind:
            case Kind.STRING:
                return f'"{self.value}"'
            case Kind.INTEGER | Kind.BOOLEAN:
                return str(self.value)
            case Kind.FLOAT if not self._is_literal:
                return f"{self.value:.15G}"
            case Kind.FLOAT:
                return self.raw
        return "{null}"


def fold(name: str, exact_case: bool) -> str:
    """Normalize the name of a property or enum value for comparison."""
    return name if exact_case else name.lower()


@cache
def by_name(values: type[StrEnum], exact_case: bool) -> dict[str, Any]:
    """The values of an enum by their folded names."""
    return {fold(member.value, exact_case): member for member in values}
