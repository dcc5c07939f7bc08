"""Devices and modules of a registry, as the hub answers single requests."""

from __future__ import annotations

from typing import Any

__all__ = ["export_line"]

_SAME = (
    *("status", "statusReason", "authentication", "capabilities", "attributes"),
    *("deviceScope", "parentScopes"),
)


def export_line(identity: Any, twin: Any) -> dict[str, Any] | None:
    """The line that an export would have; None if an answer is not about a device or module."""
    if not (isinstance(identity, dict) and isinstance(twin, dict)):
        return None
    ids = {"id": identity.get("deviceId"), "moduleId": identity.get("moduleId")}
    line = {
        **{name: value for name, value in ids.items() if value is not None},
        "eTag": identity.get("etag"),
        "twinETag": twin.get("etag"),
        "tags": twin.get("tags") or {},
        "properties": {
            name: _values((twin.get("properties") or {}).get(name))
            for name in ("desired", "reported")
        },
    }
    for name in _SAME:
        # Modules have their status in the twin alone.
        value = identity.get(name)
        if value is not None or (value := twin.get(name)) is not None:
            line[name] = value
    return line


def _values(section: Any) -> dict[str, Any]:
    """The properties without $metadata and $version, as exports have them."""
    members = section if isinstance(section, dict) else {}
    return {name: value for name, value in members.items() if name not in ("$metadata", "$version")}
