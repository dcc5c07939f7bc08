"""The tokens of a text, as Newtonsoft's JsonTextReader reads them.

Extensions of JSON: comments, single quotes, unquoted names, trailing commas, empty items,
``undefined``, NaN, infinities, octal and hexadecimal numbers, constructors (``new Date(0)``),
control characters. Paths in messages depend on the states, so these are those of the original.
"""

from __future__ import annotations

from typing import Any
from unicodedata import category

from iothub_emulator.json_net.lexis import WHITESPACE, Token, read_int32
from iothub_emulator.json_net.scanner import Scanner

#: Levels of nesting (MaxDepth, since version 13).
MAX_DEPTH = 64

_UNEXPECTED = "Unexpected character encountered while parsing value"
_ENDS: dict[str, Token] = {"}": "EndObject", "]": "EndArray", ")": "EndConstructor"}
#: Literals: the token, its value, and the name in messages.
_WORDS: dict[str, tuple[Token, Any, str]] = {
    "true": ("Boolean", True, "boolean"),
    "false": ("Boolean", False, "boolean"),
    "null": ("Null", None, "null"),
    "undefined": ("Undefined", None, "undefined"),
    "NaN": ("Float", float("-nan"), "NaN"),  # As in .NET, with a sign.
    "Infinity": ("Float", float("inf"), "Infinity"),
    "-Infinity": ("Float", float("-inf"), "-Infinity"),
}
_BOOLEANS = {"true": True, "false": False}
_WORD_BY_START = {word[0]: word for word in _WORDS if word[0] != "-"}
#: First letters of literals where Json.NET expects a type.
_WORD_STARTS = {None: "tfuNI", "String": "tfNI", "Boolean": "tf", "Integer": "NI"}


class Reader(Scanner):
    """Reads a text token by token; JsonNetError where it is malformed."""

    @property
    def depth(self) -> int:
        """The number of open containers; one that has just started does not count."""
        return len(self.steps) - (self.token.startswith("Start") and bool(self.steps))

    def read(self, expected: Token | None = None) -> bool:
        """Read a token; False at the end of the text.

        Where a String, Boolean or Integer (of 32 bits) is expected, comments are skipped and values
        converted. The token may still be Null, or the bracket after the last item.
        """
        if expected is not None and self._state == "ContainerStart" and self._kinds[-1] == "Object":
            self.fail("Unexpected state: ObjectStart.")
        while self._state == "PostValue":
            if self._leave_value(skip_comments=expected is not None):
                return True
        character = self._skip_blanks()
        while character == "/" and expected is not None:
            self._scan_comment()
            character = self._skip_blanks()
        # After a carriage return, Json.NET looks for a line feed, and may so notice the end early.
        is_last = self.index == len(self.text) - 1 and self.text[-2:-1] == "\r"
        if not character or (is_last and self._state == "Finished"):
            if expected is not None or self._state == "Finished":
                self._set("None")
            return False
        if character == "/":
            self._set("Comment", self._scan_comment())
        elif self._state == "Finished":
            reason = "Additional text encountered after finished reading JSON content"
            self.fail(reason, character)
        elif expected is not None or self._state == "Property" or self._kinds[-1:] != ["Object"]:
            self._read_value(character, expected)
        elif character == "}":
            self._close(character)
        else:
            name = self._scan_name()
            self._set("PropertyName", name)
            self.steps[-1] = name
            self._state = "Property"
        return True

    def read_and_assert(self) -> None:
        if not self.read():
            self.fail("Unexpected end when reading JSON.")

    def skip(self) -> None:
        """Read a token, to the end of its container if it starts one."""
        if self.read() and self.token.startswith("Start"):
            depth = self.depth
            while self.read() and depth < self.depth:
                pass

    def _read_value(self, character: str, expected: Token | None) -> None:
        following = self.text[self.index + 1 : self.index + 2]
        is_any = expected is None
        match character:
            case '"' | "'":
                text = self._scan_string()
                self._finish_value()
                self._set(*self._convert(text, expected))
            case "{" | "[" if is_any:
                self.index += 1
                self._open("StartObject" if character == "{" else "StartArray")
            case "]" | ")" if is_any or (character == "]" and self._kinds[-1] == "Array"):
                self._close(character)
            case "," if is_any:  # It is read again, as the end of this item.
                self._finish("Undefined", None)
            case "n" if not following:
                self.index += 1
                self.fail("Unexpected end when reading JSON.")
            case "n" if following == "e" and is_any:
                self._open("StartConstructor", self._scan_constructor())
            case "n" if following == "u":
                self._read_word("null", expected)
            case "n" if not is_any:
                self.index += 2
                self.fail(_UNEXPECTED, following, uncounted=1)
            case "-" if following == "I" and expected != "Boolean":
                self._read_word("-Infinity", expected)
            case _ if character in _WORD_STARTS[expected]:
                self._read_word(_WORD_BY_START[character], expected)
            case _ if character in "-.0123456789" or (is_any and category(character)[0] == "N"):
                self._set(*self._scan_number(expected))
            case _:
                if character == ",":
                    self._finish("Undefined", None)
                self.index += not is_any
                self.fail(_UNEXPECTED, character)

    def _convert(self, text: str, expected: Token | None) -> tuple[Token, Any]:
        """Convert a string to the expected type."""
        if expected is None or expected == "String":
            return "String", text
        if not text:
            return "Null", None
        value: int | None = read_int32(text)
        if expected == "Boolean":
            value = _BOOLEANS.get(text.strip(f"\0{WHITESPACE}").lower())
        if value is None:
            self.fail(f"Could not convert string to {expected.lower()}", text)
        return expected, value

    def _read_word(self, word: str, expected: Token | None) -> None:
        token, value, name = _WORDS[word]
        if not self._match_word(word):
            if expected is not None and token == "Boolean":
                self.fail(_UNEXPECTED, self._here())
            self.fail(f"Error parsing {name} value.")
        if expected == "Integer" and token == "Float":
            self.fail(f"Cannot read {word} value.")
        if expected == "String" and token != "Null":
            token, value = "String", word
        self._finish(token, value)

    def _leave_value(self, *, skip_comments: bool) -> bool:
        """Read what follows a value; whether it is a token."""
        while character := self._skip_blanks():
            if character in _ENDS:
                self._close(character)
                return True
            if character == ",":
                self.index += 1
                self._state = "Container"
                return False
            if character != "/":
                reason = "After parsing a value an unexpected character was encountered"
                self.fail(reason, character)
            comment = self._scan_comment()
            if not skip_comments:
                self._set("Comment", comment)
                return True
        self._state = "Finished"
        return False

    def _open(self, token: Token, value: Any = None) -> None:
        self._count_item()
        self._set(token, value)
        self._state = "ContainerStart"
        self._kinds.append(token.removeprefix("Start"))
        self.steps.append("" if token == "StartObject" else -1)
        if len(self.steps) > MAX_DEPTH:
            self.fail(f"The reader's MaxDepth of {MAX_DEPTH} has been exceeded.")

    def _close(self, bracket: str) -> None:
        self.index += 1
        self._set(_ENDS[bracket])
        kind = self._kinds.pop() if self._kinds else "None"
        del self.steps[-1:]
        if self.token != f"End{kind}":
            self.fail(f"JsonToken {self.token} is not valid for closing JsonType {kind}.")
        self._state = "PostValue" if self.steps else "Finished"

    def _finish(self, token: Token, value: Any) -> None:
        self._finish_value()
        self._set(token, value)

    def _set(self, token: Token, value: Any = None) -> None:
        self.token, self.value = token, value
