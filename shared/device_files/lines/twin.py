"""The rules of twin documents: tags and desired properties.

Source: "Understand and use device twins in IoT Hub". That hubs reject '#' in names and null in
arrays was observed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from shared.device_files.characters import describe_character
from shared.device_files.lines.damage import damage, is_secret, is_suspicious
from shared.device_files.rules import Finding, Rule, add_finding

__all__ = [
    *("DESIRED_BYTES", "MAX_INTEGER", "MIN_INTEGER", "TAGS_BYTES"),
    *("check_twin", "is_good_name"),
]

#: As the hub counts a section: characters of names and strings, 8 per number, 4 per boolean.
TAGS_BYTES = 8 * 1024
DESIRED_BYTES = 32 * 1024
#: UTF-8 bytes of a name and of a string.
NAME_BYTES = 1024
VALUE_BYTES = 4096
#: Objects below a section; the innermost may hold scalars.
MAX_DEPTH = 10
#: Characters of a string that cannot be too long in UTF-8.
SURE_TEXT = VALUE_BYTES // 4
MIN_INTEGER, MAX_INTEGER = -(2**52), 2**52 - 1

#: The hub's own properties in exports: neither checked nor counted.
_OF_THE_HUB = frozenset({"$metadata", "$version"})
_FORBIDDEN_IN_NAMES = re.compile(r"[\x00-\x20\x7f-\x9f.$#]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: A cache: names repeat from line to line and from file to file.
_GOOD_NAMES: set[str] = set()
_MAX_GOOD_NAMES = 4096


def check_twin(
    tags: object, desired: object, findings: list[Finding], *, null_removes: bool
) -> None:
    """Check both sections, as far as they are objects.

    Args:
        null_removes: the line updates a twin, so null removes a property.
    """
    for path, section, limit, rule in (
        ("tags", tags, TAGS_BYTES, Rule.TWIN_TAGS_SIZE),
        ("properties.desired", desired, DESIRED_BYTES, Rule.TWIN_DESIRED_SIZE),
    ):
        if isinstance(section, dict):
            own = section
            if not _OF_THE_HUB.isdisjoint(section):
                own = {name: item for name, item in section.items() if name not in _OF_THE_HUB}
            size = _Walk(findings, null_removes, path == "tags").object(own, path, 0)
            if size > limit:
                findings.append(Finding(path, rule, f"{size:,} of {limit:,} bytes"))


class _Walk:
    """Walks through a section; each method returns the size of a part."""

    def __init__(self, findings: list[Finding], null_removes: bool, is_tags: bool) -> None:
        self._findings = findings
        self._null_removes = null_removes
        self._is_tags = is_tags

    def object(self, members: dict[str, Any], path: str, depth: int) -> int:
        if depth > MAX_DEPTH:
            self._add(path, Rule.TWIN_DEPTH)
            return 0
        size = sum(map(len, members))
        if not _GOOD_NAMES.issuperset(members):
            size -= self._check_names(members, path)
        for name, value in members.items():
            # Without calls for the most frequent types: there are many values.
            kind = value.__class__
            if (
                kind is str
                and len(value) <= SURE_TEXT
                and value.isprintable()
                and not is_suspicious(value)
            ):
                size += len(value)
            elif kind is float or (kind is int and MIN_INTEGER <= value <= MAX_INTEGER):
                size += 8
            elif kind is bool:
                size += 4
            elif value is not None:
                size += self._value(value, f"{path}.{name}", depth)
            elif not self._null_removes:
                self._add(f"{path}.{name}", Rule.TWIN_NULL)
        return size

    def _check_names(self, names: Iterable[str], path: str) -> int:
        """Return how many control characters the names contain, which do not count."""
        controls = 0
        for name in names:
            if is_good_name(name):
                if len(_GOOD_NAMES) < _MAX_GOOD_NAMES:
                    _GOOD_NAMES.add(name)
                continue
            if is_secret(name):
                self._add(path, Rule.SECRET_MISPLACED, "as a property name")
                continue
            controls += len(_CONTROLS.findall(name))
            if match := _FORBIDDEN_IN_NAMES.search(name):
                character = describe_character(match[0], match.start() + 1)
                self._add(f"{path}.{name}", Rule.TWIN_KEY_CHARACTERS, character)
            if (length := _utf8_length(name)) > NAME_BYTES:
                # With such a name the path would be too long to read.
                self._add(path, Rule.TWIN_KEY_LENGTH, f"{length:,} bytes")
        return controls

    def _value(self, value: Any, field: str, depth: int) -> int:
        if isinstance(value, str):
            return self._string(value, field)
        if isinstance(value, bool):
            return 4
        if isinstance(value, dict):
            return self.object(value, field, depth + 1)
        if isinstance(value, list):
            return self._array(value, field, depth)
        if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
            self._add(field, Rule.TWIN_INTEGER_RANGE)
        return 8

    def _array(self, items: list[Any], path: str, depth: int) -> int:
        if depth > MAX_DEPTH:
            self._add(path, Rule.TWIN_DEPTH)
            return 0
        size = 0
        for index, item in enumerate(items):
            field = f"{path}.{index}"
            if item is None:
                self._add(field, Rule.TWIN_NULL_IN_ARRAY)
            else:
                size += self._value(item, field, depth + isinstance(item, list))
        return size

    def _string(self, text: str, field: str) -> int:
        if (length := _utf8_length(text)) > VALUE_BYTES:
            self._add(field, Rule.TWIN_VALUE_LENGTH, f"{length:,} bytes")
        if is_suspicious(text):
            if cause := damage(text):
                self._add(field, Rule.VALUE_DAMAGED, cause)
            elif self._is_tags and is_secret(text):
                self._add(field, Rule.SECRET_MISPLACED)
        return len(_CONTROLS.sub("", text))

    def _add(self, field: str, rule: Rule, detail: str = "") -> None:
        add_finding(self._findings, Finding(field, rule, detail))


def is_good_name(name: str) -> bool:
    return (
        not _FORBIDDEN_IN_NAMES.search(name)
        and _utf8_length(name) <= NAME_BYTES
        and not is_secret(name)
    )


def _utf8_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
