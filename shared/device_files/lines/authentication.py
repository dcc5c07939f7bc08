"""How a device or module authenticates: which keys, thumbprints and types go together.

Sources: the argument checks of the SDK for .NET; `shared.device_files.rules` marks what was
observed on a hub instead.
"""

from __future__ import annotations

from typing import Any

from shared.device_files.lines.values import (
    AuthenticationType,
    ImportMode,
    as_object,
    as_string,
    is_key,
    is_thumbprint,
)
from shared.device_files.rules import Finding, Rule

__all__ = ["check_authentication"]

_KEYS = ("primaryKey", "secondaryKey")
_PRIMARY, _SECONDARY = "primaryThumbprint", "secondaryThumbprint"
_THUMBPRINTS = "authentication.x509Thumbprint"


def check_authentication(members: dict[str, Any], mode: ImportMode, findings: list[Finding]) -> str:
    """Check how the properties fit together; return the type, "" if the line has none."""
    authentication = as_object(members.get("authentication"))
    keys = as_object(authentication.get("symmetricKey"))
    thumbprints = as_object(authentication.get("x509Thumbprint"))
    given_keys = [name for name in _KEYS if keys.get(name)]
    primary, secondary = (
        as_string(thumbprints.get(_PRIMARY)),
        as_string(thumbprints.get(_SECONDARY)),
    )
    kind = as_string(authentication.get("type"))
    if given_keys:
        if primary or secondary:
            detail = "keys and thumbprints"
            findings.append(Finding("authentication", Rule.AUTHENTICATION_CONFLICT, detail))
        elif kind not in ("", AuthenticationType.SAS):
            _add_conflict(kind, "keys", findings)
        if len(given_keys) == 1:
            missing = _KEYS[given_keys[0] == _KEYS[0]]
            findings.append(Finding(f"authentication.symmetricKey.{missing}", Rule.KEY_MISSING))
    elif (primary or secondary) and kind not in ("", AuthenticationType.SELF_SIGNED):
        _add_conflict(kind, "thumbprints", findings)
    if secondary and not primary:
        findings.append(Finding(f"{_THUMBPRINTS}.{_PRIMARY}", Rule.THUMBPRINT_PRIMARY_MISSING))
    elif secondary and len(primary) != len(secondary):
        findings.append(Finding(f"{_THUMBPRINTS}.{_SECONDARY}", Rule.THUMBPRINT_LENGTHS))
    if kind == AuthenticationType.NONE:
        is_module = members.get("moduleId") is not None
        rule = Rule.MODULE_AUTHENTICATION_NONE if is_module else Rule.AUTHENTICATION_TYPE_NONE
        findings.append(Finding("authentication.type", rule))
    elif kind == AuthenticationType.SELF_SIGNED and not (given_keys or primary or secondary):
        findings.append(Finding(f"{_THUMBPRINTS}.{_PRIMARY}", Rule.THUMBPRINT_MISSING))
    has_certificate = kind == AuthenticationType.CERTIFICATE_AUTHORITY or (
        kind in ("", AuthenticationType.SELF_SIGNED)
        and (is_thumbprint(primary) or (kind != "" and not (primary or secondary)))
    )
    has_key = any(is_key(keys.get(name)) for name in _KEYS)
    if mode.overwrites and not (has_key or has_certificate):
        findings.append(Finding("authentication", Rule.AUTHENTICATION_MISSING))
    return kind


def _add_conflict(kind: str, credentials: str, findings: list[Finding]) -> None:
    if kind in list(AuthenticationType):
        detail = f"{credentials} with type {kind}"
        findings.append(Finding("authentication.type", Rule.AUTHENTICATION_CONFLICT, detail))
