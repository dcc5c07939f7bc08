"""The members of a line: their names, and what the value of each may be by itself.

The hub matches names and enum values in any case (its reader is Json.NET). Here the documented
form is taken as meant and put in its place, so that nothing depends on that.

Sources: the service REST API's ExportImportDevice (2021-04-12), "Import and export IoT Hub device
identities in bulk" for the import modes, "Understand the identity registry" for identifiers.
`shared.devices.rules` names the source of each rule.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from shared.devices.characters import describe_outside
from shared.devices.damage import holds_secret
from shared.devices.hints import OTHER_AUTHENTICATION_TYPES, in_documented_case, unknown_member
from shared.devices.rules import Rule
from shared.devices.strictjson import MAX_NESTING, Finding, add_finding, nests_deeper

__all__ = [
    *("MAX_ID", "MAX_KEY_BYTES", "MAX_STATUS_REASON", "MAX_STEPS", "MEMBERS", "MIN_KEY_BYTES"),
    *(
        "AuthenticationType",
        "ImportMode",
        "Members",
        "Status",
        "documented_path",
        "is_key",
        "is_thumbprint",
        "read_members",
    ),
]

MAX_ID = 128
MAX_STATUS_REASON = 128
MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64

#: Characters of an integer that Json.NET reads, the sign included.
MAX_DIGITS = 380
_HUGE = 10 ** (MAX_DIGITS - 1)
#: Steps of a dotted name.
MAX_STEPS = MAX_NESTING
#: What Json.NET writes at the start of objects, and reads there in a way of its own.
_METADATA = frozenset({"$id", "$type", "$ref", "$values"})

#: The registry's page lacks ':' and ';', which the SDKs accept.
_ID = re.compile(r"[A-Za-z0-9\-.+%_#*?!(),:;=@$']*")
_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")


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


class AuthenticationType(StrEnum):
    SAS = "sas"
    SELF_SIGNED = "selfSigned"
    CERTIFICATE_AUTHORITY = "certificateAuthority"
    NONE = "none"  # for modules alone, and even there the hub makes it sas


class _Broken(NamedTuple):
    """What is wrong with a value; the detail never repeats it."""

    rule: Rule
    detail: str = ""
    #: The value as it is documented, for those that are in another case.
    meant: str = ""


#: Looks at a value that is not null.
_Check = Callable[[Any], _Broken | None]
#: The members of an object by name: a check, the members of the object there, or None for all else.
Members = Mapping[str, "_Check | Members | None"]


def _type(kind: type, detail: str) -> _Check:
    broken = _Broken(Rule.MEMBER_TYPE, detail)
    return lambda value: None if isinstance(value, kind) else broken


_AN_OBJECT = "it has to be an object"
_text = _type(str, "it has to be a text")


def _identifier(length: Rule, characters: Rule) -> _Check:
    def check(value: Any) -> _Broken | None:
        if not isinstance(value, str):
            return _text(value)
        if holds_secret(value):
            return _Broken(Rule.SECRET_MISPLACED)
        if not 1 <= len(value) <= MAX_ID:
            return _Broken(length, f"it has {len(value):,}")
        if _ID.fullmatch(value):
            return None
        return _Broken(characters, describe_outside(value, _ID))

    return check


def _choice(choices: Iterable[str], rule: Rule, others: Mapping[str, str] = {}) -> _Check:
    """A check for one of some values; `others` has hints for what people write instead."""
    values = frozenset(str(choice) for choice in choices)

    def check(value: Any) -> _Broken | None:
        if not isinstance(value, str):
            return _Broken(rule)
        if value in values:
            return None
        if meant := in_documented_case(value, values):
            return _Broken(Rule.VALUE_CASE, meant, meant)
        # For values such as SELF_SIGNED, which differ in signs as well.
        meant = in_documented_case("".join(filter(str.isalnum, value)), [*values, *others])
        hint = others.get(meant or "") or (f"did you mean {meant}?" if meant else "")
        return _Broken(rule, hint)

    return check


def _status_reason(value: Any) -> _Broken | None:
    if isinstance(value, str) and len(value) > MAX_STATUS_REASON:
        return _Broken(Rule.STATUS_REASON_LENGTH, f"it has {len(value):,}")
    return _text(value)


#: Empty counts as absent: exports write both kinds, the unused one empty or null.
def _key(value: Any) -> _Broken | None:
    if not isinstance(value, str) or not value:
        return _text(value)
    try:
        length = len(binascii.a2b_base64(value, strict_mode=True))
    except ValueError:
        return _Broken(Rule.KEY_ENCODING)
    if not MIN_KEY_BYTES <= length <= MAX_KEY_BYTES:
        return _Broken(Rule.KEY_LENGTH, f"it has {length:,}")
    return None


def _thumbprint(value: Any) -> _Broken | None:
    if not isinstance(value, str) or not value or _THUMBPRINT.fullmatch(value):
        return _text(value)
    return _Broken(Rule.THUMBPRINT_INVALID, f"it has {len(value):,} characters")


def is_key(value: object) -> bool:
    """Whether a value is a key that a hub takes."""
    return isinstance(value, str) and bool(value) and _key(value) is None


def is_thumbprint(value: object) -> bool:
    """Whether a value is a thumbprint that a hub takes."""
    return isinstance(value, str) and bool(value) and _thumbprint(value) is None


def _parent_scopes(value: Any) -> _Broken | None:
    if isinstance(value, list):
        count = len(value)
        return _Broken(Rule.PARENT_SCOPES_COUNT, f"it names {count:,}") if count > 1 else None
    return _Broken(Rule.MEMBER_TYPE, "it has to be an array of texts")


def _anything(value: Any) -> _Broken | None:
    if _has_huge_integer(value):
        return _Broken(Rule.JSON_NUMBER, f"an integer of more than {MAX_DIGITS} digits")
    return None


def _document(value: Any) -> _Broken | None:
    """An object with names of the user's own."""
    return _anything(value) if isinstance(value, dict) else _Broken(Rule.MEMBER_TYPE, _AN_OBJECT)


