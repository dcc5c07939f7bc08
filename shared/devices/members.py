"""The names of a line's members: those the hub knows, and what people write instead.

The hub matches names and enum values in any case (its reader is Json.NET). Here the documented
form is taken as meant and put in its place, so that nothing depends on that.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from shared.devices.rules import Rule
from shared.devices.strictjson import Finding, add_finding

__all__ = ["MEMBERS", "Names", "canonical", "in_documented_case", "unknown_member"]

#: Names of an object's members, each with those of the object that it holds; None for all else.
Names = Mapping[str, "Names | None"]

#: ExportImportDevice of the service REST API.
MEMBERS: Names = {
    "id": None,
    "moduleId": None,
    "eTag": None,
    "importMode": None,
    "status": None,
    "statusReason": None,
    "authentication": {
        "type": None,
        "symmetricKey": {"primaryKey": None, "secondaryKey": None},
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
    },
    "twinETag": None,
    "tags": None,
    "properties": {"desired": None, "reported": None},
    "capabilities": {"iotEdge": None},
    "deviceScope": None,
    "parentScopes": None,
}

_OF_THE_HUB = frozenset(
    {
        "cloudToDeviceMessageCount",
        "connectionState",
        "connectionStateUpdatedTime",
        "generationId",
        "lastActivityTime",
        "statusUpdatedTime",
    }
)

#: What people write for a member, without case and signs, and what they mean.
_MEANT = {
    "deviceid": "id",
    "name": "id",
    "module": "moduleId",
    "modulename": "moduleId",
    "deviceetag": "eTag",
    "mode": "importMode",
    "operation": "importMode",
    "state": "status",
    "auth": "authentication",
    "authenticationtype": "authentication.type",
    "authtype": "authentication.type",
    "key": "authentication.symmetricKey.primaryKey",
    "devicekey": "authentication.symmetricKey.primaryKey",
    "primarykey": "authentication.symmetricKey.primaryKey",
    "secondarykey": "authentication.symmetricKey.secondaryKey",
    "symmetrickey": "authentication.symmetricKey",
    "symmetrickeys": "authentication.symmetricKey",
    "thumbprint": "authentication.x509Thumbprint.primaryThumbprint",
    "thumbprints": "authentication.x509Thumbprint",
    "x509": "authentication.x509Thumbprint",
    "x509thumbprints": "authentication.x509Thumbprint",
    "primarythumbprint": "authentication.x509Thumbprint.primaryThumbprint",
    "secondarythumbprint": "authentication.x509Thumbprint.secondaryThumbprint",
    "x509thumbprint": "authentication.x509Thumbprint",
    "tag": "tags",
    "desired": "properties.desired",
    "desiredproperties": "properties.desired",
    "reported": "properties.reported",
    "twin": "tags and properties.desired",
    "edge": "capabilities.iotEdge",
    "iotedge": "capabilities.iotEdge",
    "edgeenabled": "capabilities.iotEdge",
    "scope": "deviceScope",
    "parentscope": "parentScopes",
}

#: Characters of a name that may be a slip of the pen.
_LONGEST_SLIP = 64


def canonical(line: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """The line with its members' names in the documented case; it may be changed itself."""
    return _canonical(line, MEMBERS, "", findings)


def _canonical(
    members: dict[str, Any], names: Names, prefix: str, findings: list[Finding]
) -> dict[str, Any]:
    """The object whose members' paths begin with the prefix."""
    if members.keys() <= names.keys():
        for name, value in members.items():
            if isinstance(value, dict) and (below := names[name]):
                members[name] = _canonical(value, below, f"{prefix}{name}.", findings)
        return members
    renamed: dict[str, Any] = {}
    for name, value in members.items():
        known, meant = name in names, name
        if not known:
            match = in_documented_case(name, names)
            field = f"{prefix}{name}"
            if match is None:
                add_finding(findings, unknown_member(name, names, prefix))
            elif match in members or match in renamed:
                findings.append(Finding(field, Rule.JSON_DUPLICATE_MEMBER, f"as {match}"))
            else:
                findings.append(Finding(field, Rule.MEMBER_CASE, match))
                known, meant = True, match
        below = names[meant] if known else None
        if below is not None and isinstance(value, dict):
            value = _canonical(value, below, f"{prefix}{meant}.", findings)
        renamed[meant] = value
    return renamed


def in_documented_case(name: str, names: Iterable[str]) -> str | None:
    """The one of the names that differs in case alone."""
    lower = name.lower()
    return next((known for known in names if known.lower() == lower), None)


def unknown_member(name: str, names: Names, prefix: str) -> Finding:
    """What to say of a member that is none of the names; the prefix leads to its object."""
    if not prefix and in_documented_case(name, _OF_THE_HUB):
        return Finding(name, Rule.MEMBER_OF_THE_HUB)
    meant = _meant(name, prefix, tuple(names))
    return Finding(
        f"{prefix}{name}", Rule.MEMBER_UNKNOWN, f"did you mean {meant}?" if meant else ""
    )


@functools.lru_cache(256)
def _meant(name: str, prefix: str, names: tuple[str, ...]) -> str:
    """Names repeat from line to line, and looking for a similar one takes long."""
    if len(name) > _LONGEST_SLIP:
        return ""
    key = "".join(filter(str.isalnum, name.lower()))
    known = [f"{prefix}{known}" for known in names]
    similar = difflib.get_close_matches(f"{prefix}{name}", known, n=1, cutoff=0.75)
    return _MEANT.get(key) or "".join(similar)
