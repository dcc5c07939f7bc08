"""The properties of a line: their names and the check of each value.

The hub ignores the case of names and enum values (its reader is Json.NET). Here names and values
are written to the line in the documented case, so that nothing depends on that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.device_files.lines import values
from shared.device_files.lines.hints import (
    AUTHENTICATION_TYPE_HINTS,
    MEANS_ID,
    in_documented_case,
    unknown_member,
)
from shared.device_files.lines.strict_json import MAX_NESTING, nests_deeper
from shared.device_files.rules import Finding, Rule, add_finding

__all__ = ["MEMBERS", "read_members", "resolve"]

#: What Json.NET writes at the start of objects and treats as metadata when it reads them.
_METADATA = frozenset({"$id", "$type", "$ref", "$values"})

#: By name: the check of a value, or the properties of an object.
Members = Mapping[str, "values.Check | Members | None"]

MEMBERS: Members = {
    "id": values.identifier(Rule.ID_LENGTH, Rule.ID_CHARACTERS),
    "moduleId": values.identifier(Rule.MODULE_ID_LENGTH, Rule.MODULE_ID_CHARACTERS),
    "eTag": values.string,
    "importMode": values.choice(values.ImportMode, Rule.IMPORT_MODE_INVALID),
    "status": values.choice(values.Status, Rule.STATUS_INVALID),
    "statusReason": values.status_reason,
    "authentication": {
        "type": values.choice(
            values.AuthenticationType, Rule.AUTHENTICATION_TYPE_INVALID, AUTHENTICATION_TYPE_HINTS
        ),
        "symmetricKey": {"primaryKey": values.key, "secondaryKey": values.key},
        "x509Thumbprint": {
            "primaryThumbprint": values.thumbprint,
            "secondaryThumbprint": values.thumbprint,
        },
        "policyResourceId": values.string,
        "x509CaValidation": values.anything,
    },
    "twinETag": values.string,
    "tags": values.document,
    "properties": {"desired": values.document, "reported": values.document},
    "capabilities": {"iotEdge": values.of_type(bool, "it must be true or false")},
    "deviceScope": values.string,
    "parentScopes": values.parent_scopes,
    "managedBy": values.string,
    # Of hubs that are linked to Azure Device Registry, which own the last three (Azure CLI's IoT
    # extension, docs/hub-dataplane-2026-11-01-preview.md).
    "attributes": values.document,
    "adrDeviceProperties": values.document,
    "deviceResourceId": values.anything,
    "armSyncStatus": values.anything,
}


def read_members(
    members: dict[str, Any], findings: list[Finding], names: Members = MEMBERS, prefix: str = ""
) -> dict[str, Any]:
    """Check an object; return it with names and values in the documented case.

    Args:
        members: may be changed.
        prefix: what the paths of its properties begin with.
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
                findings.append(Finding(f"{prefix}{name}", Rule.MEMBER_TYPE, values.AN_OBJECT))
        elif finding := known(value):  # type: ignore[operator]  # a mapping is a dict here
            findings.append(Finding(f"{prefix}{name}", finding.rule, finding.detail))
            if finding.rule is Rule.VALUE_CASE:
                members[name] = finding.detail
    return members


def _renamed(
    members: dict[str, Any], findings: list[Finding], names: Members, prefix: str
) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for name, value in members.items():
        documented = name
        if name not in names and not (prefix == "" and _is_dotted(name)):
            field = f"{prefix}{name}"
            match = in_documented_case(name, names)
            if match is None:
                finding = _unknown(name, value, names, prefix)
                if members.get("id") is not None:
                    detail = "id is already given; write values of your own to tags"
                    finding = finding._replace(detail=finding.detail.replace(MEANS_ID, detail))
                add_finding(findings, finding)
                if huge := values.anything(value):
                    findings.append(huge._replace(field=field))
            elif match in members or match in renamed:
                findings.append(Finding(field, Rule.JSON_DUPLICATE_MEMBER, f"as {match}"))
            else:
                findings.append(Finding(field, Rule.MEMBER_CASE, match))
                documented = match
        renamed[documented] = value
    return renamed


def _unknown(name: str, value: Any, names: Members, prefix: str) -> Finding:
    if name not in _METADATA:
        return unknown_member(name, names, prefix, value)
    if name in ("$id", "$type") and isinstance(value, str):
        detail = "written by Json.NET (PreserveReferencesHandling or TypeNameHandling)"
        return Finding(f"{prefix}{name}", Rule.MEMBER_UNKNOWN, detail)
    return Finding(f"{prefix}{name}", Rule.JSON_METADATA)


def _is_dotted(name: str) -> bool:
    """Whether a name is the path of a known nested property."""
    return "." in name and len(_documented_path(name)) > 1


def _documented_path(path: str) -> list[str]:
    """Return the steps of a path in the documented case; empty if it leads to no known property."""
    if path.count(".") >= MAX_NESTING:
        return []
    documented, member, rest = resolve(path)
    return [] if rest and member is not values.document else [*documented, *rest]


def resolve(path: str) -> tuple[list[str], Any, list[str]]:
    """Follow a dotted path in `MEMBERS`.

    Returns:
        Its known steps in the documented case, the check or properties there, and the other steps.
    """
    documented: list[str] = []
    member: Any = MEMBERS
    steps = path.split(".")
    for step in steps:
        match = in_documented_case(step, member) if isinstance(member, dict) else None
        if match is None:
            break
        documented.append(match)
        member = member[match]
    return documented, member, steps[len(documented) :]


def _unfolded(members: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """Return the object with dotted names replaced by nested objects."""
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
