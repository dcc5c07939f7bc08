"""The rules of twin documents: tags and desired properties.

Source: "Understand and use device twins in IoT Hub"; that '#' in names and null in arrays are
refused was observed on a hub.
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

#: The hub's own count of a section: characters of names and texts, 8 a number, 4 a boolean.
TAGS_BYTES = 8 * 1024
DESIRED_BYTES = 32 * 1024
#: UTF-8 bytes of one name and of one text.
NAME_BYTES = 1024
VALUE_BYTES = 4096
#: Objects below a section; the innermost may hold scalars.
MAX_DEPTH = 10
#: No text of so many characters is too long in UTF-8.
SURE_TEXT = VALUE_BYTES // 4
MIN_INTEGER, MAX_INTEGER = -(2**52), 2**52 - 1

#: The hub's own bookkeeping, which exports carry along: it is neither checked nor counted.
_OF_THE_HUB = frozenset({"$metadata", "$version"})
_FORBIDDEN_IN_NAMES = re.compile(r"[\x00-\x20\x7f-\x9f.$#]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: Names repeat from line to line and from file to file.
_GOOD_NAMES: set[str] = set()
_MOST_NAMES = 4096
_SECTIONS = (
    ("tags", TAGS_BYTES, Rule.TWIN_TAGS_SIZE),
    ("properties.desired", DESIRED_BYTES, Rule.TWIN_DESIRED_SIZE),
)


def check_twin(
    tags: object, desired: object, findings: list[Finding], *, null_removes: bool
) -> None:
    """Check both sections; what is not an object is left to others.

    Args:
        null_removes: the line's mode updates twins, so null is a way to remove a property.
    """
    for (path, limit, rule), section in zip(_SECTIONS, (tags, desired), strict=True):
        if isinstance(section, dict):
            own = section
            if not _OF_THE_HUB.isdisjoint(section):
                own = {name: item for name, item in section.items() if name not in _OF_THE_HUB}
            size = _Walk(findings, null_removes, path == "tags").object(own, path, 0)
            if size > limit:
                findings.append(Finding(path, rule, f"{size:,} of {limit:,} bytes"))


class _Walk:
    """Goes through a section, notes what is wrong and counts the size."""

    def __init__(self, findings: list[Finding], null_removes: bool, are_tags: bool) -> None:
        self._findings = findings
        self._null_removes = null_removes
        self._are_tags = are_tags

    def object(self, members: dict[str, Any], path: str, depth: int) -> int:
        if depth > MAX_DEPTH:
            self._note(path, Rule.TWIN_DEPTH)
            return 0
        size = sum(map(len, members))
        if not _GOOD_NAMES.issuperset(members):
            size -= self._check_names(members, path)
        for name, value in members.items():
            # The most frequent kinds first, and without a call: there are many of them.
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
                self._note(f"{path}.{name}", Rule.TWIN_NULL)
        return size

    def _check_names(self, names: Iterable[str], path: str) -> int:
        """Returns how many characters of them do not count."""
        controls = 0
        for name in names:
            if is_good_name(name):
                if len(_GOOD_NAMES) < _MOST_NAMES:
                    _GOOD_NAMES.add(name)
                continue
            if is_secret(name):
                self._note(path, Rule.SECRET_MISPLACED, "as the name of a property")
                continue
            controls += len(_CONTROLS.findall(name))
            if match := _FORBIDDEN_IN_NAMES.search(name):
                what = describe_character(match[0], match.start() + 1)
                self._note(f"{path}.{name}", Rule.TWIN_KEY_CHARACTERS, what)
            if (length := _utf8_length(name)) > NAME_BYTES:
                # Such a name would make the path useless for people.
                self._note(path, Rule.TWIN_KEY_LENGTH, f"{length:,} bytes")
        return controls

    def _value(self, value: Any, field: str, depth: int) -> int:
        if isinstance(value, str):
            return self._text(value, field)
        if isinstance(value, bool):
            return 4
        if isinstance(value, int):
            if not MIN_INTEGER <= value <= MAX_INTEGER:
                self._note(field, Rule.TWIN_INTEGER_RANGE)
            return 8
        if isinstance(value, dict):
            return self.object(value, field, depth + 1)
        if isinstance(value, list):
            return self._array(value, field, depth)
        return 8

    def _array(self, items: list[Any], path: str, depth: int) -> int:
        if depth > MAX_DEPTH:
            self._note(path, Rule.TWIN_DEPTH)
            return 0
        size = 0
        for index, item in enumerate(items):
            field = f"{path}.{index}"
            if item is None:
                self._note(field, Rule.TWIN_NULL_IN_ARRAY)
            else:
                size += self._value(item, field, depth + isinstance(item, list))
        return size

    def _text(self, text: str, field: str) -> int:
        if (length := _utf8_length(text)) > VALUE_BYTES:
            self._note(field, Rule.TWIN_VALUE_LENGTH, f"{length:,} bytes")
        if is_suspicious(text):
            if cause := damage(text):
                self._note(field, Rule.VALUE_DAMAGED, cause)
            elif self._are_tags and is_secret(text):
                self._note(field, Rule.SECRET_MISPLACED)
        return len(_CONTROLS.sub("", text))

    def _note(self, field: str, rule: Rule, detail: str = "") -> None:
        add_finding(self._findings, Finding(field, rule, detail))


def is_good_name(name: str) -> bool:
    return (
        not _FORBIDDEN_IN_NAMES.search(name)
        and _utf8_length(name) <= NAME_BYTES
        and not is_secret(name)
    )


def _utf8_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
