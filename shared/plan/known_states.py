"""Whether a device is as it was before an import or as that left it, part by part.

The parts count one by one, since an import may have been applied in part.
"""

from __future__ import annotations

from typing import Any

from shared.device_files.lines.values import AuthenticationType
from shared.plan import twins
from shared.plan.entries import Entry, FileLine

__all__ = ["is_known"]

#: A part that may have any value.
_ANY = object()


def is_known(now: Entry, before: FileLine | None, sent: FileLine | None) -> bool:
    """Whether each part of a device is as it was before an import, or as the import left it.

    Args:
        before: None if it was not there.
        sent: the line of the import; None if that deleted the device.
    """
    allowed: dict[str, list[Any]] = {name: [] for name in _PARTS}
    if before is not None:
        for name, value in _parts_of(before, None).items():
            allowed[name].append(value)
    if sent is not None:
        _allow_left(allowed, before, sent)
    parts = {
        "status": now.status,
        "statusReason": now.status_reason,
        "type": now.authentication_type,
        # Others than those of its type have no effect.
        "keys": now.keys if now.authentication_type == AuthenticationType.SAS else None,
        "thumbprints": _folded(now.thumbprints)
        if now.authentication_type == AuthenticationType.SELF_SIGNED
        else (),
        "iotEdge": now.iot_edge,
        # The hub makes that of an edge device.
        "deviceScope": None if now.iot_edge else now.device_scope,
        "parentScopes": now.parent_scopes,
        "attributes": twins.decode(now.attributes),
        "tags": twins.stored_values(now.tags),
        "desired": twins.stored_values(now.desired),
    }
    return all(
        any(value is _ANY or twins.are_same(_plain(value), _plain(part)) for value in allowed[name])
        for name, part in parts.items()
    )


_PARTS = (
    *("status", "statusReason", "type", "keys", "thumbprints", "iotEdge", "deviceScope"),
    *("parentScopes", "attributes", "tags", "desired"),
)


def _allow_left(allowed: dict[str, list[Any]], before: FileLine | None, sent: FileLine) -> None:
    """Add what a line may have left."""
    tags, desired = (
        twins.decode(before.tags) if before else {},
        twins.decode(before.desired) if before else {},
    )
    is_patch = sent.mode.updates_twin
    if not is_patch:
        for name, value in _parts_of(sent, before).items():
            if name not in ("tags", "desired"):
                allowed[name].append(value)
    for name, old, given in (("tags", tags, sent.tags), ("desired", desired, sent.desired)):
        if given is not None:
            new = twins.decode(given)
            allowed[name].append(twins.merged(old if is_patch else {}, new))
        elif not is_patch:
            # Documentation does not say whether the hub keeps what a line omits.
            allowed[name] += [old, {}]


def _parts_of(line: FileLine, before: FileLine | None) -> dict[str, Any]:
    """The parts of a device as a line leaves them.

    Args:
        before: what the device was, as far as the line keeps it.
    """
    type_ = line.authentication_type
    if type_ is AuthenticationType.NONE:
        type_ = AuthenticationType.SAS
    keys: Any = None
    thumbprints: Any = ()
    if type_ is AuthenticationType.SAS:
        # The hub makes those that a line omits.
        keys = _ANY if line.keys is None else line.keys
    elif type_ is AuthenticationType.SELF_SIGNED:
        # Observed on a hub: it keeps what the device has, if the line has none.
        thumbprints = _folded(line.thumbprints) if any(line.thumbprints) else _ANY
    if line.iot_edge:
        scope, parents = None, line.parent_scopes
    elif before is not None and before.iot_edge:
        # Observed on a hub: a device that ceases to be an edge device has neither.
        scope, parents = None, ()
    else:
        scope = line.device_scope
        parents = (scope,) if scope else ()
    attributes = line.attributes
    if attributes is None and before is not None:
        attributes = before.attributes
    return {
        "status": line.status,
        "statusReason": line.status_reason,
        "type": type_.value,
        "keys": keys,
        "thumbprints": thumbprints,
        "iotEdge": line.iot_edge,
        "deviceScope": scope,
        "parentScopes": parents,
        "attributes": twins.decode(attributes),
        "tags": twins.decode(line.tags),
        "desired": twins.decode(line.desired),
    }


def _plain(value: Any) -> Any:
    """A value that JSON has."""
    if isinstance(value, bytes):
        return value.hex()
    return list(value) if isinstance(value, tuple) else value


def _folded(thumbprints: tuple[str | None, str | None]) -> tuple[str, ...]:
    return tuple((thumbprint or "").lower() for thumbprint in thumbprints)
