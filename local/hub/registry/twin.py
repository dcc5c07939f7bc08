"""Twin documents: what may stand in tags and desired properties, and how they change.

Rules of the learn page on device twins; the refusals of nulls in arrays and of ``#`` in names
were recorded from a live hub.
"""

from __future__ import annotations

import math
import re
import struct
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from local.hub.registry.identity import invalid

MAX_TAGS, MAX_DESIRED = 8 * 1024, 32 * 1024
MAX_NAME_BYTES, MAX_STRING_BYTES = 1024, 4096
MAX_DEPTH = 10
MIN_INTEGER, MAX_INTEGER = -(2**52), 2**52 - 1

#: Members that the hub adds to a section itself: exports may carry them, they are not stored.
_SERVICE_OWNED = frozenset({"$metadata", "$version"})
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FORBIDDEN_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f.$# ]")


@dataclass(frozen=True)
class TwinChange:
    """What a line says about the twin; None means nothing."""

    tags: Mapping[str, Any] | None = None
    desired: Mapping[str, Any] | None = None

    def check(self) -> None:
        for section in (self.tags, self.desired):
            if section is not None:
                _check_object(_own(section), depth=1)


@dataclass(frozen=True)
class Twin:
    """A stored twin; reported properties have no way in here, so there are none."""

    tags: Mapping[str, Any] = field(default_factory=dict)
    desired: Mapping[str, Any] = field(default_factory=dict)
    desired_version: int = 1
    version: int = 1

    @property
    def etag(self) -> str:
        return b64encode(struct.pack(">Q", self.version)).decode()

    def replaced(self, change: TwinChange) -> Twin:
        """Sections that are given take the place of the old ones, the others stay."""
        return self._changed(
            self.tags if change.tags is None else _merged({}, _own(change.tags)),
            self.desired if change.desired is None else _merged({}, _own(change.desired)),
        )

    def merged(self, change: TwinChange) -> Twin:
        """Sections that are given are patches: null removes a member."""
        return self._changed(
            _merged(self.tags, _own(change.tags or {})),
            _merged(self.desired, _own(change.desired or {})),
        )

    def _changed(self, tags: Mapping[str, Any], desired: Mapping[str, Any]) -> Twin:
        if _size(tags) > MAX_TAGS:
            raise invalid(f"The tags exceed {MAX_TAGS} bytes.")
        if _size(desired) > MAX_DESIRED:
            raise invalid(f"The desired properties exceed {MAX_DESIRED} bytes.")
        changed = replace(self, tags=tags, desired=desired)
        if changed == self:
            return self
        bump = int(desired != self.desired)
        return replace(
            changed, version=self.version + 1, desired_version=self.desired_version + bump
        )


def _own(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in _SERVICE_OWNED}


def _merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            old = merged.get(name)
            merged[name] = _merged(old if isinstance(old, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def _check_object(members: Mapping[str, Any], depth: int) -> None:
    if depth > MAX_DEPTH + 1:
        raise invalid(f"A twin nests at most {MAX_DEPTH} objects.")
    for name, value in members.items():
        if len(_utf8(name)) > MAX_NAME_BYTES or _FORBIDDEN_IN_NAMES.search(name):
            raise invalid("A property name of the twin is invalid.")
        if value is not None:
            _check_value(value, depth)


def _check_value(value: Any, depth: int) -> None:
    if isinstance(value, dict):
        _check_object(value, depth + 1)
    elif isinstance(value, list):
        if depth > MAX_DEPTH + 1:
            raise invalid(f"A twin nests at most {MAX_DEPTH} arrays.")
        for item in value:
            _check_value(item, depth + isinstance(item, list))
    elif isinstance(value, str):
        if len(_utf8(value)) > MAX_STRING_BYTES:
            raise invalid(f"A string of the twin exceeds {MAX_STRING_BYTES} bytes.")
    elif value is None:
        raise invalid("An array of the twin holds null.")
    elif not isinstance(value, bool) and isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise invalid("An integer of the twin is out of range.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise invalid("A number of the twin is not finite.")


def _size(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_size(name) + _size(item) for name, item in value.items())
    if isinstance(value, list):
        return sum(_size(item) for item in value)
    if isinstance(value, str):
        return len(_CONTROLS.sub("", value))
    return 4 if isinstance(value, bool) else 8


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
