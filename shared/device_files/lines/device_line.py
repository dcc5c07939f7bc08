"""All checks of one line of a device file."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from shared.device_files.characters import describe_unseen
from shared.device_files.lines.authentication import check_authentication
from shared.device_files.lines.damage import damage, damage_of_id, holds_secret
from shared.device_files.lines.members import read_members
from shared.device_files.lines.twin import check_twin
from shared.device_files.lines.values import ImportMode, as_object, as_string
from shared.device_files.rules import Finding, Rule

__all__ = ["FIXED", "SYSTEM_MODULES", "DeviceLine", "check_line"]

#: The documentation omits the first two and notes that some device SDKs fail with the others.
_UNUSUAL = re.compile(r"[:;+#]")
_SCOPE = re.compile(r"ms-azure-iot-edge://.+-[0-9]+")
_MODES = {mode.value: mode for mode in ImportMode}
#: Modules of each edge device, which hubs export, create themselves and refuse to import.
SYSTEM_MODULES = frozenset({"$edgeAgent", "$edgeHub"})
#: What is corrected in the staged line.
FIXED = frozenset({Rule.MEMBER_CASE, Rule.MEMBER_DOTTED, Rule.VALUE_CASE})


class DeviceLine(NamedTuple):
    """What the checks of the whole file need of a line."""

    #: With the names and values of the documentation.
    members: dict[str, Any]
    #: "" if there is no id that may be shown.
    id: str
    module_id: str
    mode: ImportMode
    authentication_type: str


def check_line(line: dict[str, Any], findings: list[Finding]) -> DeviceLine:
    """Check a line and add to its findings; an error of one property never hides another."""
    members = read_members(line, findings)
    for name, rule in (("id", Rule.ID_MISSING), ("status", Rule.STATUS_MISSING)):
        # A value that could not be read is not there either.
        if members.get(name) is None and not any(finding.field == name for finding in findings):
            findings.append(Finding(name, rule))
    mode = _MODES.get(as_string(members.get("importMode")), ImportMode.CREATE_OR_UPDATE)
    if mode.deletes or mode.updates_twin:
        # The hub ignores all credentials then.
        findings[:] = [
            finding._replace(rule=Rule.MEMBER_UNKNOWN)
            if finding.rule is Rule.CREDENTIALS_MISPLACED
            else finding
            for finding in findings
        ]
    device_id = _identifier(members, "id", Rule.ID_UNUSUAL, findings)
    module_id = _identifier(members, "moduleId", Rule.MODULE_ID_UNUSUAL, findings)
    if module_id.startswith("$"):
        findings.append(Finding("moduleId", Rule.MODULE_ID_RESERVED))
    authentication_type = check_authentication(members, mode, findings)
    desired = as_object(members.get("properties")).get("desired")
    _check_mode(members, mode, desired, findings)
    check_twin(members.get("tags"), desired, findings, null_removes=mode.updates_twin)
    _check_scopes(members, findings)
    if cause := damage(as_string(members.get("statusReason"))):
        findings.append(Finding("statusReason", Rule.VALUE_DAMAGED, cause))
    return DeviceLine(members, device_id, module_id, mode, authentication_type)


def _identifier(members: dict[str, Any], name: str, unusual: Rule, findings: list[Finding]) -> str:
    value = as_string(members.get(name))
    if holds_secret(value):
        return ""
    if _UNUSUAL.search(value):
        findings.append(Finding(name, unusual))
    if cause := damage_of_id(value):
        findings.append(Finding(name, Rule.VALUE_DAMAGED, cause))
    return value


def _check_mode(
    members: dict[str, Any], mode: ImportMode, desired: object, findings: list[Finding]
) -> None:
    if mode.updates_twin and members.get("tags") is None and desired is None:
        findings.append(Finding("tags", Rule.TWIN_MISSING))
    if mode is ImportMode.UPDATE_TWIN_IF_MATCH_ETAG:
        if members.get("twinETag") in (None, ""):
            findings.append(Finding("twinETag", Rule.TWIN_ETAG_MISSING))
    elif mode.compares_etag and members.get("eTag") in (None, ""):
        findings.append(Finding("eTag", Rule.ETAG_MISSING))


def _check_scopes(members: dict[str, Any], findings: list[Finding]) -> None:
    scope = as_string(members.get("deviceScope"))
    if scope and not _SCOPE.fullmatch(scope):
        findings.append(Finding("deviceScope", Rule.DEVICE_SCOPE_FORM, describe_unseen(scope)))
    parents = members.get("parentScopes")
    if not (isinstance(parents, list) and parents):
        return
    for index, parent in enumerate(parents):
        field = f"parentScopes.{index}"
        if not isinstance(parent, str):
            findings.append(Finding(field, Rule.MEMBER_TYPE, "it must be a string"))
        elif not _SCOPE.fullmatch(parent):
            findings.append(Finding(field, Rule.DEVICE_SCOPE_FORM, describe_unseen(parent)))
    is_edge = as_object(members.get("capabilities")).get("iotEdge") is True
    if not is_edge and not scope:
        findings.append(Finding("parentScopes", Rule.PARENT_SCOPES_IGNORED))
