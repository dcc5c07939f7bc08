"""Objects whose properties are read by name and type.

Nearly all lines of an import are plain JSON with correct types, so orjson parses them. ``reader``
parses the text again when orjson refuses it, when Json.NET may read it differently, and for error
messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, NoReturn, TypeGuard, TypeVar

import orjson

from iothub_emulator.json_net.errors import JsonNetError, Path
from iothub_emulator.json_net.node import J_OBJECT, Kind, Node, by_name, fold
from iothub_emulator.json_net.reader import MAX_DEPTH, Reader

E = TypeVar("E", bound=StrEnum)

EXPORT_IMPORT_DEVICE = "Microsoft.Azure.Devices.ExportImportDevice"

#: Integers that may not fit into 64 bits: orjson makes floats of them.
_LONG_INTEGER = re.compile(r"[-:,\[\s][0-9]{19}")
#: Finds such integers and nesting in one pass, which is faster than the expression.
_SHAPE = bytes.maketrans(b"123456789[", b"000000000{")
_LONG_DIGITS = b"0" * 19


class JsonObject:
    """A JSON object; the last of several properties with the same name counts."""

    __slots__ = ("_members", "_names", "_source", "_steps")

    def __init__(
        self, source: _Source, members: Mapping[str, Any], names: _Names, steps: Path
    ) -> None:
        self._source = source
        #: Nodes if ``reader`` parsed the text, else values in Python.
        self._members = members
        self._names = names
        self._steps = steps

    def string(self, name: str) -> str | None:
        """A string, or another scalar as it is written."""
        value = self._members.get(self._names[name])
        if type(value) is str or value is None:
            return value
        return self._node(name).as_string()

    def required_string(self, name: str) -> str:
        value = self.string(name)
        return self._fail_required(name) if value is None else value

    def enum(self, name: str, values: type[E], dotnet_type: str) -> E | None:
        """A value by name or, if lenient, by number; None also for an empty string."""
        value = self._value(name)
        if value is None:
            return None
        exact_case = self._source.exact_case
        if type(value) is str:
            member: E | None = by_name(values, True).get(value) or by_name(values, exact_case).get(
                fold(value, exact_case)
            )
            if member is not None:
                return member
        return self._node(name).as_enum(
            values, dotnet_type, exact_case=exact_case, numbers=self._source.lenient
        )

    def required_enum(self, name: str, values: type[E], dotnet_type: str) -> E:
        value = self.enum(name, values, dotnet_type)
        return self._fail_required(name) if value is None else value

    def boolean(self, name: str) -> bool:
        """A boolean; False if absent."""
        value = self._value(name)
        if value is None or type(value) is bool:
            return bool(value)
        return bool(self._node(name).as_boolean())

    def integer(self, name: str) -> int | None:
        """A number of 32 bits, also as a string."""
        return None if self._value(name) is None else self._node(name).as_integer()

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings without its nulls; empty if absent."""
        value = self._value(name)
        if value is None:
            return ()
        if type(value) is list and all(type(item) is str for item in value):
            return tuple(value)
        return self._node(name).as_strings()

    def child(self, name: str, dotnet_type: str = J_OBJECT) -> JsonObject:
        """An object; an empty one if absent or null."""
        value = self._value(name)
        if value is None:
            return JsonObject(self._source, _NOTHING, _NO_NAMES, self._steps)
        steps = (*self._steps, name)
        if type(value) is dict:
            return self._source.object_of(value, steps)
        return self._source.object_at(self._node(name).as_object(dotnet_type), steps)

    def document(self, name: str) -> dict[str, Any] | None:
        """An object without further conversion, such as the tags of a twin."""
        value = self._value(name)
        if value is None or type(value) is dict:
            return value
        return self._node(name).as_document()

    def _value(self, name: str) -> Any:
        return self._members.get(self._names[name])

    def _node(self, name: str) -> Node:
        value = self._value(name)
        return value if isinstance(value, Node) else self._source.find((*self._steps, name))

    def _fail_required(self, name: str) -> NoReturn:
        """Json.NET checks required properties after reading the object."""
        problem = "not found in JSON"
        if self._names[name] in self._members:
            problem = "expects a value but got null"
        self._source.find(self._steps).fail(f"Required property '{name}' {problem}.")