def _has_huge_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_huge_integer, value.values()))
    if isinstance(value, list):
        return any(map(_has_huge_integer, value))
    return isinstance(value, int) and not -_HUGE < value < 10 * _HUGE


MEMBERS: Members = {
    "id": _identifier(Rule.ID_LENGTH, Rule.ID_CHARACTERS),
    "moduleId": _identifier(Rule.MODULE_ID_LENGTH, Rule.MODULE_ID_CHARACTERS),
    "eTag": _text,
    "importMode": _choice(ImportMode, Rule.IMPORT_MODE_INVALID),
    "status": _choice(Status, Rule.STATUS_INVALID),
    "statusReason": _status_reason,
    "authentication": {
        "type": _choice(
            AuthenticationType, Rule.AUTHENTICATION_TYPE_INVALID, OTHER_AUTHENTICATION_TYPES
        ),
        "symmetricKey": {"primaryKey": _key, "secondaryKey": _key},
        "x509Thumbprint": {"primaryThumbprint": _thumbprint, "secondaryThumbprint": _thumbprint},
        "policyResourceId": _text,
        "x509CaValidation": _anything,
    },
    "twinETag": _text,
    "tags": _document,
    "properties": {"desired": _document, "reported": _document},
    "capabilities": {"iotEdge": _type(bool, "it has to be true or false")},
    "deviceScope": _text,
    "parentScopes": _parent_scopes,
    "managedBy": _text,
    # Of hubs that are linked to Azure Device Registry (2026-11-01-preview). The last three belong
    # to the registry and the hub, which write them into exports and ignore them here.
    "attributes": _document,
    "adrDeviceProperties": _document,
    "deviceResourceId": _anything,
    "armSyncStatus": _anything,
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
        if not prefix and any(map(is_dotted, members)):
            members = _unfolded(members, findings)
    for name, value in members.items():
        known = names.get(name)
        if value is None or known is None:
            continue
        if isinstance(known, dict):
            if isinstance(value, dict):
                members[name] = read_members(value, findings, known, f"{prefix}{name}.")
            else:
                findings.append(Finding(f"{prefix}{name}", Rule.MEMBER_TYPE, _AN_OBJECT))
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
        if name not in names and not (prefix == "" and is_dotted(name)):
            field = f"{prefix}{name}"
            match = in_documented_case(name, names)
            if match is None:
                finding = _unknown(name, value, names, prefix)
                if name.lower() == "name" and members.get("id") is not None:
                    finding = finding._replace(detail="values of your own belong in tags")
                add_finding(findings, finding)
                if broken := _anything(value):
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


def is_dotted(name: str) -> bool:
    """Whether a name is the path of a known member within another."""
    return "." in name and len(documented_path(name)) > 1


def documented_path(path: str) -> tuple[str, ...]:
    """The steps of a dotted path in the documented case; empty if it leads to no known member."""
    taken: list[str] = []
    names: Any = MEMBERS
    steps = path.split(".", MAX_STEPS)
    if len(steps) > MAX_STEPS:
        return ()
    for step in steps:
        if names is _document:
            return (*taken, *steps[len(taken) :])
        match = in_documented_case(step, names) if isinstance(names, dict) else None
        if match is None:
            return ()
        taken.append(match)
        names = names[match]
    return tuple(taken)


def _unfolded(members: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """The members of dotted names put where the names lead to, as in the header of a CSV file."""
    dotted = dict.fromkeys(filter(is_dotted, members))
    unfolded = {name: value for name, value in members.items() if name not in dotted}
    for name in dotted:
        *above, last = documented_path(name)
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
