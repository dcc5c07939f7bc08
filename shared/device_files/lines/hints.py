"""What people write for the members of a line, and what they mean."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping

from shared.device_files.characters import describe_unseen, without_unseen
from shared.device_files.lines.damage import is_secret
from shared.device_files.rules import Finding, Rule

__all__ = [
    *("A_COLUMN", "MEANS_ID", "OTHER_AUTHENTICATION_TYPES"),
    *("column_renames", "in_documented_case", "is_foreign_column", "unknown_member"),
]

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
    "modelid": "tags.modelId",
    "mode": "importMode",
    "operation": "importMode",
    "state": "status",
    "auth": "authentication",
    "authenticationtype": "authentication.type",
    "authtype": "authentication.type",
    "authenticationmethod": "authentication.type",
    "authmethod": "authentication.type",
    "certificateauthority": "authentication.type",
    "selfsigned": "authentication.type",
    "key": "authentication.symmetricKey.primaryKey",
    "devicekey": "authentication.symmetricKey.primaryKey",
    "primary": "authentication.symmetricKey.primaryKey",
    "primarydevicekey": "authentication.symmetricKey.primaryKey",
    "saskey": "authentication.symmetricKey.primaryKey",
    "sharedaccesskey": "authentication.symmetricKey.primaryKey",
    "accesskey": "authentication.symmetricKey.primaryKey",
    "secondary": "authentication.symmetricKey.secondaryKey",
    "secondarydevicekey": "authentication.symmetricKey.secondaryKey",
    "connectionstring": "authentication.symmetricKey",
    "deviceconnectionstring": "authentication.symmetricKey",
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
    "capabilitiesiotedge": "capabilities.iotEdge",
    "scope": "deviceScope",
    "parentscope": "parentScopes",
}

_SAS, _SELF_SIGNED, _AUTHORITY = (
    f"did you mean {kind}?" for kind in ("sas", "selfSigned", "certificateAuthority")
)
#: What people write for a type of authentication, without signs: options of `az iot hub
#: device-identity create --auth-method` among them.
OTHER_AUTHENTICATION_TYPES = {
    "sharedPrivateKey": _SAS,
    "symmetricKey": _SAS,
    "sharedAccessKey": _SAS,
    "key": _SAS,
    "x509Thumbprint": _SELF_SIGNED,
    "thumbprint": _SELF_SIGNED,
    "x509": "did you mean selfSigned (with thumbprints) or certificateAuthority?",
    "certificate": "did you mean selfSigned (with thumbprints) or certificateAuthority?",
    "x509Ca": _AUTHORITY,
    "x509CertificateAuthority": _AUTHORITY,
    "ca": _AUTHORITY,
    "tpm": "hubs know TPM devices by their symmetric keys only: did you mean sas?",
}

#: Stands for the values of a column, which may all be credentials.
A_COLUMN = object()
_CREDENTIALS = ("authentication.symmetricKey", "authentication.x509Thumbprint")
_CREDENTIAL_PATHS = (
    "symmetricKey.primaryKey",
    "symmetricKey.secondaryKey",
    "x509Thumbprint.primaryThumbprint",
    "x509Thumbprint.secondaryThumbprint",
)
#: Base64 in any alphabet, and hexadecimal digits with or without separators.
_CREDENTIAL = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}|(?:[0-9A-Fa-f]{2}[ :-]?){20,}")
#: Columns of IoT Central's export, and the members that they are for.
_IOT_CENTRAL = {
    "IOTC_DEVICEID": "id",
    "IOTC_DEVICENAME": "tags.name",
    "IOTC_SASKEY_PRIMARY": "authentication.symmetricKey.primaryKey",
    "IOTC_SASKEY_SECONDARY": "authentication.symmetricKey.secondaryKey",
    "IOTC_X509THUMBPRINT_PRIMARY": "authentication.x509Thumbprint.primaryThumbprint",
    "IOTC_X509THUMBPRINT_SECONDARY": "authentication.x509Thumbprint.secondaryThumbprint",
}
#: How columns begin in files of IoT Hub Portal, and how here.
_PORTAL = {"TAG:": "tags.", "PROPERTY:": "properties.desired."}
#: Paths into objects of the user's own, with other separators than dots.
_SEPARATOR = r"(?:[./\\_-]|->|\[['\"]?|['\"]?\])"
_PATH = re.compile(
    rf"(?:(?P<tags>tags?)|(?P<attributes>attributes)|(?:properties{_SEPARATOR}+)?desired)"
    rf"{_SEPARATOR}+(?P<rest>[^\W_].*?){_SEPARATOR}*",
    re.IGNORECASE,
)
#: Between the steps of such paths; the others are parts of names as well.
_BETWEEN_STEPS = re.compile(r"(?:[./\\]|__|->|['\"]?\]|\[['\"]?)+")

#: The hint that the id may be meant; a line or header that has one replaces it.
MEANS_ID = "did you mean id?"

#: Characters of a name that may be a slip of the pen.
_LONGEST_SLIP = 64


def in_documented_case(name: str, names: Iterable[str]) -> str | None:
    """The one of the names that differs in case alone."""
    lower = name.lower()
    return next((known for known in names if known.lower() == lower), None)


def unknown_member(
    name: str, names: Mapping[str, object], prefix: str, value: object = None
) -> Finding:
    """What to report of a member whose name is unknown.

    Args:
        names: those that are known in its object.
        prefix: what the paths of its object's members begin with.
        value: what the member holds, or `A_COLUMN`.
    """
    if is_secret(name):
        return Finding(prefix.rstrip("."), Rule.SECRET_MISPLACED, "as the name of a property")
    field, unseen = f"{prefix}{name}", describe_unseen(name)
    name = without_unseen(name) if unseen else name
    if not prefix and in_documented_case(name, _OF_THE_HUB):
        return Finding(field, Rule.MEMBER_OF_THE_HUB)
    meant = _meant(name, prefix, tuple(names))
    is_named = meant.startswith(_CREDENTIALS)
    # A column "key" may be that of a row.
    if (is_named and _key(name) != "key") if value is A_COLUMN else _holds(value, is_named):
        where = meant if is_named else _CREDENTIALS[0]
        return Finding(field, Rule.CREDENTIALS_MISPLACED, f"they belong in {where}")
    hint = f"did you mean {meant}?" if meant else ""
    return Finding(field, Rule.MEMBER_UNKNOWN, "; ".join(filter(None, (unseen, hint))))


def _holds(value: object, is_named: bool) -> bool:
    """Whether there are credentials in a value: secrets, or what has the name of credentials."""
    if isinstance(value, dict):
        return any(
            _holds(item, is_named or _MEANT.get(_key(name), "").startswith(_CREDENTIALS))
            for name, item in value.items()
        )
    if isinstance(value, list):
        return any(_holds(item, is_named) for item in value)
    if not isinstance(value, str):
        return False
    return is_secret(value) or (is_named and _CREDENTIAL.fullmatch(value) is not None)


def is_foreign_column(name: str) -> bool:
    """Whether a column is one of IoT Central's or of IoT Hub Portal's."""
    return name.upper().startswith(("IOTC_", *_PORTAL))


def column_renames(names: Iterable[str]) -> str:
    """What to rename among the columns of other products; repeats no other name."""
    upper = [name.upper() for name in names]
    pairs = [f"{name} to {member}" for name, member in _IOT_CENTRAL.items() if name in upper]
    pairs += [
        f"{start}<name> to {member}<name>"
        for start, member in _PORTAL.items()
        if any(name.startswith(start) for name in upper)
    ]
    if pairs:
        return f"rename {', '.join(pairs)}"
    means_id = any(_MEANT.get(_key(name)) == "id" for name in upper)
    return "deviceId and the like are called id" if means_id else ""


def _key(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _without_root(key: str) -> str:
    return key.removeprefix("authentication").removeprefix("auth")


#: Paths of credentials with other separators, whole or without their first step.
_MEANT |= {
    _key(f"{start}.{path}"): f"authentication.{path}"
    for start in ("authentication", "")
    for path in _CREDENTIAL_PATHS
}


@functools.lru_cache(256)
def _meant(name: str, prefix: str, names: tuple[str, ...]) -> str:
    """Names repeat from line to line, and looking for a similar one takes long."""
    if len(name) > _LONGEST_SLIP:
        return ""
    for foreign, member in (*_IOT_CENTRAL.items(), *_PORTAL.items()):
        if name.upper() == foreign or (foreign in _PORTAL and name.upper().startswith(foreign)):
            return f"{member}<name>" if foreign in _PORTAL else member
    key = _key(name)
    if not prefix and (path := _path(name)):
        return _MEANT.get(key) or path
    if "model" in key:  # which is no module
        return _MEANT.get(key, "")
    known = [f"{prefix}{known}" for known in names]
    similar = difflib.get_close_matches(f"{prefix}{name}", known, n=1, cutoff=0.75)
    meant = _MEANT.get(key) or _MEANT.get(_without_root(key)) or "".join(similar)
    if prefix == "properties." and not meant and name.isidentifier():
        return f"properties.desired.{name}"
    return meant


def _path(name: str) -> str:
    """The dotted path that a name stands for; "" if it is no path to a property of the user's."""
    match = _PATH.fullmatch(name)
    if not match:
        return ""
    section = "tags" if match["tags"] else "attributes" if match["attributes"] else ""
    steps = _BETWEEN_STEPS.split(match["rest"])
    return ".".join([section or "properties.desired", *filter(None, steps)])
