"""Sections of a twin, as regular expressions for those that are good like the ones before.

A section learns the names that good lines had at each of its places, and which kinds of values
under them. Its pattern matches any choice of these names in any order, none of them twice, with
any values of these kinds that no rule forbids.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["BOOLEAN", "ESCAPED_TEXT", "NUMBER", "Groups", "Section", "Style", "is_learnable"]

_PLAIN = rb'[^"\\\x00-\x1f]{0,1000}+'
_ESCAPE = rb"\\(?:[\\/bfnrt\x22]|u(?![dD])[0-9A-Fa-f]{4})"
#: At most 1,000 bytes, none of them escaped.
TEXT = rb'"%s"' % _PLAIN
#: At most 4,018 bytes, with three escapes at most and none of half a surrogate pair.
ESCAPED_TEXT = rb'"%s(?:%s%s){0,3}+"' % (_PLAIN, _ESCAPE, _PLAIN)
#: At most 15 digits before the point: within the twin's range of integers, and finite.
NUMBER = rb"-?(?:0|[1-9][0-9]{0,14}+)(?:\.[0-9]{1,15}+)?+"
BOOLEAN = rb"(?:true|false)"

_SCALARS = {str: TEXT, int: NUMBER, float: NUMBER, bool: BOOLEAN, type(None): b"null"}
#: Objects within each other: more than tags and desired properties may nest.
MAX_DEPTH = 12


@dataclass(frozen=True)
class Style:
    """How a line writes what JSON lets it write in several ways."""

    #: Characters beyond ASCII are escaped in names.
    is_ascii: bool
    #: There are escapes in the line, be it in texts or names.
    has_escapes: bool

    @classmethod
    def of(cls, line: bytes) -> Style:
        return cls(line.isascii(), b"\\" in line)

    def name(self, name: str) -> bytes:
        return json.dumps(name, ensure_ascii=self.is_ascii).encode()

    def scalar(self, value: object) -> bytes:
        if self.has_escapes and isinstance(value, str):
            return ESCAPED_TEXT
        return _SCALARS[type(value)]


class Groups:
    """Numbers the groups of a pattern in the order in which they are written."""

    def __init__(self) -> None:
        self.count = 0

    def next(self) -> int:
        self.count += 1
        return self.count


def is_learnable(value: object, levels: int = MAX_DEPTH) -> bool:
    """Whether a pattern can tell all there is to tell of a value: arrays may nest at will."""
    if isinstance(value, dict):
        return levels > 0 and all(is_learnable(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return all(type(item) in _SCALARS for item in value)
    return True


class _Values:
    """The kinds of values that one name had, and how lines wrote the name."""

    def __init__(self) -> None:
        self.names: set[bytes] = set()
        self.scalars: set[bytes] = set()
        #: Kinds of an array's items; None if there was no array.
        self.items: set[bytes] | None = None
        self.section: Section | None = None

    def learn(self, name: str, value: Any, style: Style) -> int:
        """Returns how much was new."""
        before = len(self.names) + len(self.scalars)
        self.names.add(style.name(name))
        news = 0
        if isinstance(value, dict):
            news = self.section is None
            self.section = self.section or Section()
            news += self.section.learn(value, style)
        elif isinstance(value, list):
            known = self.items
            self.items = {*(known or ()), *map(style.scalar, value)}
            news = self.items != known
        else:
            self.scalars.add(style.scalar(value))
        return news + len(self.names) + len(self.scalars) - before

    def name(self) -> bytes:
        """The name in all ways that it was written, with the quote after it."""
        return _any_of([re.escape(name[1:]) for name in sorted(self.names)])

    def pattern(self, groups: Groups) -> bytes:
        kinds = _exclusive(self.scalars)
        if self.items is not None:
            item = _any_of(_exclusive(self.items))
            kinds.append(rb"\[ ?(?:%s(?:, ?%s)*+)? ?\]" % (item, item) if item else rb"\[ ?\]")
        if self.section is not None:
            kinds.append(self.section.pattern(groups))
        return _any_of(kinds)


class Section:
    """One object, with what was seen in it."""

    def __init__(self) -> None:
        self._members: dict[str, _Values] = {}
        #: The names in their order, as long as all were alike in that.
        self._only_order: list[str] | None = None
        self._is_varied = False

    def learn(self, members: dict[str, Any], style: Style) -> int:
        """Add what a good line has here; returns how much of it was new."""
        names = [*members]
        news = 0
        if self._only_order is None:
            self._only_order = names
            news += 1
        elif not self._is_varied and names != self._only_order:
            self._is_varied = True
            news += 1
        for name, value in members.items():
            news += self._members.setdefault(name, _Values()).learn(name, value, style)
        return news

    def pattern(self, groups: Groups) -> bytes:
        if not self._is_varied:
            members = [
                b'"' + values.name() + b": ?" + values.pattern(groups)
                for values in self._members.values()
            ]
            return rb"\{ ?%s ?\}" % b", ?".join(members)
        members = []
        for values in self._members.values():
            # The group behind a name is set once the name was there, and then forbids it.
            guard = rb": ?(?(%d)(?!)|)()" % groups.next()
            members.append(values.name() + guard + values.pattern(groups))
        return rb'\{ ?(?:"%s(?:, ?(?=")|(?= ?\})))* ?\}' % _any_of(members)


def _exclusive(kinds: set[bytes]) -> list[bytes]:
    """No two kinds may match the same: going through all combinations would take for ever."""
    return sorted(kinds - {TEXT} if ESCAPED_TEXT in kinds else kinds)


def _any_of(patterns: list[bytes]) -> bytes:
    return (
        patterns[0] if len(patterns) == 1 else b"(?:%s)" % b"|".join(patterns) if patterns else b""
    )
