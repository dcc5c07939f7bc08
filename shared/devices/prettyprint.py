"""JSON objects that go on over several lines, where each line should hold one."""

from __future__ import annotations

import re

__all__ = ["PrettyPrinted"]

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]', re.DOTALL)
_DEPTHS = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
#: How a line ends whose object goes on. One that was cut off ends anywhere.
_GOES_ON = (b"{", b"[", b",")
#: How a line begins that may stand within an object.
_WITHIN = re.compile(rb'["{}\[\],]|-?[0-9]|(?:true|false|null)\b')


class PrettyPrinted:
    """Follows such an object line by line."""

    def __init__(self) -> None:
        #: Brackets that are open, and the last line that was followed.
        self._depth = 0
        self._line = -1

    def begins(self, number: int, text: bytes) -> bool:
        """Whether a line that is not JSON begins an object that goes on behind it."""
        if not (text.startswith(b"{") and text.endswith(_GOES_ON)):
            return False
        depth = sum(_DEPTHS.get(match[0], 0) for match in _TOKEN.finditer(text))
        self._depth, self._line = max(depth, 0), number
        return depth > 0

    def skip(self, number: int) -> None:
        """Go on behind a line that is blank or a comment."""
        if self._depth and number == self._line + 1:
            self._line = number

    def rest(self, number: int, text: bytes) -> bytes:
        """What a line holds behind the object that goes on; all of it if none does."""
        is_next = self._depth > 0 and number == self._line + 1
        if not is_next or not _WITHIN.match(text) or _is_whole(text):
            self._depth = 0
            return text
        self._line = number
        for match in _TOKEN.finditer(text):
            self._depth += _DEPTHS.get(match[0], 0)
            if self._depth == 0:
                return text[match.end() :].lstrip(b" \t\r,")
        return b""


def _is_whole(text: bytes) -> bool:
    """Whether a line looks like a device of its own: the object before it was cut off."""
    if not (text.startswith(b"{") and text.endswith(b"}") and b'"id"' in text):
        return False
    return sum(_DEPTHS.get(match[0], 0) for match in _TOKEN.finditer(text)) == 0
