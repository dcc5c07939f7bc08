"""Lexical elements of a text: whitespace, comments, strings, names, literals and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, NoReturn

from iothub_emulator.json_net.lexis import (
    WHITESPACE,
    JsonNetError,
    Path,
    Token,
    is_letter_or_digit,
    join_surrogates,
    parse_number,
)

_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")
_NEW_LINE = re.compile(r"\r\n|\r|\n")
_LINE = re.compile(r"[^\r\n]*")
_BLANKS = re.compile(f"[\0{WHITESPACE}]*")
_NUMBER = re.compile(r"[-+.0-9a-fA-FxX]*")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"} | {c: c for c in "\\\"'/"}


#: What the reader expects.
State = Literal["Start", "Property", "ContainerStart", "Container", "PostValue", "Finished"]


class Scanner:
    """Reads from a text; positions count UTF-16 code units, so the text consists of these."""

    def __init__(self, text: str) -> None:
        self.text = _BEYOND_16_BITS.sub(_surrogates, text)
        #: Index of the next character.
        self.index = 0
        #: The last token and its value.
        self.token: Token = "None"
        self.value: Any = None
        #: Name of the current property, or index of the current item, of each open container.
        self.steps: Path = []
        #: "Object", "Array" or "Constructor" for each of them.
        self._kinds: list[str] = []
        self._state: State = "Start"

    def fail(self, reason: str, character: str | None = None, *, uncounted: int = 0) -> NoReturn:
        """Raise an error at the current position.

        Json.NET has not looked for line ends in the last ``uncounted`` characters.
        """
        if character is not None:
            reason = f"{reason}: {character or chr(0)}."
        read = self.text[: self.index - uncounted]
        lines = _NEW_LINE.split(read)
        position = len(lines[-1]) + uncounted
        # At the end of the text, Json.NET counts the two characters of a line end separately.
        number = len(lines) + (read == self.text and read.endswith("\r\n"))
        if self._state == "Start" and position == 0 and self.token != "Comment":
            number = 0
        path = self.steps[:-1] if self._state == "ContainerStart" else self.steps
        raise JsonNetError(reason, path, f", line {number}, position {position}")

    def _finish_value(self) -> None:
        self._count_item()
        self._state = "PostValue" if self.steps else "Finished"

    def _count_item(self) -> None:
        if self.steps and isinstance(last := self.steps[-1], int):
            self.steps[-1] = last + 1

    def _here(self) -> str:
        """The next character; empty at the end of the text."""
        return self.text[self.index : self.index + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.index)
        if match is None:
            return ""
        self.index = match.end()
        return match[0]

    def _skip_blanks(self) -> str:
        """Skip whitespace; return the next character."""
        self._take(_BLANKS)
        return self._here()

    def _scan_comment(self) -> str:
        self.index += 1
        start, opening = self.index + 1, self._here()
        if start >= len(self.text):
            self.fail("Unexpected end while parsing comment.")
        if opening == "/":
            return self._take(_LINE)
        if opening != "*":
            self.fail(f"Error parsing comment. Expected: *, got {opening}.")
        end = self.text.find("*/", start)
        self.index = len(self.text) if end < 0 else end + 2
        if end < 0:
            self.fail("Unexpected end while parsing comment.")
        return self.text[start:end]

    def _scan_number(self, expected: Token | None) -> tuple[Token, Any]:
        number = self._take(_NUMBER)
        following = self._here()
        if following not in ",}])/" and not _BLANKS.fullmatch(following):
            self.fail("Unexpected character encountered while parsing number", following)
        self._finish_value()
        try:
            return parse_number(number, expected)
        except ValueError as error:
            self.fail(str(error))

    def _match_word(self, word: str) -> bool:
        """Read a literal; False if the text differs, or if no separator follows."""
        left = len(self.text) - self.index
        if left < len(word):
            self.index += left
            self.fail("Unexpected end when reading JSON.", uncounted=left)
        for character in word:
            if self.text[self.index] != character:
                return False
            self.index += 1
        following = self._here()
        if following == "/":
            return self.text.startswith(("/*", "//"), self.index)
        if following == ")":
            return self._kinds[-1:] == ["Constructor"]
        return following in "}]," or _BLANKS.fullmatch(following) is not None

    def _scan_constructor(self) -> str:
        """Read ``new``, a name, and the bracket after it."""
        if not self._match_word("new"):
            self.fail("Unexpected content while parsing JSON.")
        self._skip_blanks()
        name = self._scan_while(is_letter_or_digit)
        if not self._here():
            self.fail("Unexpected end while parsing constructor.")
        following = self._skip_blanks()
        if following != "(":
            self.fail("Unexpected character while parsing constructor", following)
        self.index += 1
        return name

    def _scan_name(self) -> str:
        """Read the name of a property, and the colon after it."""
        first = self._here()
        if first in "\"'":
            name = self._scan_string()
        elif not _is_identifier(first):
            self.fail("Invalid property identifier character", first)
        else:
            name = self._scan_while(_is_identifier)
            following = self._here()
            if not following:
                self.fail("Unexpected end while parsing unquoted property name.")
            if following != ":" and not _BLANKS.fullmatch(following):
                self.fail("Invalid JavaScript property identifier character", following)
        following = self._skip_blanks()
        if following != ":":
            reason = "Invalid character after parsing property name. Expected ':' but got"
            self.fail(reason, following)
        self.index += 1
        return name

    def _scan_while(self, belongs: Callable[[str], bool]) -> str:
        start = self.index
        while (character := self._here()) and belongs(character):
            self.index += 1
        return self.text[start : self.index]

    def _scan_string(self) -> str:
        quote = self._here()
        self.index += 1
        parts = []
        while True:
            parts.append(self._take(_PLAIN[quote]))
            if self._here() == quote:
                self.index += 1
                return join_surrogates("".join(parts))
            if self.index + 1 >= len(self.text):
                self.index = len(self.text)
                self.fail(f"Unterminated string. Expected delimiter: {quote}.")
            parts.append(self._scan_escape())

    def _scan_escape(self) -> str:
        """Read an escape sequence; a surrogate can only be joined with one in such a sequence."""
        code = self.text[self.index + 1]
        self.index += 2
        if code in _ESCAPES:
            return _ESCAPES[code]
        if code != "u":
            self.fail("Bad JSON escape sequence", f"\\{code}", uncounted=1)
        units = self._scan_code_unit()
        while "\ud800" <= units[-1] < "\udc00" and self.text.startswith("\\u", self.index):
            self.index += 2
            units += self._scan_code_unit()
        return join_surrogates(units)

    def _scan_code_unit(self) -> str:
        if self.index + 4 >= len(self.text):
            self.fail("Unexpected end while parsing Unicode escape sequence.")
        if digits := self._take(_HEXADECIMAL):
            return chr(int(digits, 16))
        units = self.text[self.index : self.index + 4]
        self.fail("Invalid Unicode escape sequence", f"\\u{units}")


def _is_identifier(character: str) -> bool:
    return character in "_$" or is_letter_or_digit(character)


def _surrogates(character: re.Match[str]) -> str:
    high, low = divmod(ord(character[0]) - 0x10000, 0x400)
    return chr(0xD800 + high) + chr(0xDC00 + low)
