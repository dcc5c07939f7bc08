"""One line of a device file: its members, their constraints, and what they demand of each other.

Sources: the service REST API's ExportImportDevice (2021-04-12), "Import and export IoT Hub device
identities in bulk" for the import modes, "Understand the identity registry" for identifiers.
`shared.devices.rules` names the source of each rule.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from shared.devices.authentication import Authentication, AuthenticationType, Part, broken
from shared.devices.members import canonical, in_documented_case
from shared.devices.rules import Rule
from shared.devices.strictjson import Finding, dotted
from shared.devices.twin import check_twin

__all__ = ["MENDED", "DeviceLine", "ImportMode", "Record", "Status", "check_record"]

MAX_ID = 128
MAX_STATUS_REASON = 128

#: The registry's page lacks ':' and ';', which the SDKs accept.
_ID = re.compile(r"[A-Za-z0-9\-.+%_#*?!(),:;=@$']*")
#: The registry's page lacks the first two; its note says that device SDKs fail with the others.
_UNUSUAL = re.compile(r"[:;+#]")
_SCOPE = re.compile(r"ms-azure-iot-edge://.+-[0-9]+")


class ImportMode(StrEnum):
    """What to do with the line; a file may mix modes."""

    CREATE_OR_UPDATE = "createOrUpdate"  # the default
    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH_ETAG = "updateIfMatchETag"
    CREATE_OR_UPDATE_IF_MATCH_ETAG = "createOrUpdateIfMatchETag"
    DELETE = "delete"
    DELETE_IF_MATCH_ETAG = "deleteIfMatchETag"
    UPDATE_TWIN = "updateTwin"
    UPDATE_TWIN_IF_MATCH_ETAG = "updateTwinIfMatchETag"

    @property
    def creates(self) -> bool:
        return self.startswith("create")

    @property
    def deletes(self) -> bool:
        return self.startswith("delete")

    @property
    def updates_twin(self) -> bool:
        return self.startswith("updateTwin")

    @property
    def overwrites(self) -> bool:
        """Whether a device that exists is given the line's authentication."""
        return not (self is ImportMode.CREATE or self.deletes or self.updates_twin)

    @property
    def compares_etag(self) -> bool:
        return self.endswith("IfMatchETag")


class Status(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


def _identifier(length: Rule, characters: Rule) -> AfterValidator:
    def check(value: str) -> str:
        if not 1 <= len(value) <= MAX_ID:
            raise broken(length, f"it has {len(value):,}")
        if not _ID.fullmatch(value):
            raise broken(characters)
        return value

    return AfterValidator(check)


def _status_reason(value: str) -> str:
    if len(value) > MAX_STATUS_REASON:
        raise broken(Rule.STATUS_REASON_LENGTH, f"it has {len(value):,}")
    return value


def _parent_scopes(value: list[str]) -> list[str]:
    if len(value) > 1:
        raise broken(Rule.PARENT_SCOPES_COUNT, f"it names {len(value):,}")
    return value


class Properties(Part):
    desired: dict[str, Any] | None = None
    reported: dict[str, Any] | None = None


class Capabilities(Part):
    iot_edge: bool | None = Field(None, alias="iotEdge")


class DeviceLine(Part):
    """The members of a line. Null is as good as absent, but for id and status."""

    id: Annotated[str, _identifier(Rule.ID_LENGTH, Rule.ID_CHARACTERS)]
    module_id: (
        Annotated[str, _identifier(Rule.MODULE_ID_LENGTH, Rule.MODULE_ID_CHARACTERS)] | None
    ) = Field(None, alias="moduleId")
    etag: str | None = Field(None, alias="eTag")
    import_mode: Annotated[ImportMode, Field(strict=False)] | None = Field(None, alias="importMode")
    status: Annotated[Status, Field(strict=False)]
    status_reason: Annotated[str, AfterValidator(_status_reason)] | None = Field(
        None, alias="statusReason"
    )
    authentication: Authentication | None = None
    twin_etag: str | None = Field(None, alias="twinETag")
    tags: dict[str, Any] | None = None
    properties: Properties | None = None
    capabilities: Capabilities | None = None
    device_scope: str | None = Field(None, alias="deviceScope")
    parent_scopes: Annotated[list[str], AfterValidator(_parent_scopes)] | None = Field(
        None, alias="parentScopes"
    )


@dataclass(frozen=True, slots=True)
class Record:
    """What the file as a whole has to know of a line."""

    #: As the hub is to read it: the line itself unless its names or values are in another case.
    members: dict[str, Any]
    id: str
    module_id: str
    mode: ImportMode
    authentication_type: str


#: What is put right in the line that the hub gets.
MENDED = frozenset({Rule.MEMBER_CASE, Rule.VALUE_CASE})
_MODES = {mode.value: mode for mode in ImportMode}
_TYPES = tuple(kind.value for kind in AuthenticationType)
#: Members with a closed list of values, and what breaks if the value is none of them.
_CHOICES: Mapping[str, tuple[Collection[str], Rule]] = {
    "importMode": (_MODES, Rule.IMPORT_MODE_INVALID),
    "status": (tuple(status.value for status in Status), Rule.STATUS_INVALID),
    "authentication.type": (_TYPES, Rule.AUTHENTICATION_TYPE_INVALID),
}
_MISSING = {"id": Rule.ID_MISSING, "status": Rule.STATUS_MISSING}
#: What pydantic finds and who read the line or its names told already.
_TOLD_BEFORE = frozenset({"extra_forbidden", "string_unicode"})
_WANTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "an array of texts",
    "dict_type": "an object",
    "model_type": "an object",
}


