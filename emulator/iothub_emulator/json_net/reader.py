"""Parses JSON into a tree of Nodes as Newtonsoft's JsonTextReader does.

Extensions of JSON: comments, single quotes, unquoted names, trailing commas, empty items,
``undefined``, NaN, infinities, octal and hexadecimal numbers, control characters in strings.
Constructors (``new Date(0)``) are refused.

It has the states of the original, because the path in an error message depends on them: the path
of a value that cannot be read is that of the value before it.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NoReturn

from iothub_emulator.json_net.errors import Path, show_character
from iothub_emulator.json_net.node import Kind, Node
from iothub_emulator.json_net.scanner import Scanner, is_standard, parse_number

#: Levels of nesting (MaxDepth, since version 13).
MAX_DEPTH = 64

#: Kind, value, and name in error messages.
_WORDS: dict[str, tuple[Kind, Any, str]] = {
    "true": (Kind.BOOLEAN, True, "boolean"),
    "false": (Kind.BOOLEAN, False, "boolean"),
    "null": (Kind.NULL, None, "null"),
    "undefined": (Kind.UNDEFINED, None, "undefined"),
    "NaN": (Kind.FLOAT, math.nan, "NaN"),
    "Infinity": (Kind.FLOAT, math.inf, "Infinity"),
    "-Infinity": (Kind.FLOAT, -math.inf, "-Infinity"),
}
_STANDARD_WORDS = frozenset({"true", "false", "null"})
_WORD_BY_START = {word[0]: word for word in _WORDS if word[0] != "-"}


class _State(Enum):
    START = auto()
    PROPERTY = auto()
    OBJECT_START = auto()
    OBJECT = auto()
    ARRAY_START = auto()
    ARRAY = auto()
    POST_VALUE = auto()
    FINISHED = auto()


@dataclass(slots=True)
class _Frame:
    """An open object or array."""

    node: Node
    #: Name of the current or last property; index of the last item.
    step: str | int


class Reader(Scanner):
    """Parses one text."""

    def __init__(self, text: str, *, lenient: bool) -> None:
        super().__init__(text, lenient=lenient)
        self._state = _State.START
        self._frames: list[_Frame] = []
        self._root: Node | None = None

    def read(self) -> Node | None:
        """Return the value; None if the text has only whitespace and comments."""
        while character := self._skip_blanks():
            if character == "/":
                self._skip_comment()
            elif self._state in (_State.OBJECT, _State.OBJECT_START):
                self._read_name(character)
            elif self._state is _State.POST_VALUE:
                self._read_after_value(character)
            elif self._state is _State.FINISHED:
                self._refuse_additional_text(character)
            else:
                self._read_value(character)
            self._started = True
        if self._state not in (_State.START, _State.FINISHED):
            self._refuse_end()
        return self._root

    def _read_name(self, character: str) -> None:
        if character == "}":
            if self._state is _State.OBJECT:
                self._need_lenience("Invalid property identifier character: }.")
            self._close(character)
            return
        if character != '"':
            shown = show_character(character)
            self._need_lenience(f"Invalid property identifier character: {shown}.")
        name = self._scan_string() if character in "\"'" else self._scan_identifier()
        following = self._skip_blanks()
        if following != ":":
            shown = show_character(following) or "\0"
            self._fail(
                f"Invalid character after parsing property name. Expected ':' but got: {shown}."
            )
        self._index += 1
        self._frames[-1].step = name
        self._state = _State.PROPERTY

    def _read_value(self, character: str) -> None:
        match character:
            case '"' | "'":
                if character == "'":
                    self._need_lenience_for_value(character)
                start = self._index
                self._complete(Kind.STRING, self._scan_string(), start)
            case "{":
                self._open(Kind.OBJECT)
            case "[":
                self._open(Kind.ARRAY)
            case "]" | ")":
                if self._state is _State.ARRAY:
                    self._need_lenience_for_value(character)
                self._close(character)
            case ",":
                self._need_lenience_for_value(character)
                self._complete(Kind.UNDEFINED, None, self._index)
            case _:
                self._read_scalar(character)

    def _read_scalar(self, character: str) -> None:
        following = self._text[self._index + 1 : self._index + 2]
        if character == "n" and following != "u":
            self._refuse_n(following)
        elif character == "-" and following == "I":
            self._read_word("-Infinity")
        elif character in _WORD_BY_START:
            self._read_word(_WORD_BY_START[character])
        elif character in "-." or unicodedata.category(character).startswith("N"):
            self._read_number()
        else:
            self._refuse_value(character)

    def _read_word(self, word: str) -> None:
        if word not in _STANDARD_WORDS:
            self._need_lenience_for_value(word[0])
        kind, value, description = _WORDS[word]
        start = self._index
        self._scan_word(word, description)
        self._complete(kind, value, start)

    def _read_number(self) -> None:
        start = self._index
        number = self._scan_number()
        self._leave_value()
        if not is_standard(number):
            self._need_lenience(f"Input string '{number}' is not a valid number.")
        try:
            value = parse_number(number)
        except ValueError as error:
            self._fail(str(error))
        self._add(Kind.INTEGER if isinstance(value, int) else Kind.FLOAT, value, start)

    def _read_after_value(self, character: str) -> None:
        if character == ",":
            self._index += 1
            self._state = _State.OBJECT if self._in_object else _State.ARRAY
        elif character in "}])":
            self._close(character)
        else:
            shown = show_character(character)
            self._fail(f"After parsing a value an unexpected character was encountered: {shown}.")

    def _open(self, kind: Kind) -> None:
        start = self._index
        self._index += 1
        self._count_item()
        node = self._add(kind, [], start)
        self._frames.append(_Frame(node, "" if kind is Kind.OBJECT else -1))
        self._state = _State.OBJECT_START if self._in_object else _State.ARRAY_START
        if len(self._frames) > MAX_DEPTH:
            self._fail(f"The reader's MaxDepth of {MAX_DEPTH} has been exceeded.")

    def _close(self, bracket: str) -> None:
        self._index += 1
        closed = self._frames.pop().node if self._frames else None
        token, expected = {
            "}": ("EndObject", Kind.OBJECT),
            "]": ("EndArray", Kind.ARRAY),
            ")": ("EndConstructor", None),
        }[bracket]
        if closed is None or closed.kind is not expected:
            found = "None" if closed is None else closed.kind.removeprefix("Start")
            self._fail(f"JsonToken {token} is not valid for closing JsonType {found}.")
        closed.end = self._index
        self._state = _State.POST_VALUE if self._frames else _State.FINISHED

    def _complete(self, kind: Kind, value: Any, start: int) -> None:
        self._leave_value()
        self._add(kind, value, start)

    def _leave_value(self) -> None:
        self._count_item()
        self._state = _State.POST_VALUE if self._frames else _State.FINISHED

    def _count_item(self) -> None:
        if self._frames and isinstance(self._frames[-1].step, int):
            self._frames[-1].step += 1

    def _add(self, kind: Kind, value: Any, start: int) -> Node:
        node = Node(kind, value, self._text, self._steps(), start, self._index)
        if not self._frames:
            self._root = node
        else:
            frame = self._frames[-1]
            frame.node.value.append((frame.step, node) if self._in_object else node)
        return node

    @property
    def _in_object(self) -> bool:
        return self._frames[-1].node.kind is Kind.OBJECT

    def _steps(self) -> Path:
        return tuple(frame.step for frame in self._frames)

    def _path(self) -> Path:
        started = self._state in (_State.ARRAY_START, _State.OBJECT_START)
        return self._steps()[:-1] if started else self._steps()

    def _refuse_n(self, following: str) -> NoReturn:
        if following:
            self._refuse_value("n")
        self._index += 1
        self._fail("Unexpected end when reading JSON.")

    def _refuse_additional_text(self, character: str) -> NoReturn:
        shown = show_character(character)
        self._fail(f"Additional text encountered after finished reading JSON content: {shown}.")

    def _refuse_end(self) -> NoReturn:
        """Json.NET's message depends on what it expected next."""
        if self._state is _State.OBJECT_START:
            self._fail("Unexpected end when reading JSON.")
        if self._state is _State.PROPERTY:
            self._fail(f"Unexpected end when setting {self._frames[-1].step}'s value.")
        container = "object" if self._in_object else "array"
        self._fail(f"Unexpected end when deserializing {container}.")
