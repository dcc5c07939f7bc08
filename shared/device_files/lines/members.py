"""The members of a line: their names, and what each of them holds.

The hub matches names and enum values in any case (its reader is Json.NET). Here the documented
form is taken as meant and put in its place, so that nothing depends on that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.device_files.lines.hints import (
    MEANS_ID,
    OTHER_AUTHENTICATION_TYPES,
    in_documented_case,
    unknown_member,
)
from shared.device_files.lines.strict_json import MAX_NESTING, nests_deeper
from shared.device_files.lines.values import (
    AN_OBJECT,
    MAX_ID,
    MAX_KEY_BYTES,
    MAX_STATUS_REASON,
    MIN_KEY_BYTES,
    AuthenticationType,
    Check,
    ImportMode,
    Status,
    anything,
    choice,
    document,
    identifier,
    key,
    of_type,
    parent_scopes,
    status_reason,
    text_value,
    thumbprint,
)
from shared.device_files.rules import Finding, Rule, add_finding

__all__ = [
    "MAX_ID",
    "MAX_KEY_BYTES",
    "MAX_STATUS_REASON",
    "MAX_STEPS",
    "MEMBERS",
    "MIN_KEY_BYTES",
    "AuthenticationType",
    "ImportMode",
    "Members",
    "Status",
    "read_members",
]

#: Steps of a dotted name.
MAX_STEPS = MAX_NESTING
#: What Json.NET writes at the start of objects, and reads there in a way of its own.
_METADATA = frozenset({"$id", "$type", "$ref", "$values"})

#: The members of an object by name: a check, the members of the object there, or None for all else.
Members = Mapping[str, "Check | Members | None"]

MEMBERS: Members = {
    "id": identifier(Rule.ID_LENGTH, Rule.ID_CHARACTERS),
    "moduleId": identifier(Rule.MODULE_ID_LENGTH, Rule.MODULE_ID_CHARACTERS),
    "eTag": text_value,
    "importMode": choice(ImportMode, Rule.IMPORT_MODE_INVALID),
    "status": choice(Status, Rule.STATUS_INVALID),
    "statusReason": status_reason,
    "authentication": {
        "type": choice(
            AuthenticationType, Rule.AUTHENTICATION_TYPE_INVALID, OTHER_AUTHENTICATION_TYPES
        ),
        "symmetricKey": {"primaryKey": key, "secondaryKey": key},
        "x509Thumbprint": {"primaryThumbprint": thumbprint, "secondaryThumbprint": thumbprint},
        "policyResourceId": text_value,
        "x509CaValidation": anything,
    },
    "twinETag": text_value,
    "tags": document,
    "properties": {"desired": document, "reported": document},
    "capabilities": {"iotEdge": of_type(bool, "it must be true or false")},
    "deviceScope": text_value,
    "parentScopes": parent_scopes,
    "managedBy": text_value,
    # Of hubs that are linked to Azure Device Registry (2026-11-01-preview). The last three belong
    # to the registry and the hub, which write them into exports and ignore them here.
    "attributes": document,
    "adrDeviceProperties": document,
    "deviceResourceId": anything,
    "armSyncStatus": anything,
}


def read_members(
    members: dict[str, Any], findings: list[Finding], names: Members = MEMBERS, prefix: str = ""
) -> dict[str, Any]:
    """The object with names and values in the documented case; it may be changed itself.

    Args:
        prefix: what the paths of the members begin with.
    """
    if not members.keys() <= names.keys():
        members = _renamed(members, findings, names, prefix)
        if not prefix and any(map(_is_dotted, members)):
            members = _unfolded(members, findings)
    for name, value in members.items():
        known = names.get(name)
        if value is None or known is None:
            continue
        if isinstance(known, dict):
            if isinstance(value, dict):
                members[name] = read_members(value, findings, known, f"{prefix}{name}.")
            else:
                findings.append(Finding(f"{prefix}{name}", Rule.MEMBER_TYPE, AN_OBJECT))
        elif broken := known(value):  # type: ignore[operator]  # a mapping is a dict here
            findings.append(Finding(f"{prefix}{name}", broken.rule, broken.detail))
            if broken.meant:
                members[name] = broken.meant
    return members


def _renamed(
    members: dict[str, Any], findings: list[Finding], names: Members, prefix: str
) -> dict[str, Any]:
    """The object with names in the documented case."""
    renamed: dict[str, Any] = {}
    for name, value in members.items():
        meant = name
        if name not in names and not (prefix == "" and _is_dotted(name)):
            field = f"{prefix}{name}"
            match = in_documented_case(name, names)
            if match is None:
                finding = _unknown(name, value, names, prefix)
                if members.get("id") is not None:
                    detail = "id is given already; values of your own belong in tags"
                    finding = finding._replace(detail=finding.detail.replace(MEANS_ID, detail))
                add_finding(findings, finding)
                if broken := anything(value):
                    findings.append(Finding(field, broken.rule, broken.detail))
            elif match in members or match in renamed:
                findings.append(Finding(field, Rule.JSON_DUPLICATE_MEMBER, f"as {match}"))
            else:
                findings.append(Finding(field, Rule.MEMBER_CASE, match))
                meant = match
        renamed[meant] = value
    return renamed


def _unknown(name: str, value: Any, names: Members, prefix: str) -> Finding:
    if name not in _METADATA:
        return unknown_member(name, names, prefix, value)
    if name in ("$id", "$type") and isinstance(value, str):
        detail = "a Json.NET serializer wrote it (PreserveReferencesHandling or TypeNameHandling)"
        return Finding(f"{prefix}{name}", Rule.MEMBER_UNKNOWN, detail)
    return Finding(f"{prefix}{name}", Rule.JSON_METADATA)


def _is_dotted(name: str) -> bool:
    """Whether a name is the path of a known member within another."""
    return "." in name and len(_documented_path(name)) > 1


def _documented_path(path: str) -> tuple[str, ...]:
    """The steps of a dotted path in the documented case; empty if it leads to no known member."""
    taken: list[str] = []
    names: Any = MEMBERS
    steps = path.split(".", MAX_STEPS)
    if len(steps) > MAX_STEPS:
        return ()
    for step in steps:
        if names is document:
            return (*taken, *steps[len(taken) :])
        match = in_documented_case(step, names) if isinstance(names, dict) else None
        if match is None:
            return ()
        taken.append(match)
        names = names[match]
    return tuple(taken)


def _unfolded(members: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """The members of dotted names put where the names lead to, as in the header of a CSV file."""
    dotted = dict.fromkeys(filter(_is_dotted, members))
    unfolded = {name: value for name, value in members.items() if name not in dotted}
    for name in dotted:
        *above, last = _documented_path(name)
        target: Any = unfolded
        for step in above:
            target = target.setdefault(step, {}) if isinstance(target, dict) else None
        if not isinstance(target, dict) or last in target:
            add_finding(findings, Finding(name, Rule.JSON_DUPLICATE_MEMBER))
        elif nests_deeper(members[name], MAX_NESTING - len(above) - 1):
            add_finding(findings, Finding(name, Rule.JSON_NESTING))
        else:
            target[last] = members[name]
    findings.append(Finding(next(iter(dotted)), Rule.MEMBER_DOTTED, f"{len(dotted):,} in the line"))
    return unfolded