def check_record(line: dict[str, Any], findings: list[Finding]) -> Record:
    """Hold a line against all rules that concern it alone; what it breaks is added to findings.

    A member that breaks a rule never hides what is wrong with another.
    """
    members = _check_members(line, findings)
    mode = _MODES.get(_text(members.get("importMode")), ImportMode.CREATE_OR_UPDATE)
    device_id, module_id = _text(members.get("id")), _text(members.get("moduleId"))
    _check_identifiers(device_id, module_id, findings)
    authentication_type = _check_authentication(members, mode, findings)
    _check_mode(members, mode, findings)
    check_twin(
        members.get("tags"),
        _object(members.get("properties")).get("desired"),
        findings,
        null_removes=mode.updates_twin,
    )
    _check_scopes(members, findings)
    return Record(members, device_id, module_id, mode, authentication_type)


def _check_members(line: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """Hold each member to the models; returns the line with names and values in their case."""
    errors = _errors(line)
    if not errors:
        return line
    members = canonical(line, findings)
    for field, (values, _) in _CHOICES.items():
        _correct_case(members, field, values, findings)
    if any(finding.rule in MENDED for finding in findings):
        errors = _errors(members)
    findings.extend(_finding(error) for error in errors if error["type"] not in _TOLD_BEFORE)
    return members


def _errors(members: dict[str, Any]) -> list[ErrorDetails]:
    try:
        DeviceLine.model_validate(members)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _correct_case(
    members: dict[str, Any], field: str, values: Collection[str], findings: list[Finding]
) -> None:
    above, _, name = field.rpartition(".")
    if above:
        members = _object(members.get(above))
    value = members.get(name)
    if isinstance(value, str) and value not in values:
        match = in_documented_case(value, values)
        if match is not None:
            members[name] = match
            findings.append(Finding(field, Rule.VALUE_CASE, match))


def _finding(error: ErrorDetails) -> Finding:
    """One of pydantic's errors as the rule that it stands for."""
    field, kind, value = dotted(*error["loc"]), error["type"], error["input"]
    if kind == "missing" or (value is None and field in _MISSING):
        return Finding(field, _MISSING[field])
    if kind == "enum":
        values, rule = _CHOICES[field]
        return Finding(field, rule, _did_you_mean(value, values))
    if kind in _WANTED:
        return Finding(field, Rule.MEMBER_TYPE, f"it has to be {_WANTED[kind]}")
    return Finding(field, Rule[kind], error["ctx"]["detail"])


def _did_you_mean(value: object, values: Iterable[str]) -> str:
    """For values such as SELF_SIGNED, which differ in case and signs."""
    letters = "".join(filter(str.isalpha, value)) if isinstance(value, str) else ""
    match = in_documented_case(letters, values)
    return f"did you mean {match}?" if match else ""


def _check_identifiers(device_id: str, module_id: str, findings: list[Finding]) -> None:
    if _UNUSUAL.search(device_id):
        findings.append(Finding("id", Rule.ID_UNUSUAL))
    if _UNUSUAL.search(module_id):
        findings.append(Finding("moduleId", Rule.MODULE_ID_UNUSUAL))
    if module_id.startswith("$"):
        findings.append(Finding("moduleId", Rule.MODULE_ID_RESERVED))


def _check_authentication(
    members: dict[str, Any], mode: ImportMode, findings: list[Finding]
) -> str:
    """Returns the type, "" if the line does not say."""
    authentication = _object(members.get("authentication"))
    keys = _object(authentication.get("symmetricKey"))
    thumbprints = _object(authentication.get("x509Thumbprint"))
    given_keys = [name for name in ("primaryKey", "secondaryKey") if keys.get(name)]
    primary, secondary = (
        _text(thumbprints.get(name)) for name in ("primaryThumbprint", "secondaryThumbprint")
    )
    has_credentials = bool(primary or secondary or given_keys)
    kind = _text(authentication.get("type"))
    if given_keys and (primary or secondary):
        findings.append(
            Finding("authentication", Rule.AUTHENTICATION_CONFLICT, "keys and thumbprints")
        )
    elif given_keys and kind not in ("", AuthenticationType.SAS):
        _note_conflict(kind, "keys", findings)
    elif (primary or secondary) and kind not in ("", AuthenticationType.SELF_SIGNED):
        _note_conflict(kind, "thumbprints", findings)
    if len(given_keys) == 1:
        missing = "secondaryKey" if given_keys == ["primaryKey"] else "primaryKey"
        findings.append(Finding(f"authentication.symmetricKey.{missing}", Rule.KEY_MISSING))
    if secondary and not primary:
        path = "authentication.x509Thumbprint.primaryThumbprint"
        findings.append(Finding(path, Rule.THUMBPRINT_PRIMARY_MISSING))
    elif secondary and len(primary) != len(secondary):
        path = "authentication.x509Thumbprint.secondaryThumbprint"
        findings.append(Finding(path, Rule.THUMBPRINT_LENGTHS))
    if kind == AuthenticationType.NONE:
        is_module = members.get("moduleId") is not None
        rule = Rule.MODULE_AUTHENTICATION_NONE if is_module else Rule.AUTHENTICATION_TYPE_NONE
        findings.append(Finding("authentication.type", rule))
    elif kind == AuthenticationType.SELF_SIGNED and not has_credentials:
        path = "authentication.x509Thumbprint.primaryThumbprint"
        findings.append(Finding(path, Rule.THUMBPRINT_MISSING))
    elif (
        kind in ("", AuthenticationType.SAS)
        and mode.overwrites
        and not has_credentials
        and not any(finding.field.startswith("authentication") for finding in findings)
    ):
        findings.append(Finding("authentication", Rule.AUTHENTICATION_MISSING))
    return kind


def _note_conflict(kind: str, what: str, findings: list[Finding]) -> None:
    if kind in _TYPES:
        detail = f"{what} with the type {kind}"
        findings.append(Finding("authentication.type", Rule.AUTHENTICATION_CONFLICT, detail))


def _check_mode(members: dict[str, Any], mode: ImportMode, findings: list[Finding]) -> None:
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
        findings.append(Finding("deviceScope", Rule.DEVICE_SCOPE_FORM))
    parents = members.get("parentScopes")
    if not (isinstance(parents, list) and parents):
        return
    for index, parent in enumerate(parents):
        if isinstance(parent, str) and not _SCOPE.fullmatch(parent):
            findings.append(Finding(f"parentScopes.{index}", Rule.DEVICE_SCOPE_FORM))
    is_edge = _object(members.get("capabilities")).get("iotEdge") is True
    if not is_edge and not scope:
        findings.append(Finding("parentScopes", Rule.PARENT_SCOPES_IGNORED))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
