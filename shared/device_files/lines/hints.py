"""Unknown properties and columns, and which known property each probably means."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping

from shared.device_files.characters import describe_unseen, without_unseen
from shared.device_files.lines.damage import is_secret
from shared.device_files.rules import Finding, Rule

__all__ = [
    *("AUTHENTICATION_TYPE_HINTS", "A_COLUMN", "MEANS_ID", "column_renames"),
    *("in_documented_case", "is_foreign_column", "meant_property", "unknown_member"),
]

_OF_THE_HUB = (
    *("cloudToDeviceMessageCount", "connectionState", "connectionStateUpdatedTime"),
    *("generationId", "lastActivityTime", "statusUpdatedTime"),
)

_KEYS, _THUMBPRINTS = "authentication.symmetricKey", "authentication.x509Thumbprint"
_CREDENTIALS = (_KEYS, _THUMBPRINTS)
_CREDENTIAL_PATHS = (
    *("symmetricKey.primaryKey", "symmetricKey.secondaryKey"),
    *("x509Thumbprint.primaryThumbprint", "x509Thumbprint.secondaryThumbprint"),
)
#: Common names of each property, in lower case and without punctuation.
_SYNONYMS = {
    "id": "deviceid name",
    "moduleId": "module modulename",
    "eTag": "deviceetag",
    "tags.modelId": "modelid",
    "importMode": "mode operation",
    "status": "state",
    "authentication": "auth",
    "authentication.type": (
        "authenticationtype authtype authenticationmethod authmethod "
        "certificateauthority selfsigned"
    ),
    f"{_KEYS}.primaryKey": (
        "key devicekey primary primarykey primarydevicekey saskey sharedaccesskey accesskey"
    ),
    f"{_KEYS}.secondaryKey": "secondary secondarykey secondarydevicekey",
    _KEYS: "connectionstring deviceconnectionstring symmetrickey symmetrickeys",
    f"{_THUMBPRINTS}.primaryThumbprint": "thumbprint primarythumbprint",
    f"{_THUMBPRINTS}.secondaryThumbprint": "secondarythumbprint",
    _THUMBPRINTS: "thumbprints x509 x509thumbprint x509thumbprints",
    "tags": "tag",
    "properties.desired": "desired desiredproperties",
    "properties.reported": "reported",
    "tags and properties.desired": "twin",
    "capabilities.iotEdge": "edge iotedge edgeenabled capabilitiesiotedge",
    "deviceScope": "scope",
    "parentScopes": "parentscope",
}

_X509 = "did you mean selfSigned (with thumbprints) or certificateAuthority?"
#: For common wrong values of authentication.type, compared without case and punctuation. Options of
#: `az iot hub device-identity create --auth-method` are among them.
AUTHENTICATION_TYPE_HINTS = {
    **dict.fromkeys(
        ("sharedPrivateKey", "symmetricKey", "sharedAccessKey", "key"), "did you mean sas?"
    ),
    **dict.fromkeys(("x509Thumbprint", "thumbprint"), "did you mean selfSigned?"),
    **dict.fromkeys(("x509", "certificate"), _X509),
    **dict.fromkeys(
        ("x509Ca", "x509CertificateAuthority", "ca"), "did you mean certificateAuthority?"
    ),
    "tpm": "hubs store TPM devices with symmetric keys; did you mean sas?",
}

#: Stands for the values of a column, any of which may be credentials.
A_COLUMN = object()
#: Base64 in any alphabet, and hexadecimal digits with or without separators.
_CREDENTIAL = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}|(?:[0-9A-Fa-f]{2}[ :-]?){20,}")
#: Columns of an IoT Central export.
_IOT_CENTRAL = {
    "IOTC_DEVICEID": "id",
    "IOTC_DEVICENAME": "tags.name",
    "IOTC_SASKEY_PRIMARY": f"{_KEYS}.primaryKey",
    "IOTC_SASKEY_SECONDARY": f"{_KEYS}.secondaryKey",
    "IOTC_X509THUMBPRINT_PRIMARY": f"{_THUMBPRINTS}.primaryThumbprint",
    "IOTC_X509THUMBPRINT_SECONDARY": f"{_THUMBPRINTS}.secondaryThumbprint",
}
#: Prefixes of columns in files of IoT Hub Portal, and those to use here.
_PORTAL = {"TAG:": "tags.", "PROPERTY:": "properties.desired."}
#: Paths to user-defined properties, with other separators than dots.
_SEPARATOR = r"(?:[./\\_-]|->|\[['\"]?|['\"]?\])"
_PATH = re.compile(
    rf"(?:(?P<tags>tags?)|(?P<attributes>attributes)|(?:properties{_SEPARATOR}+)?desired)"
    rf"{_SEPARATOR}+(?P<rest>[^\W_].*?){_SEPARATOR}*",
    re.IGNORECASE,
)
#: Separators between the steps of such paths; the others may be part of a name.
_BETWEEN_STEPS = re.compile(r"(?:[./\\]|__|->|['\"]?\]|\[['\"]?)+")

#: What names of thumbprints may contain besides.
_OF_THUMBPRINTS = re.compile("sha1|sha256|x509|certificate|cert|device|client")

#: Callers replace this hint where the line or header has an id.
MEANS_ID = "did you mean id?"
#: Longer names are not misspelled names of properties.
_MAX_MISSPELLED = 64


def in_documented_case(name: str, names: Iterable[str]) -> str | None:
    """Return the one of the names that differs in case at most."""
    lower = name.lower()
    return next((known for known in names if known.lower() == lower), None)


def unknown_member(
    name: str, names: Mapping[str, object], prefix: str, value: object = None
) -> Finding:
    """Describe a property whose name is unknown.

    Args:
        names: the known names in its object.
        prefix: what the paths of the properties of its object begin with.
        value: its value, or `A_COLUMN`.
    """
    if is_secret(name):
        return Finding(prefix.rstrip("."), Rule.SECRET_MISPLACED, "as a property name")
    field, unseen = f"{prefix}{name}", describe_unseen(name)
    name = without_unseen(name) if unseen else name
    if not prefix and in_documented_case(name, _OF_THE_HUB):
        return Finding(field, Rule.MEMBER_OF_THE_HUB)
    similar = _similar(name, prefix, tuple(names))
    is_credential = similar.startswith(_CREDENTIALS)
    # A column "key" may be the key of a row.
    if (
        (is_credential and _letters(name) != "key")
        if value is A_COLUMN
        else _holds_credentials(value, is_credential)
    ):
        target = similar if is_credential else _KEYS
        return Finding(field, Rule.CREDENTIALS_MISPLACED, f"they belong in {target}")
    hint = f"did you mean {similar}?" if similar else ""
    return Finding(field, Rule.MEMBER_UNKNOWN, "; ".join(filter(None, (unseen, hint))))


def _holds_credentials(value: object, is_credential: bool) -> bool:
    """Whether a value contains secrets, or strings like keys under the name of a credential."""
    if isinstance(value, dict):
        return any(
            _holds_credentials(
                item, is_credential or _MEANT.get(_letters(name), "").startswith(_CREDENTIALS)
            )
            for name, item in value.items()
        )
    if isinstance(value, list):
        return any(_holds_credentials(item, is_credential) for item in value)
    if not isinstance(value, str):
        return False
    return is_secret(value) or (is_credential and _CREDENTIAL.fullmatch(value) is not None)


def is_foreign_column(name: str) -> bool:
    """Whether a column is one of IoT Central or IoT Hub Portal."""
    return name.upper().startswith(("IOTC_", *_PORTAL))


def column_renames(names: Iterable[str]) -> str:
    """Describe what to rename among columns of other products, without repeating other names."""
    upper = [name.upper() for name in names]
    pairs = [f"{name} to {member}" for name, member in _IOT_CENTRAL.items() if name in upper]
    pairs += [
        f"{start}<name> to {member}<name>"
        for start, member in _PORTAL.items()
        if any(name.startswith(start) for name in upper)
    ]
    if pairs:
        return f"rename {', '.join(pairs)}"
    has_other_id = any(_MEANT.get(_letters(name)) == "id" for name in upper)
    return "rename the column of the device id to id" if has_other_id else ""


def meant_property(name: str) -> str:
    """Return the property that a name is a common one for; "" if it is unknown."""
    return _meant(_letters(name))


def _meant(letters: str) -> str:
    """Return the property for a name without punctuation, such as `thumbprintsha1`."""
    if exact := _MEANT.get(letters):
        return exact
    similar = _MEANT.get(_OF_THUMBPRINTS.sub("", letters), "")
    return similar if similar.startswith(f"{_THUMBPRINTS}.") else ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


_MEANT = {name: member for member, names in _SYNONYMS.items() for name in names.split()}
#: Paths of credentials with other separators, whole or without their first step.
_MEANT |= {
    _letters(f"{start}.{path}"): f"authentication.{path}"
    for start in ("authentication", "")
    for path in _CREDENTIAL_PATHS
}


@functools.lru_cache(256)
def _similar(name: str, prefix: str, names: tuple[str, ...]) -> str:
    """Return the property that a name probably means. Cached: it is slow, and names repeat."""
    if len(name) > _MAX_MISSPELLED:
        return ""
    upper = name.upper()
    if upper in _IOT_CENTRAL:
        return _IOT_CENTRAL[upper]
    for start, member in _PORTAL.items():
        if upper.startswith(start):
            return f"{member}<name>"
    letters = _letters(name)
    if not prefix and (path := _path(name)):
        return _MEANT.get(letters) or path
    if "model" in letters:  # not similar to module
        return _MEANT.get(letters, "")
    known = [f"{prefix}{known}" for known in names]
    close = difflib.get_close_matches(f"{prefix}{name}", known, n=1, cutoff=0.75)
    without_root = letters.removeprefix("authentication").removeprefix("auth")
    member = _meant(letters) or _meant(without_root) or "".join(close)
    if prefix == "properties." and not member and name.isidentifier():
        return f"properties.desired.{name}"
    return member


def _path(name: str) -> str:
    """Return the dotted path of a user-defined property, "" if the name is no such path."""
    match = _PATH.fullmatch(name)
    if not match:
        return ""
    section = "tags" if match["tags"] else "attributes" if match["attributes"] else ""
    steps = _BETWEEN_STEPS.split(match["rest"])
    return ".".join([section or "properties.desired", *filter(None, steps)])
