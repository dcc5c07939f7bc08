"""How a device or module signs in: which keys, thumbprints and types go together.

Sources: the argument checks of the SDK for .NET. What hubs were observed to do with `none`, with
lacking thumbprints and with lacking keys is marked so in `shared.device_files.rules`.
"""

from __future__ import annotations

from typing import Any

from shared.device_files.lines.members import AuthenticationType, ImportMode
from shared.device_files.lines.values import is_key, is_thumbprint
from shared.device_files.rules import Finding, Rule

__all__ = ["check_authentication"]

_TYPES = frozenset(kind.value for kind in AuthenticationType)
_KEYS = ("primaryKey", "secondaryKey")
_PRIMARY, _SECONDARY = "primaryThumbprint", "secondaryThumbprint"


def check_authentication(members: dict[str, Any], mode: ImportMode, findings: list[Finding]) -> str:
    """Check what the members demand of each other; returns the type, "" if the line has none."""
    authentication = _object(members.get("authentication"))
    keys = _object(authentication.get("symmetricKey"))
    thumbprints = _object(authentication.get("x509Thumbprint"))
    given_keys = [name for name in _KEYS if keys.get(name)]
    primary, secondary = _text(thumbprints.get(_PRIMARY)), _text(thumbprints.get(_SECONDARY))
    kind = _text(authentication.get("type"))
    if given_keys:
        if primary or secondary:
            detail = "keys and thumbprints"
            findings.append(Finding("authentication", Rule.AUTHENTICATION_CONFLICT, detail))
        elif kind not in ("", AuthenticationType.SAS):
            _note_conflict(kind, "keys", findings)
        if len(given_keys) == 1:
            missing = _KEYS[given_keys[0] == _KEYS[0]]
            findings.append(Finding(f"authentication.symmetricKey.{missing}", Rule.KEY_MISSING))
    elif (primary or secondary) and kind not in ("", AuthenticationType.SELF_SIGNED):
        _note_conflict(kind, "thumbprints", findings)
    if secondary and not primary:
        path = f"authentication.x509Thumbprint.{_PRIMARY}"
        findings.append(Finding(path, Rule.THUMBPRINT_PRIMARY_MISSING))
    elif secondary and len(primary) != len(secondary):
        path = f"authentication.x509Thumbprint.{_SECONDARY}"
        findings.append(Finding(path, Rule.THUMBPRINT_LENGTHS))
    if kind == AuthenticationType.NONE:
        is_module = members.get("moduleId") is not None
        rule = Rule.MODULE_AUTHENTICATION_NONE if is_module else Rule.AUTHENTICATION_TYPE_NONE
        findings.append(Finding("authentication.type", rule))
    elif kind == AuthenticationType.SELF_SIGNED and not (given_keys or primary or secondary):
        path = f"authentication.x509Thumbprint.{_PRIMARY}"
        findings.append(Finding(path, Rule.THUMBPRINT_MISSING))
    has_certificate = kind == AuthenticationType.CERTIFICATE_AUTHORITY or (
        kind in ("", AuthenticationType.SELF_SIGNED)
        and (is_thumbprint(primary) or (kind != "" and not (primary or secondary)))
    )
    has_key = any(is_key(keys.get(name)) for name in _KEYS)
    if mode.overwrites and not (has_key or has_certificate):
        findings.append(Finding("authentication", Rule.AUTHENTICATION_MISSING))
    return kind


def _note_conflict(kind: str, what: str, findings: list[Finding]) -> None:
    if kind in _TYPES:
        detail = f"{what} with the type {kind}"
        findings.append(Finding("authentication.type", Rule.AUTHENTICATION_CONFLICT, detail))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
