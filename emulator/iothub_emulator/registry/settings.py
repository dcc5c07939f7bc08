"""The desired properties that configurations write into a twin.

The metadata of such a property names its configuration, on leaves only (live hub).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from iothub_emulator.registry.entries import Entry
from iothub_emulator.registry.twin import Properties, metadata_of

DESIRED = "properties.desired"
BY, DIGEST = "$lastUpdatedBy", "$lastUpdatedByDigest"


class Setting(NamedTuple):
    """A section of a configuration's content, by names that start with ``properties.desired``."""

    section: Mapping[str, Any]
    #: BY and DIGEST for the metadata; empty for content that is applied once.
    mark: Mapping[str, str]


def configured(
    entry: Entry,
    now: int,
    settings: Sequence[Setting],
    targeting: Sequence[str] | None = None,
    keep: bool = True,
) -> Entry:
    """Write settings into the twin of an entry, of which later ones win.

    A setting replaces everything at its path; null deletes it. Returns the entry itself if nothing
    changes; HubError if the twin cannot hold the settings.

    Parameters
    ----------
    targeting
        The ids of all configurations that target the twin; None keeps the present ones.
    keep
        Whether other settings stay that configurations have written before.
    """
    desired, applied = _overlaid(entry.twin.desired, settings, now, keep=keep)
    statuses = entry.configurations
    if targeting is not None:
        statuses = {id_: "Applied" if id_ in applied else "Targeted" for id_ in targeting}
    if desired is entry.twin.desired and statuses == entry.configurations:
        return entry
    return replace(entry, twin=entry.twin.with_desired(desired), configurations=statuses)


def _overlaid(
    desired: Properties, settings: Sequence[Setting], now: int, *, keep: bool
) -> tuple[Properties, set[str]]:
    """Return also the ids of the configurations that have an effect."""
    metadata = metadata_of(desired)
    present: dict[tuple[str, ...], tuple[Any, Mapping[str, str]]] = {
        path: (value, _mark(metadata, path)) for path, value in _leaves(desired.values) if path
    }
    leaves = {path: leaf for path, leaf in present.items() if keep or not leaf[1]}
    for section, mark in settings:
        for name, value in section.items():
            at = tuple(name.removeprefix(DESIRED).split(".")[1:])
            # Neither what is at the path or below, nor a value above.
            leaves = {p: f for p, f in leaves.items() if any(map(str.__ne__, p, at))}
            leaves |= {at + path: (leaf, mark) for path, leaf in _leaves(value)}
    written_by = {mark.get(BY) for _, mark in leaves.values()}
    leaves = {path: leaf for path, leaf in leaves.items() if path and leaf[0] is not None}
    # In Python 1 also equals true and 1.0.
    changed = [path for path, leaf in leaves.items() if repr(leaf) != repr(present.get(path))]
    kept = {(), *(path[:end] for path in leaves for end in range(len(path) + 1))}
    patch: dict[str, Any] = {}
    for path in changed:
        _put(patch, path, leaves[path][0])
    for path in present.keys() - leaves.keys():
        gone = next((path[:end] for end in range(len(path) + 1) if path[:end] not in kept), None)
        _put(patch, gone or path, None)
    desired = desired.merged(patch, now)
    metadata = metadata_of(desired)
    for path in changed:
        _at(metadata, path).update(leaves[path][1])
    applied = {mark[BY] for _, mark in settings if mark} & written_by
    return replace(desired, metadata=metadata) if patch else desired, applied


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Values without members, by their paths."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for name, member in value.items():
        yield from _leaves(member, (*path, name))


def _at(metadata: Any, path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        metadata = metadata.get(name) if isinstance(metadata, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _mark(metadata: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, str]:
    leaf = _at(metadata, path)
    return {name: leaf[name] for name in (BY, DIGEST) if name in leaf}


def _put(patch: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, name = path
    for parent in parents:
        below = patch.setdefault(parent, {})
        if not isinstance(below, dict):
            return  # A value replaces the object.
        patch = below
    patch[name] = {} if value == {} else value
