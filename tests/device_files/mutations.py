"""Single mistakes in valid device lines, at least one for each rule of properties and twins."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from shared.device_files.rules import Rule
from tests.device_files.strategies import SCOPE
from tests.device_files.support import KEY, keys, nested

ABSENT = object()
CONNECTION_STRING = f"HostName=h.azure-devices.net;DeviceId=p1;SharedAccessKey={KEY}"
SHA1, SHA256 = "0123456789abcdefABCD" * 2, "0123456789abcdef" * 4


class Breaking(NamedTuple):
    """Changes to a line, and the expected error."""

    #: By dotted path; missing objects are created.
    changes: dict[str, Any]
    field: str
    rule: Rule
    #: Whether a CSV file can contain the same mistake, with the same error.
    in_csv: bool = True

    def __repr__(self) -> str:
        return f"<{self.field} {self.rule.code}>"

    def of(self, device: dict[str, Any]) -> dict[str, Any]:
        broken = copy.deepcopy(device)
        for path, value in self.changes.items():
            _put(broken, path, value)
        return broken


def _put(members: dict[str, Any], path: str, value: Any) -> None:
    *above, name = path.split(".")
    for step in above:
        if not isinstance(members.get(step), dict):
            members[step] = {}
        members = members[step]
    if value is ABSENT:
        members.pop(name, None)
    else:
        members[name] = copy.deepcopy(value)


def _one(field: str, value: Any, rule: Rule) -> Breaking:
    return Breaking({field: value}, field, rule)


def _mode(mode: str, field: str, rule: Rule, **members: Any) -> Breaking:
    return Breaking({"importMode": mode, **members}, field, rule)


def _authentication(field: str, value: Any, rule: Rule) -> Breaking:
    return Breaking({"authentication": value}, f"authentication{field and '.'}{field}", rule)


def _x509(primary: Any, secondary: Any = None, kind: Any = "selfSigned") -> dict[str, Any]:
    prints = {"primaryThumbprint": primary, "secondaryThumbprint": secondary}
    return {"type": kind, "x509Thumbprint": prints}


def _twin(value: dict[str, Any], field: str, rule: Rule) -> list[Breaking]:
    """The same in both sections."""
    return [
        Breaking({section: value}, f"{section}{field and '.'}{field}", rule)
        for section in ("tags", "properties.desired")
    ]


_KEYS, _PRINTS = "symmetricKey", "x509Thumbprint"

BREAKINGS: list[Breaking] = [
    # Identifiers
    _one("id", ABSENT, Rule.ID_MISSING),
    _one("id", None, Rule.ID_MISSING),
    _one("id", "", Rule.ID_LENGTH),
    _one("id", "x" * 129, Rule.ID_LENGTH),
    _one("id", "pump 1", Rule.ID_CHARACTERS),
    _one("id", "pump-1\n", Rule.ID_CHARACTERS),
    _one("id", "pump/ä", Rule.ID_CHARACTERS),
    _one("id", 7, Rule.MEMBER_TYPE),
    _one("moduleId", "", Rule.MODULE_ID_LENGTH),
    _one("moduleId", "x" * 129, Rule.MODULE_ID_LENGTH),
    _one("moduleId", "a/b", Rule.MODULE_ID_CHARACTERS),
    _one("moduleId", "$another", Rule.MODULE_ID_RESERVED),
    _one("id", KEY, Rule.SECRET_MISPLACED),
    _one("moduleId", CONNECTION_STRING, Rule.SECRET_MISPLACED),
    _one("moduleId", True, Rule.MEMBER_TYPE),
    # Status and mode
    _one("status", ABSENT, Rule.STATUS_MISSING),
    _one("status", None, Rule.STATUS_MISSING),
    _one("status", "on", Rule.STATUS_INVALID),
    _one("status", 1, Rule.STATUS_INVALID),
    _one("statusReason", "x" * 129, Rule.STATUS_REASON_LENGTH),
    _one("statusReason", [], Rule.MEMBER_TYPE),
    _one("importMode", "upsert", Rule.IMPORT_MODE_INVALID),
    _one("importMode", 0, Rule.IMPORT_MODE_INVALID),
    _mode("updateIfMatchETag", "eTag", Rule.ETAG_MISSING, eTag=ABSENT),
    _mode("createOrUpdateIfMatchETag", "eTag", Rule.ETAG_MISSING, eTag=None),
    _mode("deleteIfMatchETag", "eTag", Rule.ETAG_MISSING, eTag=""),
    _mode("updateTwinIfMatchETag", "twinETag", Rule.TWIN_ETAG_MISSING, tags={}, twinETag=ABSENT),
    _mode("updateTwin", "tags", Rule.TWIN_MISSING, tags=ABSENT, properties=ABSENT),
    _mode("updateTwin", "tags", Rule.TWIN_MISSING, tags=None, properties={"desired": None}),
    _one("eTag", 1, Rule.MEMBER_TYPE),
    _one("twinETag", {}, Rule.MEMBER_TYPE),
    # Authentication
    _authentication("", [], Rule.MEMBER_TYPE),
    _authentication("type", {"type": "SELF_SIGNED"}, Rule.AUTHENTICATION_TYPE_INVALID),
    _authentication("type", {"type": 1}, Rule.AUTHENTICATION_TYPE_INVALID),
    Breaking(
        # An id that no other line has: the line may have been a module.
        {"id": "the-broken-one", "moduleId": ABSENT, "authentication": {"type": "none"}},
        "authentication.type",
        Rule.AUTHENTICATION_TYPE_NONE,
    ),
    _authentication("", {**_x509(SHA1), **keys()}, Rule.AUTHENTICATION_CONFLICT),
    _authentication("type", {**keys(), "type": "selfSigned"}, Rule.AUTHENTICATION_CONFLICT),
    _authentication("type", _x509(SHA256, kind="sas"), Rule.AUTHENTICATION_CONFLICT),
    _authentication(
        "type", _x509(SHA256, kind="certificateAuthority"), Rule.AUTHENTICATION_CONFLICT
    ),
    _authentication(_KEYS, {_KEYS: KEY}, Rule.MEMBER_TYPE),
    _authentication(f"{_KEYS}.primaryKey", keys(7), Rule.MEMBER_TYPE),
    _authentication(f"{_KEYS}.primaryKey", keys(None), Rule.KEY_MISSING),
    _authentication(f"{_KEYS}.secondaryKey", keys(KEY, ""), Rule.KEY_MISSING),
    _authentication(f"{_KEYS}.primaryKey", keys("A" * 20), Rule.KEY_LENGTH),
    _authentication(f"{_KEYS}.secondaryKey", keys(KEY, "A" * 88), Rule.KEY_LENGTH),
    _authentication(f"{_KEYS}.primaryKey", keys(KEY[:-1]), Rule.KEY_ENCODING),
    _authentication(f"{_KEYS}.secondaryKey", keys(KEY, "ä" * 44), Rule.KEY_ENCODING),
    _authentication(f"{_KEYS}.secondaryKey", keys(KEY, f" {KEY}"), Rule.KEY_ENCODING),
    _authentication(_PRINTS, {_PRINTS: SHA1}, Rule.MEMBER_TYPE),
    _authentication(f"{_PRINTS}.primaryThumbprint", _x509(SHA1[1:]), Rule.THUMBPRINT_INVALID),
    _authentication(
        f"{_PRINTS}.secondaryThumbprint", _x509(SHA1, "g" * 40), Rule.THUMBPRINT_INVALID
    ),
    _authentication(f"{_PRINTS}.secondaryThumbprint", _x509(SHA1, SHA256), Rule.THUMBPRINT_LENGTHS),
    _authentication(
        f"{_PRINTS}.primaryThumbprint", _x509("", SHA1), Rule.THUMBPRINT_PRIMARY_MISSING
    ),
    Breaking(
        {"authentication.primaryKey": KEY, "importMode": "create"},
        "authentication.primaryKey",
        Rule.CREDENTIALS_MISPLACED,
        in_csv=False,
    ),
    Breaking(
        {"thumbprint": SHA1, "importMode": None},
        "thumbprint",
        Rule.CREDENTIALS_MISPLACED,
        in_csv=False,
    ),
    Breaking(
        {"connection": CONNECTION_STRING, "importMode": "createOrUpdate"},
        "connection",
        Rule.CREDENTIALS_MISPLACED,
        in_csv=False,
    ),
    # Edge
    _one("capabilities", True, Rule.MEMBER_TYPE),
    _one("capabilities.iotEdge", "true", Rule.MEMBER_TYPE),
    _one("deviceScope", 1.5, Rule.MEMBER_TYPE),
    _one("parentScopes", SCOPE, Rule.MEMBER_TYPE),
    _one("parentScopes", [SCOPE, SCOPE], Rule.PARENT_SCOPES_COUNT),
    Breaking({"parentScopes": [7]}, "parentScopes.0", Rule.MEMBER_TYPE),
    # Twins
    _one("tags", [], Rule.MEMBER_TYPE),
    Breaking({"tags": {}, "properties": []}, "properties", Rule.MEMBER_TYPE),
    _one("properties.desired", [], Rule.MEMBER_TYPE),
    _one("properties.reported", 7, Rule.MEMBER_TYPE),
    *_twin({"a.b": 1}, "a.b", Rule.TWIN_KEY_CHARACTERS),
    *_twin({"a": [{"$b": 1}]}, "a.0.$b", Rule.TWIN_KEY_CHARACTERS),
    *_twin({"a\x85": 1}, "a\x85", Rule.TWIN_KEY_CHARACTERS),
    *_twin({"k" * 1025: 1}, "", Rule.TWIN_KEY_LENGTH),
    *_twin({"a": {"ä" * 513: 1}}, "a", Rule.TWIN_KEY_LENGTH),
    *_twin({"a": "v" * 4097}, "a", Rule.TWIN_VALUE_LENGTH),
    *_twin({"a": ["\U0001f600" * 1025]}, "a.0", Rule.TWIN_VALUE_LENGTH),
    *_twin({"a": 2**52}, "a", Rule.TWIN_INTEGER_RANGE),
    *_twin({"a": {"b": -(2**52) - 1}}, "a.b", Rule.TWIN_INTEGER_RANGE),
    *_twin({"a": [1, None]}, "a.1", Rule.TWIN_NULL_IN_ARRAY),
    *_twin({"b": nested(10, {})}, "b" + ".a" * 10, Rule.TWIN_DEPTH),
    _one("tags", {str(n): "v" * 2048 for n in range(4)}, Rule.TWIN_TAGS_SIZE),
    _one("properties.desired", {str(n): "v" * 4096 for n in range(8)}, Rule.TWIN_DESIRED_SIZE),
    _one("tags.a", KEY, Rule.SECRET_MISPLACED),
    Breaking({"tags": {"a": [CONNECTION_STRING]}}, "tags.a.0", Rule.SECRET_MISPLACED),
    *_twin({KEY: 1}, "", Rule.SECRET_MISPLACED),
    # Json.NET deviations
    Breaking({"$ref": "1"}, "$ref", Rule.JSON_METADATA, in_csv=False),
    Breaking({"properties.$values": []}, "properties.$values", Rule.JSON_METADATA, in_csv=False),
    Breaking({"capabilities.$id": 1}, "capabilities.$id", Rule.JSON_METADATA, in_csv=False),
    _one("managedBy", [], Rule.MEMBER_TYPE),
    _one("attributes", [], Rule.MEMBER_TYPE),
    Breaking({"attributes": {"a": 10**400}}, "attributes", Rule.JSON_NUMBER, in_csv=False),
    Breaking({"surprise": [10**400]}, "surprise", Rule.JSON_NUMBER, in_csv=False),
    # JSON with duplicate or invalid properties
    Breaking({"STATUS": "enabled"}, "STATUS", Rule.JSON_DUPLICATE_MEMBER, in_csv=False),
    Breaking({"tags": {"a": float("inf")}}, "tags.a", Rule.JSON_NUMBER, in_csv=False),
    Breaking({"tags": {"a": ["\ud800"]}}, "tags.a.0", Rule.JSON_SURROGATE, in_csv=False),
]

#: Errors of a whole file, of a line's text, or of two lines.
NOT_OF_MEMBERS = frozenset(
    rule
    for rule in Rule
    if rule.name.startswith(("FILE_", "MAPPING_", "LINE_", "ARRAY_", "CSV_"))
    or rule
    in (
        Rule.ID_DUPLICATE,
        Rule.JSON_COMMENT,
        Rule.JSON_INVALID,
        Rule.JSON_NESTING,
        Rule.JSON_NOT_AN_OBJECT,
        Rule.JSON_PRETTY_PRINTED,
        Rule.JSON_TRAILING_DATA,
        Rule.TOO_MANY_DELETES,
    )
)
