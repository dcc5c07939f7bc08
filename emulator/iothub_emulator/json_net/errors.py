"""Errors with path and position, as in messages of Json.NET."""

from __future__ import annotations

import re

#: Names and indices from the root to a value.
Path = tuple[str | int, ...]

_NEW_LINE = re.compile(r"\r\n|\r|\n")
#: Names with one of these are written in brackets (SpecialCharacters of JsonPosition.cs).
_SPECIAL = re.compile("[. '/\"\\[\\]()\t\n\r\f\b\\\\\x85\u2028\u2029]")
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
_ESCAPES |= {code: f"\\u{code:04x}" for code in range(0x20)}
_ESCAPES |= {
    ord(character): f"\\{escape}"
    for character, escape in zip("\t\n\r\f\b\\'", "tnrfb\\'", strict=True)
}
_FIRST_BEYOND_16_BITS = "\U00010000"


class JsonNetError(Exception):
    """The text cannot be converted into an object of the expected type."""

    @classmethod
    def at(
        cls, text: str, index: int, path: Path, reason: str, *, started: bool = True
    ) -> JsonNetError:
        """Build an error that was detected after reading the characters before an index.

        Parameters
        ----------
        reason
            One sentence, or several that end with a line break.
        started
            Whether a token has been read; before, the line may be 0.
        """
        line, position = _line_and_position(text, index)
        if not started and position == 0:
            line = 0
        separator = "" if reason.endswith("\n") else " "
        return cls(
            f"{reason}{separator}Path '{show_path(path)}', line {line}, position {position}."
        )


def show_path(path: Path) -> str:
    """Format a path, for example ``tags['odd name'].sizes[2]``."""
    shown = ""
    for step in path:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif _SPECIAL.search(step):
            shown += f"['{step.translate(_ESCAPES)}']"
        else:
            shown += f".{step}" if shown else step
    return shown


def show_character(character: str) -> str:
    """A character in a message; .NET writes a surrogate, which UTF-8 replaces."""
    return "\ufffd" if character >= _FIRST_BEYOND_16_BITS else character


def _line_and_position(text: str, index: int) -> tuple[int, int]:
    """Line, from 1, and the number of UTF-16 code units that were read in it."""
    lines = _NEW_LINE.split(text[:index])
    position = sum(2 if character >= _FIRST_BEYOND_16_BITS else 1 for character in lines[-1])
    return len(lines), position
