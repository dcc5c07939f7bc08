"""What imports make of the sections of a twin: tags, desired and reported properties.

Source: "Import and export IoT Hub device identities in bulk" and "Understand and use device twins".
Lines that write an identity replace sections, updateTwin merges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from shared.device_files.lines.twin import check_twin
from shared.device_files.rules import Finding, Rule

__all__ = [
    *("are_same", "decode", "differences", "has_metadata", "has_null", "is_too_large", "merged"),
    "stored_values",
]

#: The hub's own properties in exports, which it does not store as values.
_OF_THE_HUB = ("$metadata", "$version")

Values = Mapping[str, Any]


def decode(section: bytes | None) -> dict[str, Any]:
    value = msgspec.json.decode(section) if section else {}
    return value if isinstance(value, dict) else {}


def stored_values(section: bytes) -> dict[str, Any]:
    """The values of a section of an export; some versions of hubs export metadata too."""
    values = decode(section)
    for name in _OF_THE_HUB:
        values.pop(name, None)
    return values


def merged(target: Values, patch: Values) -> dict[str, Any]:
    """What a section contains after a patch, in which null removes a property.

    A patch of nothing is a section that is written as a whole.
    """
    own = {name: value for name, value in patch.items() if name not in _OF_THE_HUB}
    return _merged(target, own)


def are_same(one: Any, other: Any) -> bool:
    """Whether two values are equal in JSON; in Python, 1 also equals true and 1.0."""
    return one == other and _canonical(one) == _canonical(other)


def has_null(section: Any) -> bool:
    """Whether an object contains null at any depth."""
    return section is None or (isinstance(section, dict) and any(map(has_null, section.values())))


def is_too_large(path: str, section: Values) -> bool:
    """Whether a section is larger than twins may be, as the validation counts."""
    findings: list[Finding] = []
    is_tags = path == "tags"
    tags, desired = (section, None) if is_tags else (None, section)
    check_twin(tags, desired, findings, null_removes=False)
    return any(f.rule in (Rule.TWIN_TAGS_SIZE, Rule.TWIN_DESIRED_SIZE) for f in findings)


def has_metadata(section: Values) -> bool:
    return not section.keys().isdisjoint(_OF_THE_HUB)


def differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The innermost properties that differ, with old and new value; None where there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            yield from differences(old.get(name), new.get(name), f"{path}.{name}")
    elif not are_same(old, new):
        yield path, old, new


def _merged(target: Values, patch: Values) -> dict[str, Any]:
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            old = result.get(name)
            result[name] = _merged(old if isinstance(old, dict) else {}, value)
        else:
            result[name] = value
    return result


def _canonical(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
