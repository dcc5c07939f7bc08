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
        #: Brackets that are open, and how many lines were good before.
        self._depth = 0
        self._good = 0

    def begins(self, good: int, text: bytes) -> bool:
        """Whether a line that is not JSON begins an object that goes on behind it."""
        if not (text.startswith(b"{") and text.endswith(_GOES_ON)):
            return False
        depth = sum(_DEPTHS.get(match[0], 0) for match in _TOKEN.finditer(text))
        self._depth, self._good = max(depth, 0), good
        return depth > 0

    def rest(self, good: int, text: bytes) -> bytes:
        """What a line holds behind the object that goes on; all of it if none does.

        Args:
            good: how many lines were good. One behind the object's beginning shows that it was cut
                off, for good lines are not followed.
        """
        if not self._depth or good != self._good or not _WITHIN.match(text) or _is_whole(text):
            self._depth = 0
            return text
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