class _Source:
    """A text and how to read it."""

    __slots__ = ("_root", "exact_case", "lenient", "text")

    def __init__(self, text: str, lenient: bool, exact_case: bool) -> None:
        self.text = text
        self.lenient = lenient
        self.exact_case = exact_case
        self._root: Node | None = None

    def root(self, dotnet_type: str) -> Node:
        if self._root is None:
            self._root = Reader(self.text, lenient=self.lenient).read()
        if self._root is None:
            reason = f"No JSON content found and type '{dotnet_type}' is not nullable."
            raise JsonNetError.at(self.text, len(self.text), (), reason, started=False)
        return self._root

    def find(self, steps: Path) -> Node:
        """The value at a path that exists."""
        node = self.root("")
        for step in steps:
            node = node.item(step, exact_case=self.exact_case)
        return node

    def object_of(self, members: dict[str, Any], steps: Path) -> JsonObject:
        names = _names(tuple(members), self.exact_case)
        if names.are_unique:
            return JsonObject(self, members, names, steps)
        return self.object_at(self.find(steps), steps)

    def objects_of(self, items: list[dict[str, Any]], steps: Path) -> list[JsonObject]:
        return [self.object_of(item, (*steps, index)) for index, item in enumerate(items)]

    def object_at(self, node: Node | None, steps: Path) -> JsonObject:
        if node is None:
            return JsonObject(self, _NOTHING, _NO_NAMES, steps)
        members = {fold(name, self.exact_case): member for name, member in node.value}
        return JsonObject(self, members, _names(tuple(members), self.exact_case), steps)

    def objects_at(self, items: list[Node], dotnet_type: str, steps: Path) -> list[JsonObject]:
        nodes = [item.as_object(dotnet_type) or item.fail_conversion(dotnet_type) for item in items]
        return [self.object_at(node, (*steps, index)) for index, node in enumerate(nodes)]


class _Names(dict[str, str]):
    """Maps requested names to the names in an object."""

    __slots__ = ("_by_folded", "_exact_case", "are_unique")

    def __init__(self, names: tuple[str, ...], exact_case: bool) -> None:
        self._exact_case = exact_case
        self._by_folded = {fold(name, exact_case): name for name in names}
        self.are_unique = len(self._by_folded) == len(names)

    def __missing__(self, name: str) -> str:
        actual = self._by_folded.get(fold(name, self._exact_case), name)
        self[name] = actual
        return actual


_names = lru_cache(maxsize=1024)(_Names)
_NO_NAMES = _Names((), True)
_NOTHING: Mapping[str, Any] = {}


def parse_object(
    text: str,
    *,
    lenient: bool = True,
    exact_case: bool = False,
    dotnet_type: str = EXPORT_IMPORT_DEVICE,
) -> JsonObject:
    """Parse a text that must contain one object.

    Parameters
    ----------
    lenient
        Accept the extensions of Json.NET.
    exact_case
        Match names of properties and enum values case-sensitively.
    dotnet_type
        The type of the object in error messages.

    Raises
    ------
    JsonNetError
        Also raised by the methods of the object, for a property of another type.
    """
    source = _Source(text, lenient, exact_case)
    value = _parse_plain(text)
    if type(value) is dict:
        return source.object_of(value, ())
    root = source.root(dotnet_type)
    return source.object_at(root.as_object(dotnet_type) or root.fail_conversion(dotnet_type), ())


def parse_array(
    text: str,
    *,
    lenient: bool = True,
    exact_case: bool = False,
    dotnet_type: str = EXPORT_IMPORT_DEVICE,
) -> list[JsonObject]:
    """Parse a text that must contain an array of objects; see ``parse_object``."""
    source = _Source(text, lenient, exact_case)
    value = _parse_plain(text)
    if _are_objects(value):
        return source.objects_of(value, ())
    list_type = f"System.Collections.Generic.IEnumerable`1[{dotnet_type}]"
    root = source.root(list_type)
    items = root.as_list(list_type)
    if root.kind is not Kind.ARRAY:
        root.fail_conversion(list_type)
    return source.objects_at(items, dotnet_type, ())


def _are_objects(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return type(value) is list and all(type(item) is dict for item in value)


def _parse_plain(text: str) -> Any:
    """Parse with orjson; None if Json.NET may read the text differently."""
    try:
        encoded = text.encode()
        value = orjson.loads(encoded)
    except ValueError:
        return None
    shape = encoded.translate(_SHAPE)
    if _LONG_DIGITS in shape and _LONG_INTEGER.search(text):
        return None
    if shape.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        return None
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether objects and arrays nest in more than ``levels`` levels."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in value)
