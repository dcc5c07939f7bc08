"""Objects and lists of declared types (JsonSerializerInternalReader.cs).

Json.NET converts values while their tokens arrive, so the first error in the text is reported, but
missing properties at the end of their object. Of several properties with the same name, each is
converted; the last one counts, except that objects and lists are merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar, cast

from iothub_emulator.json_net.lexis import JsonNetError, Names
from iothub_emulator.json_net.types import STRING, Session, Type, UnsureError

E = TypeVar("E", bound=StrEnum)

_ARRAY, _OBJECT = "array (e.g. [1,2,3])", 'object (e.g. {"name":"value"})'
#: The hub runs on Windows, hence the line ends.
_WRONG = (
    "Cannot deserialize the current JSON {} into type '{}' because the type requires a JSON {} to "
    "deserialize correctly.\r\nTo fix this error either change the JSON to a JSON {} or change the "
    "deserialized type {}\r\n"
)
_ARRAY_REMEDY = (
    "to an array or a type that implements a collection interface (e.g. ICollection, IList) like "
    "List<T> that can be deserialized from a JSON array. JsonArrayAttribute can also be added to "
    "the type to force it to deserialize from a JSON array."
)
_OBJECT_REMEDY = (
    "so that it is a normal .NET type (e.g. not a primitive type like integer, not a collection "
    "type like an array or List<T>) that can be deserialized from a JSON object. "
    "JsonObjectAttribute can also be added to the type to force it to deserialize from a JSON "
    "object."
)


class JsonObject(dict[str, Any]):
    """The properties of an object by their declared names; None if absent."""

    __slots__ = ()

    def string(self, name: str) -> str | None:
        return cast("str | None", self[name])

    def enum(self, name: str, values: type[E]) -> E | None:
        """A value of an enum; JsonNetError for a number without a name."""
        value = self[name]
        if value is not None and not isinstance(value, values):
            raise JsonNetError(f"{name} {value} is unknown.")
        return value

    def boolean(self, name: str) -> bool:
        """A boolean; False if absent."""
        return bool(self[name])

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings without its nulls; empty if absent."""
        return tuple(item for item in self[name] or () if item is not None)

    def child(self, name: str) -> JsonObject:
        """An object; an empty one if absent."""
        return cast("JsonObject", self[name])

    def document(self, name: str) -> dict[str, Any] | None:
        return cast("dict[str, Any] | None", self[name])


class _Container(Type):
    def __init__(self, python_type: type, dotnet_type: str) -> None:
        super().__init__(None, python_type)
        self.dotnet_type = dotnet_type

    def read(self, session: Session, existing: Any) -> Any:
        token = session.token
        if token == "StartObject":
            session.read_and_assert()
            return self._read_object(session, existing)
        if token == "StartArray":
            return self._read_items(session, existing, None)
        if token in ("Null", "Undefined") or (token == "String" and not session.value):
            return None
        session.fail_conversion(self.dotnet_type)

    def _read_object(self, session: Session, existing: Any) -> Any:
        """Read an object after its bracket; its first properties may be metadata."""
        id_ = None
        while session.token == "PropertyName":
            name = session.value
            if name not in ("$id", "$type", "$ref", "$values"):
                break
            session.read_and_assert()
            value = session.value
            if name == "$values":
                value = self._read_items(session, existing, id_)
            elif name == "$id":
                id_ = None if value is None else str(value)
            elif name == "$type" and value is None:
                raise JsonNetError("Object reference not set to an instance of an object.")
            elif name == "$ref" and session.token not in ("String", "Null"):
                session.fail("JSON reference $ref property must have a string or null value.")
            session.read_and_assert()
            if name == "$values":
                return value
            if name == "$ref" and value is not None:
                if session.token == "PropertyName":
                    session.fail(
                        "Additional content found in JSON reference object. "
                        "A JSON reference object should only have a $ref property."
                    )
                return session.find(value, self)
        return self._read_members(session, existing, id_)

    def _read_members(self, session: Session, existing: Any, id_: str | None) -> Any:
        """Read the properties of an object; its first token after metadata has been read."""
        session.fail(_WRONG.format(_OBJECT, self.dotnet_type, _ARRAY, _ARRAY, _OBJECT_REMEDY))

    def _read_items(self, session: Session, existing: Any, id_: str | None) -> Any:
        """Read the items of an array whose bracket has been read."""
        session.fail(_WRONG.format(_ARRAY, self.dotnet_type, _OBJECT, _OBJECT, _ARRAY_REMEDY))


class ListOf(_Container):
    """A list of values of one type."""

    def __init__(self, item: Type, dotnet_type: str) -> None:
        super().__init__(list, dotnet_type)
        self._item = item

    def convert(self, value: Any, exact_case: bool) -> Any:
        return [self._item.convert(item, exact_case) for item in super().convert(value, exact_case)]

    def _read_items(self, session: Session, existing: Any, id_: str | None) -> Any:
        items = [] if existing is None else existing
        session.remember(id_, items, self)
        while self._item.read_first(session):
            if session.token == "EndArray":
                return items
            if session.token.startswith("End"):  # Of the object in {"$values": 1}.
                session.fail(f"Unexpected token while deserializing object: {session.token}.")
            items.append(self._item.read(session, None))
        session.fail("Unexpected end when deserializing array.")


class Contract(_Container):
    """An object with named properties, which may be required and not null; others are ignored."""

    def __init__(
        self, dotnet_type: str, members: Mapping[str, Type], *, required: Sequence[str] = ()
    ) -> None:
        super().__init__(dict, dotnet_type)
        self._members = members
        self._names = Names({name: name for name in members})
        self._required = required
        self.absent = JsonObject({name: member.absent for name, member in members.items()})

    def convert(self, value: Any, exact_case: bool) -> Any:
        if type(value) is not dict:
            raise UnsureError
        result, members = JsonObject(self.absent), self._members
        for given, member in value.items():
            name = given if given in members else self._names.find(given, exact_case)
            if name is None:
                if given[:1] == "$":
                    raise UnsureError
            elif name is not given and (name in value or result[name] is not self.absent[name]):
                raise UnsureError
            elif member is not None:
                result[name] = members[name].convert(member, exact_case)
        for name in self._required:
            if result[name] is None:
                raise UnsureError
        return result

    def _read_members(self, session: Session, existing: Any, id_: str | None) -> Any:
        target = JsonObject(self.absent) if existing is None else existing
        session.remember(id_, target, self)
        found: set[str] = set()
        while session.token != "EndObject":
            if session.token == "PropertyName":
                self._read_member(session, target, found)
            elif session.token != "Comment":
                session.fail(f"Unexpected token when deserializing object: {session.token}.")
            if not session.read():
                session.fail("Unexpected end when deserializing object.")
        for name in self._required:
            if name not in found:
                session.fail(f"Required property '{name}' not found in JSON.")
            if target[name] is None:
                session.fail(f"Required property '{name}' expects a value but got null.")
        return target

    def _read_member(self, session: Session, target: JsonObject, found: set[str]) -> None:
        given = session.value
        name = self._names.find(given, session.exact_case)
        if name is None:
            session.skip()
            return
        member = self._members[name]
        if not member.read_first(session):
            session.fail(f"Unexpected end when setting {given}'s value.")
        found.add(name)
        existing = None if target[name] is member.absent else target[name]
        value = member.read(session, existing)
        target[name] = member.absent if value is None else value


STRINGS = ListOf(STRING, "System.Collections.Generic.IList`1[System.String]")
