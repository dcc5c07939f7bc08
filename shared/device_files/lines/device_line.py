"""One line of a device file, held to all rules that concern it alone."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from shared.device_files.characters import describe_unseen
from shared.device_files.lines.authentication import check_authentication
from shared.device_files.lines.damage import damage, damage_of_id, holds_secret
from shared.device_files.lines.members import ImportMode, read_members
from shared.device_files.lines.twin import check_twin
from shared.device_files.rules import Finding, Rule

__all__ = ["FIXED", "SYSTEM_MODULES", "DeviceLine", "check_line"]

#: The registry's page lacks the first two; its note says that device SDKs fail with the others.
_UNUSUAL = re.compile(r"[:;+#]")
_SCOPE = re.compile(r"ms-azure-iot-edge://.+-[0-9]+")
_MODES = {mode.value: mode for mode in ImportMode}
#: Modules of each edge device, which a hub exports, creates itself and refuses to import.
SYSTEM_MODULES = frozenset({"$edgeAgent", "$edgeHub"})
#: What is put right in the line that the hub gets.
FIXED = frozenset({Rule.MEMBER_CASE, Rule.MEMBER_DOTTED, Rule.VALUE_CASE})


class DeviceLine(NamedTuple):
    """What the file as a whole has to know of a line."""

    #: As the hub is to read it: the line itself unless its names or values are in another case.
    members: dict[str, Any]
    id: str
    module_id: str
    mode: ImportMode
    authentication_type: str


def check_line(line: dict[str, Any], findings: list[Finding]) -> DeviceLine:
    """Hold a line to the rules; what it breaks is added to findings.

    A member that breaks a rule never hides what is wrong with another.
    """
    members = read_members(line, findings)
    if members.get("id") is None:
        findings.append(Finding("id", Rule.ID_MISSING))
    if members.get("status") is None:
        findings.append(Finding("status", Rule.STATUS_MISSING))
    mode = _MODES.get(_text(members.get("importMode")), ImportMode.CREATE_OR_UPDATE)
    if mode.deletes or mode.updates_twin:
        # There the hub ignores all credentials.
        findings[:] = [
            Finding(finding.field, Rule.MEMBER_UNKNOWN, finding.detail)
            if finding.rule is Rule.CREDENTIALS_MISPLACED
            else finding
            for finding in findings
        ]
    device_id = _identifier(members, "id", Rule.ID_UNUSUAL, findings)
    module_id = _identifier(members, "moduleId", Rule.MODULE_ID_UNUSUAL, findings)
    if module_id.startswith("$"):
        findings.append(Finding("moduleId", Rule.MODULE_ID_RESERVED))
    authentication_type = check_authentication(members, mode, findings)
    _check_mode(members, mode, findings)
    check_twin(
        members.get("tags"),
        _object(members.get("properties")).get("desired"),
        findings,
        null_removes=mode.updates_twin,
    )
    _check_scopes(members, findings)
    if cause := damage(_text(members.get("statusReason"))):
        findings.append(Finding("statusReason", Rule.VALUE_DAMAGED, cause))
    return DeviceLine(members, device_id, module_id, mode, authentication_type)


def _identifier(members: dict[str, Any], name: str, unusual: Rule, findings: list[Finding]) -> str:
    """The id, "" if there is none that may be shown."""
    value = _text(members.get(name))
    if holds_secret(value):
        return ""
    if _UNUSUAL.search(value):
        findings.append(Finding(name, unusual))
    if cause := damage_of_id(value):
        findings.append(Finding(name, Rule.VALUE_DAMAGED, cause))
    return value


def _check_mode(members: dict[str, Any], mode: ImportMode, findings: list[Finding]) -> None:
    if mode is ImportMode.CREATE_OR_UPDATE:
        return
    if mode.updates_twin:
        properties = _object(members.get("properties"))
        if members.get("tags") is None and properties.get("desired") is None:
            findings.append(Finding("tags", Rule.TWIN_MISSING))
    if mode is ImportMode.UPDATE_TWIN_IF_MATCH_ETAG:
        if members.get("twinETag") in (None, ""):
            findings.append(Finding("twinETag", Rule.TWIN_ETAG_MISSING))
    elif mode.compares_etag and members.get("eTag") in (None, ""):
        findings.append(Finding("eTag", Rule.ETAG_MISSING))


def _check_scopes(members: dict[str, Any], findings: list[Finding]) -> None:
    scope = _text(members.get("deviceScope"))
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
    is_edge = _object(members.get("capabilities")).get("iotEdge") is True
    if not is_edge and not scope:
        findings.append(Finding("parentScopes", Rule.PARENT_SCOPES_IGNORED))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
