"""Lexical elements of JSON: whitespace, comments, strings, names, literals and numbers."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from typing import NoReturn

from iothub_emulator.json_net.errors import JsonNetError, Path, show_character

_BLANKS = re.compile("[\0\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*")
_STANDARD_BLANKS = re.compile("[\t\n\r ]*")
#: Two slashes at the end of the text are not a comment.
_COMMENT = re.compile(r"/(?:/(?!\Z)[^\r\n]*|\*.*?\*/)", re.DOTALL)
_NUMBER = re.compile(r"[-+.0-9a-fA-FxX]*")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_STANDARD_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "\\": "\\", '"': '"', "/": "/"}
_REPLACEMENT = "\ufffd"
#: Longest integer, in characters (MaximumJavascriptIntegerCharacterLength).
MAX_INTEGER_LENGTH = 380
_RFC_8259_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DECIMAL_INTEGER = re.compile(r"-?[0-9]+")


class Scanner(ABC):
    """Reads tokens from a text; errors report the index at which Json.NET detects them.

    Parameters
    ----------
    lenient
        Accept what Json.NET accepts, or only RFC 8259.
    """

    def __init__(self, text: str, *, lenient: bool) -> None:
        self._text = text
        self._lenient = lenient
        self._blanks = _BLANKS if lenient else _STANDARD_BLANKS
        self._index = 0
        self._started = False

    @abstractmethod
    def _path(self) -> Path:
        """The path for error messages."""

    def _here(self) -> str:
        """The next character; empty at the end of the text."""
        return self._text[self._index : self._index + 1]

    def _skip_blanks(self) -> str:
        """Skip whitespace; return the next character."""
        blanks = self._blanks.match(self._text, self._index)
        assert blanks is not None
        self._index = blanks.end()
        return self._here()

    def _skip_comment(self) -> None:
        self._need_lenience_for_value("/")
        comment = _COMMENT.match(self._text, self._index)
        if comment is None:
            self._refuse_comment()
        self._index = comment.end()

    def _refuse_comment(self) -> NoReturn:
        self._index += 1
        opening = self._here()
        if self._index + 1 < len(self._text):
            if opening != "*":
                self._fail(f"Error parsing comment. Expected: *, got {show_character(opening)}.")
            self._index = len(self._text)
        self._fail("Unexpected end while parsing comment.")

    def _scan_number(self) -> str:
        number = _NUMBER.match(self._text, self._index)
        assert number is not None
        self._index = number.end()
        following = self._here()
        if following not in ",}])/" and not _BLANKS.fullmatch(following):
            shown = show_character(following)
            self._fail(f"Unexpected character encountered while parsing number: {shown}.")
        return number[0]

    def _scan_word(self, word: str, description: str) -> None:
        if self._index + len(word) > len(self._text):
            self._index = len(self._text)
            self._fail("Unexpected end when reading JSON.")
        for character in word:
            if self._here() != character:
                self._fail(f"Error parsing {description} value.")
            self._index += 1
        if not self._is_separator(self._here()):
            self._fail(f"Error parsing {description} value.")

    def _is_separator(self, character: str) -> bool:
        """Whether a literal can end before a character; empty is the end of the text."""
        if character == "/":
            return self._text.startswith(("/*", "//"), self._index)
        return character in "}]," or _BLANKS.fullmatch(character) is not None

    def _scan_identifier(self) -> str:
        start = self._index
        character = self._here()
        if not _is_identifier(character):
            self._fail(f"Invalid property identifier character: {show_character(character)}.")
        while _is_identifier(character):
            self._index += 1
            character = self._here()
        if not character:
            self._fail("Unexpected end while parsing unquoted property name.")
        if character != ":" and not _BLANKS.fullmatch(character):
            shown = show_character(character)
            self._fail(f"Invalid JavaScript property identifier character: {shown}.")
        return self._text[start : self._index]

    def _scan_string(self) -> str:
        quote = self._here()
        plain = _PLAIN[quote] if self._lenient else _STANDARD_PLAIN
        self._index += 1
        parts = []
        while True:
            run = plain.match(self._text, self._index)
            assert run is not None
            parts.append(run[0])
            self._index = run.end()
            if self._here() == quote:
                self._index += 1
                return "".join(parts)
            if self._here() != "\\" or self._index + 1 == len(self._text):
                self._index += len(self._here())
                self._fail(f"Unterminated string. Expected delimiter: {quote}.")
            parts.append(self._scan_escape())

    def _scan_escape(self) -> str:
        code = self._text[self._index + 1]
        self._index += 2
        if code == "u":
            return self._scan_unicode_escape()
        if code == "'" and self._lenient:
            return code
        if code not in _ESCAPES:
            self._fail(f"Bad JSON escape sequence: \\{show_character(code)}.")
        return _ESCAPES[code]

    def _scan_unicode_escape(self) -> str:
        """Read a character of one or two escapes; a single surrogate is replaced."""
        replaced = ""
        unit = self._scan_code_unit()
        while 0xD800 <= unit < 0xDC00 and self._text.startswith("\\u", self._index):
            self._index += 2
            following = self._scan_code_unit()
            if 0xDC00 <= following < 0xE000:
                return replaced + chr(0x10000 + (unit - 0xD800 << 10) + following - 0xDC00)
            replaced += _REPLACEMENT
            unit = following
        return replaced + (_REPLACEMENT if 0xD800 <= unit < 0xE000 else chr(unit))

    def _scan_code_unit(self) -> int:
        digits = self._text[self._index : self._index + 4]
        if self._index + 4 >= len(self._text):
            self._fail("Unexpected end while parsing Unicode escape sequence.")
        if not _HEXADECIMAL.fullmatch(digits):
            self._fail(f"Invalid Unicode escape sequence: \\u{digits}.")
        self._index += 4
        return int(digits, 16)

    def _need_lenience_for_value(self, character: str) -> None:
        self._need_lenience(f"Unexpected character encountered while parsing value: {character}.")

    def _need_lenience(self, reason: str) -> None:
        """Refuse extensions of JSON in strict mode; these messages are not those of Json.NET."""
        if not self._lenient:
            self._fail(reason)

    def _refuse_value(self, character: str) -> NoReturn:
        shown = show_character(character)
        self._fail(f"Unexpected character encountered while parsing value: {shown}.")

    def _fail(self, reason: str) -> NoReturn:
        raise JsonNetError.at(self._text, self._index, self._path(), reason, started=self._started)


def _is_identifier(character: str) -> bool:
    """Whether .NET accepts a character in an identifier; surrogates are not accepted."""
    if character in ("_", "$"):
        return True
    if not character or character > "\uffff":
        return False
    category = unicodedata.category(character)
    return category.startswith("L") or category == "Nd"


def is_standard(text: str) -> bool:
    """Whether a number is valid in RFC 8259."""
    return _RFC_8259_NUMBER.fullmatch(text) is not None


def parse_number(text: str) -> int | float:
    """Parse a number as Json.NET does (ParseReadNumber).

    A leading zero makes it octal, 0x hexadecimal; the point may be the first or last character.

    Raises
    ------
    ValueError
        The message is the reason in the words of Json.NET.
    """
    if text.startswith("0") and text[1:2] not in ("", ".", "e", "E"):
        return _parse_radix(text)
    if _DECIMAL_INTEGER.fullmatch(text):
        if len(text) > MAX_INTEGER_LENGTH:
            raise ValueError(f"JSON integer {text} is too large to parse.")
        return int(text)
    try:
        return float(text)
    except ValueError:
        raise _invalid_number(text) from None


def _parse_radix(text: str) -> int:
    """Parse an integer of 64 bits, the first of which is the sign."""
    try:
        number = int(text, 16 if text[1] in "xX" else 8)
    except ValueError:
        raise _invalid_number(text) from None
    if number >= 2**64:
        raise _invalid_number(text)
    return number - 2**64 if number >= 2**63 else number


def _invalid_number(text: str) -> ValueError:
    return ValueError(f"Input string '{text}' is not a valid number.")
