"""Twins and their changes: imports replace sections, patches merge them."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from iothub_emulator.clock import format_ticks
from iothub_emulator.registry.twin_rules import MAX_PROPERTIES, MAX_TAGS, check_members, check_size

#: The .NET default of a time that is not set, in ticks.
NEVER = 0

#: Properties that the hub adds to a section; lines may contain them, but they are not stored.
_SERVICE_OWNED = frozenset({"$metadata", "$version"})


@dataclass(frozen=True, slots=True)
class TwinChange:
    """Sections of a twin in a line or request; None if absent."""

    tags: Mapping[str, Any] | None = None
    desired: Mapping[str, Any] | None = None
    #: Only in imports, and only with the switch ``reported=store``.
    reported: Mapping[str, Any] | None = None

    def check(self) -> None:
        for section in (self.tags, self.desired, self.reported):
            if section:
                check_members(_without_service_owned(section))

    def has_null(self) -> bool:
        return _has_null(self.tags or {}) or _has_null(self.desired or {})


@dataclass(frozen=True, slots=True)
class Properties:
    """Desired or reported properties."""

    values: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    #: Time of the last change, in ticks.
    updated: int = NEVER
    #: Version of the last change; None where a hub shows none.
    updated_version: int | None = None
    #: Time of the last change of each property, unless they all changed together.
    metadata: Mapping[str, Any] | None = None

    def replaced(self, section: Mapping[str, Any], now: int) -> Properties:
        """Keep ``$metadata`` of the section; without it, all properties changed now."""
        given = section.get("$metadata")
        metadata = given if isinstance(given, dict) else None
        values = _stored(section)
        if metadata is None and _are_same(values, self.values):
            return self
        version = self.version + 1
        return Properties(values, version, now, version, metadata)

    def merged(self, patch: Mapping[str, Any], now: int) -> Properties:
        patch = _without_service_owned(patch)
        if not _has_effect(self.values, patch):
            return self
        values, version = _merged(self.values, patch), self.version + 1
        old = self.metadata or metadata_of(self)
        touched = _touched(old, values, patch, _stamp(now, version))
        return Properties(values, version, now, version, touched)


def first_update(
    values: Mapping[str, Any], created: int, *, of_module: bool
) -> tuple[int, int | None]:
    """Time and version of the last change of properties that were never changed (live hub).

    Those that a device is created with have the time of year 1, unlike an empty section. A module
    is one that a PUT creates.
    """
    if of_module:
        return NEVER, None
    return (NEVER, 1) if values else (created, None)


@dataclass(frozen=True, slots=True)
class Twin:
    """A stored twin."""

    tags: Mapping[str, Any] = field(default_factory=dict)
    desired: Properties = field(default_factory=Properties)
    reported: Properties = field(default_factory=Properties)
    version: int = 1

    @classmethod
    def new(cls, change: TwinChange | None, created: int, *, of_module: bool) -> Self:
        """The twin of a new identity, from the sections of a line; None for a request without.

        Unlike in later changes, the versions do not increase (live hub).
        """
        given = change or TwinChange()
        desired, reported = (
            _new_section(section or {}, created, by_line=change is not None, of_module=of_module)
            for section in (given.desired, given.reported)
        )
        twin = cls(_stored(given.tags or {}), desired, reported)
        twin.check_size()
        return twin

    @property
    def etag(self) -> str:
        return b64encode(struct.pack(">Q", self.version)).decode()

    def replaced(self, change: TwinChange, now: int) -> Twin:
        """Replace the sections of the change and keep the others."""
        if change.tags is change.desired is change.reported is None:
            return self
        tags = None if change.tags is None else _stored(change.tags)
        return self._changed(
            self.tags if tags is None or _are_same(tags, self.tags) else tags,
            self.desired if change.desired is None else self.desired.replaced(change.desired, now),
            self.reported
            if change.reported is None
            else self.reported.replaced(change.reported, now),
        )

    def merged(self, change: TwinChange, now: int) -> Twin:
        """Merge the sections of the change; null deletes a property."""
        tags = _without_service_owned(change.tags or {})
        return self._changed(
            _merged(self.tags, tags) if _has_effect(self.tags, tags) else self.tags,
            self.desired.merged(change.desired or {}, now),
            self.reported.merged(change.reported or {}, now),
        )

    def with_desired(self, desired: Properties) -> Twin:
        """Change the desired properties; HubError if a twin cannot hold them."""
        check_members(desired.values)
        return self._changed(self.tags, desired, self.reported)

    def _changed(self, tags: Mapping[str, Any], desired: Properties, reported: Properties) -> Twin:
        if tags is self.tags and desired is self.desired and reported is self.reported:
            return self
        twin = Twin(tags, desired, reported, self.version + 1)
        twin.check_size(than=self)
        return twin

    def check_size(self, than: Twin | None = None) -> None:
        """Refuse sections that are too large, of those that differ from ``than``."""
        if self.tags and (than is None or self.tags is not than.tags):
            check_size("tags", self.tags, MAX_TAGS)
        if self.desired.values and (than is None or self.desired is not than.desired):
            check_size("desired properties", self.desired.values, MAX_PROPERTIES)
        if self.reported.values and (than is None or self.reported is not than.reported):
            check_size("reported properties", self.reported.values, MAX_PROPERTIES)


def _new_section(
    section: Mapping[str, Any], created: int, *, by_line: bool, of_module: bool
) -> Properties:
    values, metadata = _stored(section), section.get("$metadata")
    if isinstance(metadata, dict):
        return Properties(values, updated=created, updated_version=1, metadata=metadata)
    if by_line and of_module:
        return Properties(values, updated=created, updated_version=1)
    return Properties(values, 1, *first_update(values, created, of_module=of_module))


def metadata_of(properties: Properties) -> Mapping[str, Any]:
    """The ``$metadata`` of a twin: when each property changed."""
    if properties.metadata is not None:
        return properties.metadata
    return _stamped(properties.values, _stamp(properties.updated, properties.updated_version))


def _stamp(updated: int, version: int | None) -> dict[str, Any]:
    if version is None:
        return {"$lastUpdated": format_ticks(updated)}
    return {"$lastUpdated": format_ticks(updated), "$lastUpdatedVersion": version}


def _stamped(values: Mapping[str, Any], stamp: Mapping[str, Any]) -> dict[str, Any]:
    members = {
        name: _stamped(value if isinstance(value, dict) else {}, stamp)
        for name, value in values.items()
    }
    return {**stamp, **members}


def _touched(
    old: Mapping[str, Any],
    values: Mapping[str, Any],
    patch: Mapping[str, Any],
    stamp: Mapping[str, Any],
) -> dict[str, Any]:
    """The metadata after a patch: properties in the patch get the stamp, the others keep theirs."""
    touched = {**old, **stamp}
    for name, change in patch.items():
        if name not in values:
            touched.pop(name, None)
        elif isinstance(change, dict) and isinstance(old.get(name), dict):
            touched[name] = _touched(old[name], values[name], change, stamp)
        else:
            value = values[name]
            touched[name] = _stamped(value if isinstance(value, dict) else {}, stamp)
    return touched


def _has_effect(values: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    """True also for an equal value: a hub does not compare values (sdk-csharp#954)."""
    for name, change in patch.items():
        old = values.get(name)
        if isinstance(change, dict) and isinstance(old, dict):
            if _has_effect(old, change):
                return True
        elif change is not None or name in values:
            return True
    return False


def _are_same(values: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether values are equal in JSON; in Python 1 also equals true and 1.0."""
    return values == old and _canonical(values) == _canonical(old)


def _canonical(values: Mapping[str, Any]) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)


def _has_null(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and any(map(_has_null, value.values())))


def _without_service_owned(section: Mapping[str, Any]) -> Mapping[str, Any]:
    if section.keys().isdisjoint(_SERVICE_OWNED):
        return section
    return {name: value for name, value in section.items() if name not in _SERVICE_OWNED}


def _stored(section: Mapping[str, Any]) -> dict[str, Any]:
    return _merged({}, _without_service_owned(section))


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
