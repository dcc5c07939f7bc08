"""What the value of each member may be by itself.

Sources: the service REST API's ExportImportDevice (2021-04-12), "Import and export IoT Hub device
identities in bulk" for the import modes, "Understand the identity registry" for identifiers.
`shared.device_files.rules` names the source of each rule.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from shared.device_files.characters import describe_outside, describe_unseen, without_unseen
from shared.device_files.lines.damage import holds_secret
from shared.device_files.lines.hints import in_documented_case
from shared.device_files.rules import Rule

__all__ = [
    *("AN_OBJECT", "MAX_ID", "MAX_KEY_BYTES", "MAX_STATUS_REASON", "MIN_KEY_BYTES"),
    *("AuthenticationType", "Broken", "Check", "ImportMode", "Status"),
    *("anything", "choice", "document", "identifier", "key", "of_type", "parent_scopes"),
    *("status_reason", "text_value", "thumbprint"),
]

MAX_ID = 128
MAX_STATUS_REASON = 128
MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64

#: Characters of an integer that Json.NET reads, the sign included.
MAX_DIGITS = 380
_MIN_INTEGER, _MAX_INTEGER = -(10 ** (MAX_DIGITS - 1)), 10**MAX_DIGITS
#: The registry's page lacks ':' and ';', which the SDKs accept.
_ID = re.compile(r"[A-Za-z0-9\-.+%_#*?!(),:;=@$']*")
_ASCII = re.compile(r"[ -~]*")
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


class Broken(NamedTuple):
    """What is wrong with a value; the detail never repeats it."""

    rule: Rule
    detail: str = ""
    #: The value as it is documented, for those that are in another case.
    meant: str = ""


#: Looks at a value that is not null.
Check = Callable[[Any], Broken | None]


def of_type(kind: type, detail: str) -> Check:
    broken = Broken(Rule.MEMBER_TYPE, detail)
    return lambda value: None if isinstance(value, kind) else broken


AN_OBJECT = "it must be an object"
text_value = of_type(str, "it must be a string")


def identifier(length: Rule, characters: Rule) -> Check:
    def check(value: Any) -> Broken | None:
        if not isinstance(value, str):
            return text_value(value)
        if holds_secret(value):
            return Broken(Rule.SECRET_MISPLACED)
        if not 1 <= len(value) <= MAX_ID:
            return Broken(length, f"it has {len(value):,}")
        if _ID.fullmatch(value):
            return None
        return Broken(characters, describe_outside(value, _ID))

    return check


def choice(choices: Iterable[str], rule: Rule, others: Mapping[str, str] = {}) -> Check:
    """A check for one of some values; `others` has hints for what people write instead."""
    values = frozenset(str(choice) for choice in choices)

    def check(value: Any) -> Broken | None:
        if not isinstance(value, str):
            return Broken(rule)
        if value in values:
            return None
        if meant := in_documented_case(value, values):
            return Broken(Rule.VALUE_CASE, meant, meant)
        odd = describe_unseen(value) or describe_outside(value, _ASCII)
        # For values such as SELF_SIGNED, which differ in signs as well.
        letters = "".join(filter(str.isalnum, without_unseen(value)))
        meant = in_documented_case(letters, [*values, *others])
        hint = others.get(meant or "") or (f"did you mean {meant}?" if meant else "")
        return Broken(rule, "; ".join(filter(None, (odd, hint))))

    return check


def status_reason(value: Any) -> Broken | None:
    if isinstance(value, str) and len(value) > MAX_STATUS_REASON:
        return Broken(Rule.STATUS_REASON_LENGTH, f"it has {len(value):,}")
    return text_value(value)


#: Empty counts as absent: exports write both kinds, the unused one empty or null.
def key(value: Any) -> Broken | None:
    if not isinstance(value, str) or not value:
        return text_value(value)
    try:
        length = len(binascii.a2b_base64(value, strict_mode=True))
    except ValueError:
        return Broken(Rule.KEY_ENCODING, describe_unseen(value))
    if not MIN_KEY_BYTES <= length <= MAX_KEY_BYTES:
        return Broken(Rule.KEY_LENGTH, f"it has {length:,}")
    return None


def thumbprint(value: Any) -> Broken | None:
    if not isinstance(value, str) or not value or _THUMBPRINT.fullmatch(value):
        return text_value(value)
    unseen = describe_unseen(value)
    return Broken(Rule.THUMBPRINT_INVALID, unseen or f"it has {len(value):,} characters")


def is_key(value: object) -> bool:
    """Whether a value is a key that a hub takes."""
    return isinstance(value, str) and bool(value) and key(value) is None


def is_thumbprint(value: object) -> bool:
    """Whether a value is a thumbprint that a hub takes."""
    return isinstance(value, str) and bool(value) and thumbprint(value) is None


def parent_scopes(value: Any) -> Broken | None:
    if isinstance(value, list):
        count = len(value)
        return Broken(Rule.PARENT_SCOPES_COUNT, f"it names {count:,}") if count > 1 else None
    return Broken(Rule.MEMBER_TYPE, "it must be an array of strings")


def anything(value: Any) -> Broken | None:
    if _has_huge_integer(value):
        return Broken(Rule.JSON_NUMBER, f"an integer of more than {MAX_DIGITS} digits")
    return None


def document(value: Any) -> Broken | None:
    """An object with names of the user's own."""
    return anything(value) if isinstance(value, dict) else Broken(Rule.MEMBER_TYPE, AN_OBJECT)


def _has_huge_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return _has_huge_integer([*value.values()])
    if isinstance(value, list):
        for item in value:
            kind = item.__class__
            if kind is int:
                if not _MIN_INTEGER < item < _MAX_INTEGER:
                    return True
            elif kind is not str and _has_huge_integer(item):
                return True
        return False
    return isinstance(value, int) and not _MIN_INTEGER < value < _MAX_INTEGER
