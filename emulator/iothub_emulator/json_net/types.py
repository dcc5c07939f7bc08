"""Simple types of properties, each with its way to be read (JsonSerializerInternalReader.cs)."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NoReturn

from iothub_emulator.json_net.lexis import (
    WHITESPACE,
    JsonNetError,
    Names,
    Path,
    Token,
    read_int32,
    to_signed,
)
from iothub_emulator.json_net.reader import Reader

_EPOCH, _EPOCH_TICKS = datetime(1970, 1, 1), 621355968000000000


class UnsureError(Exception):
    """What orjson has parsed may be something else, or an error, for Json.NET."""


class Session(Reader):
    """Reads a text as a type; the parameters are those of ``read_as``."""

    def __init__(self, text: str, *, exact_case: bool, lenient: bool) -> None:
        super().__init__(text)
        self.exact_case = exact_case
        self.lenient = lenient
        #: Objects and lists with their types, by ``$id``.
        self._named: dict[str, tuple[Any, Type]] = {}
        self._known: set[int] = set()

    def remember(self, id_: str | None, value: object, type_: Type) -> None:
        """Keep an object or list for ``$ref``."""
        if id_ is not None:
            if id_ in self._named or id(value) in self._known:
                self.fail(f"Error reading object reference '{id_}'.")
            self._named[id_] = (value, type_)
            self._known.add(id(value))

    def find(self, id_: str, expected: Type) -> Any:
        value, type_ = self._named.get(id_, (None, expected))
        if type_ is not expected:
            raise JsonNetError("Specified cast is not valid.")
        return value

    def fail_conversion(self, dotnet_type: str) -> NoReturn:
        shown = str(self.value)
        if self.token in ("String", "StartConstructor"):
            shown = f'"{shown}"'
        elif self.token == "Float":
            shown = f"{self.value:.15G}".replace("NAN", "NaN").replace("INF", "Infinity")
        self.fail(f"Error converting value {shown} to type '{dotnet_type}'.")


class Type:
    """A string, boolean or integer, or the base of other types of .NET; all are nullable.

    The reader converts a value to the ``expected`` token, if any. For values of ``python_type``,
    orjson and Json.NET agree.
    """

    #: The value of an absent property.
    absent: Any = None

    def __init__(self, expected: Token | None, python_type: type) -> None:
        self._expected = expected
        self._python_type = python_type

    def read_first(self, session: Session) -> bool:
        """Read the first token of a value (ReadForType); False at the end of the text."""
        while session.read(self._expected):
            if session.token != "Comment":
                return True
        return False

    def read(self, session: Session, existing: Any) -> Any:
        """Read the value whose first token has been read.

        An object or list may exist from an earlier property with the same name.
        """
        return session.value

    def convert(self, value: Any, exact_case: bool) -> Any:
        """Convert a value that orjson has parsed; UnsureError if that is not simple."""
        if type(value) is not self._python_type:
            raise UnsureError
        return value


class Enumeration(Type):
    """An enum by name or number (StringEnumConverter); a number without a name stays an int."""

    def __init__(self, values: type[StrEnum], dotnet_type: str) -> None:
        super().__init__(None, str)
        self._values: list[Any] = list(values)
        self._dotnet_type = f"System.Nullable`1[{dotnet_type}]"
        self._names = Names({value.value: value for value in values})

    def read_first(self, session: Session) -> bool:
        return session.read()

    def read(self, session: Session, existing: Any) -> Any:
        token, value, number = session.token, session.value, None
        if token == "Null" or (token == "String" and not value):
            return None
        if token == "String":
            number = self._parse(value, session)
        elif token != "Integer":
            session.fail(f"Unexpected token {token} when parsing enum.")
        elif session.lenient and to_signed(value, 64) == value:
            number = to_signed(value, 32)
        if number is None:
            session.fail_conversion(self._dotnet_type)
        return self._values[number] if 0 <= number < len(self._values) else number

    def convert(self, value: Any, exact_case: bool) -> Any:
        found = self._names.find(super().convert(value, exact_case), exact_case)
        if found is None:
            raise UnsureError
        return found

    def _parse(self, text: str, session: Session) -> int | None:
        """Parse a number, or combine names that commas separate; None if it is neither."""
        stripped = text.lstrip(WHITESPACE)
        start = len(text) - len(stripped)
        if stripped[:1] in ("+", "-") or stripped[:1].isdecimal():
            # Sic: whitespace is removed, but what may be names starts where it did.
            text = text.strip(WHITESPACE)
            number = read_int32(text)
            if number is not None:
                return number if session.lenient else None
        result = 0
        for name in text[start:].split(",") if start <= len(text) else ():
            found = self._names.find(name.strip(WHITESPACE), session.exact_case)
            if found is None:
                return None
            result |= self._values.index(found)
        return result


class Document(Type):
    """An object without further conversion (JObject, JTokenWriter.cs), as a dict.

    The last of several properties with the same name counts. ``undefined`` becomes None, a date
    (``new Date(0)``) its ISO form, another constructor its text; comments are dropped.
    """

    def read(self, session: Session, existing: Any) -> Any:
        first, name = session.token, session.value
        if first == "Null":
            return None
        depth = session.depth
        document = _read_untyped(session, depth)
        # Like Json.NET, notice the end of the text after a bracket, name or comma only.
        last = session.token
        is_inside = last.startswith("Start") or depth < session.depth - last.startswith("End")
        if first.startswith("Start") and is_inside and last != "None":
            raise JsonNetError("Unexpected end when reading token.", session.steps[depth:-1])
        if isinstance(document, dict):
            return document
        linq = "JArray" if first == "StartArray" else "JValue"
        if first == "StartConstructor" and name != "Date":
            linq = "JConstructor"
        session.fail(
            f"Deserialized JSON type 'Newtonsoft.Json.Linq.{linq}' is not compatible with expected "
            "type 'Newtonsoft.Json.Linq.JObject'."
        )


STRING = Type("String", str)
BOOLEAN = Type("Boolean", bool)
#: The reader checks the range, so no value is simple.
INTEGER = Type("Integer", type(None))
DOCUMENT = Document(None, dict)


def _read_untyped(session: Session, depth: int) -> Any:
    """Read a value to its last token, or to the end of the text.

    Errors of JsonWriter omit the containers around the document, whose number is ``depth``.
    """
    first, name, start = session.token, session.value, session.index
    if first == "StartConstructor" and name == "Date":
        return _read_date(session, session.steps[depth:-2])
    if first == "StartConstructor" and not name:
        raise JsonNetError("Constructor name cannot be empty. (Parameter 'name')")
    if not first.startswith("Start"):
        return session.value
    members: dict[str, Any] = {}
    items = []
    while session.read() and not session.token.startswith("End"):
        if session.token == "PropertyName":
            name = session.value
            members.pop(name, None)
        elif session.token != "Comment":
            item = _read_untyped(session, depth)
            items.append(item)
            members[name] = item
    if first == "StartObject":
        return members
    is_array = first == "StartArray"
    return items if is_array else f"new {name}({session.text[start : session.index]}"


def _read_date(session: Session, path: Path) -> str:
    arguments: list[int] = []
    while (is_open := session.read()) and session.token == "Integer":
        arguments.append(session.value)
    if not is_open:
        reason = "Unexpected end when reading date constructor."
    elif session.token != "EndConstructor":
        reason = "Unexpected token when reading date constructor. Expected Integer, got "
        reason += f"{session.token}."
    elif not arguments:
        reason = "Date constructor has no arguments."
    elif len(arguments) > 7:
        reason = "Unexpected number of arguments when reading date constructor."
    else:
        return _format_date(*arguments)
    raise JsonNetError(reason, path)


def _format_date(first: int, month: int | None = None, day: int = 1, *time: int) -> str:
    """Format a time of milliseconds, or of year to millisecond as in JavaScript."""
    try:
        if month is None:
            ticks = to_signed(first * 10_000 + _EPOCH_TICKS, 64) - _EPOCH_TICKS
            date = _EPOCH + timedelta(microseconds=ticks // 10)
        else:
            hour, minute, second, millisecond = (*time, 0, 0, 0, 0)[:4]
            date = datetime(first, month + 1, day or 1, hour, minute, second, millisecond * 1000)
    except (ValueError, OverflowError):
        message = "Year, Month, and Day parameters describe an un-representable DateTime."
        raise JsonNetError(message) from None
    shown = date.isoformat()
    return (shown.rstrip("0") if "." in shown else shown) + ("Z" if month is None else "")
