"""Checks of single values. Each returns what is wrong, or None; `members` lists where they apply.

Sources: `ExportImportDevice` of the service REST API (2021-04-12), "Import and export IoT Hub
device identities in bulk" (import modes), "Understand the identity registry" (identifiers).
`shared.device_files.rules` names the source of each rule.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from shared.device_files.characters import describe_outside, describe_unseen, without_unseen
from shared.device_files.lines.damage import holds_secret, is_secret
from shared.device_files.lines.hints import in_documented_case
from shared.device_files.rules import Finding, Rule

__all__ = [
    *("AN_OBJECT", "MAX_ID", "MAX_KEY_BYTES", "MAX_STATUS_REASON", "MIN_KEY_BYTES"),
    *("AuthenticationType", "Check", "ImportMode", "Status", "anything", "as_object", "as_string"),
    *("choice", "document", "identifier", "is_key", "is_thumbprint", "key", "of_type"),
    *("joined_thumbprint", "parent_scopes", "status_reason", "string", "thumbprint"),
]

MAX_ID = 128
MAX_STATUS_REASON = 128
MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64

#: Characters of an integer that Json.NET reads, including the sign.
MAX_DIGITS = 380
_MIN_INTEGER, _MAX_INTEGER = -(10 ** (MAX_DIGITS - 1)), 10**MAX_DIGITS
#: The documentation omits ':' and ';', which the SDKs accept.
_ID = re.compile(r"[A-Za-z0-9\-.+%_#*?!(),:;=@$']*")
_ASCII = re.compile(r"[ -~]*")
_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")
#: Bytes of a thumbprint as tools for certificates show them.
_SEPARATED = re.compile(
    r"[0-9A-F]{2}([ :-])(?:[0-9A-F]{2}\1){18}(?:(?:[0-9A-F]{2}\1){12})?[0-9A-F]{2}", re.IGNORECASE
)
AN_OBJECT = "it must be an object"

#: Checks a value that is not null. A value in the wrong case has its documented form as detail.
Check = Callable[[Any], Finding | None]


class ImportMode(StrEnum):
    """What the hub does with a line; the lines of a file may have different modes."""

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
        """Whether an existing device gets the authentication of the line."""
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
    NONE = "none"  # for modules only, which the hub makes sas


def as_string(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def of_type(kind: type, detail: str) -> Check:
    finding = Finding("", Rule.MEMBER_TYPE, detail)
    return lambda value: None if isinstance(value, kind) else finding


string = of_type(str, "it must be a string")


def identifier(length: Rule, characters: Rule) -> Check:
    def check(value: Any) -> Finding | None:
        if not isinstance(value, str):
            return string(value)
        if holds_secret(value):
            return Finding("", Rule.SECRET_MISPLACED)
        if not 1 <= len(value) <= MAX_ID:
            return Finding("", length, f"it has {len(value):,}")
        if _ID.fullmatch(value):
            return None
        return Finding("", characters, describe_outside(value, _ID))

    return check


def choice(choices: Iterable[str], rule: Rule, hints: Mapping[str, str] = {}) -> Check:
    """Return a check for one of several values; `hints` explains common wrong ones."""
    values = frozenset(map(str, choices))

    def check(value: Any) -> Finding | None:
        if not isinstance(value, str):
            return Finding("", rule)
        if value in values:
            return None
        if documented := in_documented_case(value, values):
            return Finding("", Rule.VALUE_CASE, documented)
        character = describe_unseen(value) or describe_outside(value, _ASCII)
        # SELF_SIGNED differs in punctuation as well.
        letters = "".join(filter(str.isalnum, without_unseen(value)))
        similar = in_documented_case(letters, [*values, *hints])
        hint = hints.get(similar or "") or (f"did you mean {similar}?" if similar else "")
        return Finding("", rule, "; ".join(filter(None, (character, hint))))

    return check


def status_reason(value: Any) -> Finding | None:
    if isinstance(value, str) and is_secret(value):
        return Finding("", Rule.SECRET_MISPLACED)
    if isinstance(value, str) and len(value) > MAX_STATUS_REASON:
        return Finding("", Rule.STATUS_REASON_LENGTH, f"it has {len(value):,}")
    return string(value)


def key(value: Any) -> Finding | None:
    """Check a symmetric key. Empty counts as absent, since exports write unused keys so."""
    if not isinstance(value, str) or not value:
        return string(value)
    try:
        length = len(binascii.a2b_base64(value, strict_mode=True))
    except ValueError:
        return Finding("", Rule.KEY_ENCODING, describe_unseen(value))
    if not MIN_KEY_BYTES <= length <= MAX_KEY_BYTES:
        return Finding("", Rule.KEY_LENGTH, f"it has {length:,}")
    return None


def thumbprint(value: Any) -> Finding | None:
    if not isinstance(value, str) or not value or _THUMBPRINT.fullmatch(value):
        return string(value)
    detail = describe_unseen(value) or f"it has {len(value):,} characters"
    return Finding("", Rule.THUMBPRINT_INVALID, detail)


def joined_thumbprint(text: str) -> str:
    """Return a thumbprint without separators between its bytes; any other text as it is."""
    match = _SEPARATED.fullmatch(text)
    return text.replace(match[1], "") if match else text


def is_key(value: object) -> bool:
    return isinstance(value, str) and bool(value) and key(value) is None


def is_thumbprint(value: object) -> bool:
    return isinstance(value, str) and bool(value) and thumbprint(value) is None


def parent_scopes(value: Any) -> Finding | None:
    if not isinstance(value, list):
        return Finding("", Rule.MEMBER_TYPE, "it must be an array of strings")
    if len(value) > 1:
        return Finding("", Rule.PARENT_SCOPES_COUNT, f"it contains {len(value):,}")
    return None


def anything(value: Any) -> Finding | None:
    if _has_huge_integer(value):
        return Finding("", Rule.JSON_NUMBER, f"an integer of more than {MAX_DIGITS} digits")
    return None


def document(value: Any) -> Finding | None:
    """Check an object with user-defined names."""
    return anything(value) if isinstance(value, dict) else Finding("", Rule.MEMBER_TYPE, AN_OBJECT)


def _has_huge_integer(value: Any) -> bool:
    if isinstance(value, dict):
        value = [*value.values()]
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
