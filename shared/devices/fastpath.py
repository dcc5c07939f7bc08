"""The common good line, accepted fast.

Most lines break no rule. The types below declare what such a line may hold; msgspec decodes lines
into them, and a line that fits is good. Every other line goes to `shared.devices.record`, which
holds it to the rules. So these types may be narrower than the rules, never wider:
`tests/devices/test_fastpath.py` compares the two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shared.devices.damage import DAMAGED, DAMAGED_ID, DAMAGED_STARTS
from shared.devices.members import (
    MAX_ID,
    MAX_KEY_BYTES,
    MAX_STATUS_REASON,
    MIN_KEY_BYTES,
    AuthenticationType,
    ImportMode,
)
from shared.devices.strictjson import Finding, encode, keeps_all
from shared.devices.twin import MAX_INTEGER, MIN_INTEGER, TAGS_BYTES, check_twin, is_good_name

__all__ = ["BLOCK_LINES", "FastPath", "GoodLine", "kinds"]

#: Lines that are decoded together. So few stay in the processor's cache.
BLOCK_LINES = 64
#: Levels and names of twins that are typed: making a decoder takes longer the more there are.
_MAX_DEPTH = 4
_MAX_NAMES = 400
#: The hub counts 8 bytes for a number, which takes two in a line. So no section of a line of at
#: most this length is too large.
_SURE_BYTES = TAGS_BYTES // 4
#: The hub's own bookkeeping in twins; `check_twin` knows where it may stand.
_OF_THE_HUB = frozenset({"$metadata", "$version", "$lastUpdated", "$lastUpdatedVersion"})
#: Ids that end with a line end each.
_IDS = re.compile(rf"(?:(?!(?:{DAMAGED_ID})\n)[A-Za-z0-9\-._%*?!(),@$']++\n)*+")
#: A damaged string in JSON. Most strings fail by their first character.
_DAMAGED = rf'"(?=[{DAMAGED_STARTS}])(?:{DAMAGED})"'
_DAMAGED_VALUE = re.compile(f":{_DAMAGED}".encode())
#: In an array of scalars, the quote that remains after all strings that are not damaged.
_DAMAGED_ITEM = re.compile(rf'\[(?:[^]["]++|(?!{_DAMAGED})"(?:[^"\\]++|\\.)*+")*+"'.encode())
#: One, or two of the same length.
_THUMBPRINTS = re.compile(r"(?:[0-9A-Fa-f]{40}){1,2}|(?:[0-9A-Fa-f]{64}){1,2}")

#: Of names of the hub's own, and of secrets (`damage.is_secret`).
_SIGNS = (b"$", b";", b"&")

_Integer = Annotated[int, Meta(ge=MIN_INTEGER, le=MAX_INTEGER)]
_Scalar = str | _Integer | float | bool
#: The shortest key that `damage.is_secret` knows has 44 characters.
_TagScalar = Annotated[str, Meta(max_length=43)] | _Integer | float | bool
_Key = Annotated[bytes, Meta(min_length=MIN_KEY_BYTES, max_length=MAX_KEY_BYTES)]
_Thumbprint = Annotated[str, Meta(max_length=64)]
_Scope = Annotated[str, Meta(pattern=r"^ms-azure-iot-edge://[A-Za-z0-9._-]+-[0-9]+\Z")]
_Absent = None | UnsetType
#: As exports write what does not apply.
_Empty = Literal[""] | _Absent


class _Part(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """An object. Absent members are UNSET, so that it is encoded as it was written."""


class _Keys(_Part):
    primary_key: _Key
    secondary_key: _Key


class _NoKeys(_Part):
    primary_key: _Empty = UNSET
    secondary_key: _Empty = UNSET


class _Thumbprints(_Part):
    primary_thumbprint: _Thumbprint
    secondary_thumbprint: _Thumbprint | Literal[""] | UnsetType | None = UNSET


class _NoThumbprints(_Part):
    primary_thumbprint: _Empty = UNSET
    secondary_thumbprint: _Empty = UNSET


class _Authentication(_Part, tag_field="type"):
    policy_resource_id: str | _Absent = UNSET
    x509_ca_validation: dict[str, str | bool | None] | str | bool | _Absent = UNSET


class _Sas(_Authentication, kw_only=True, tag=AuthenticationType.SAS.value):
    symmetric_key: _Keys
    x509_thumbprint: _NoThumbprints | UnsetType | None = UNSET


class _SelfSigned(_Authentication, kw_only=True, tag=AuthenticationType.SELF_SIGNED.value):
    x509_thumbprint: _Thumbprints
    symmetric_key: _NoKeys | UnsetType | None = UNSET


class _ByAuthority(_Authentication, tag=AuthenticationType.CERTIFICATE_AUTHORITY.value):
    x509_thumbprint: _NoThumbprints | UnsetType | None = UNSET
    symmetric_key: _NoKeys | UnsetType | None = UNSET


class _Capabilities(_Part):
    iot_edge: bool | UnsetType | None = UNSET


class GoodLine(_Part):
    """A device, not a module. Each decoder has a type of its own for the twin."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
    status: Literal["enabled", "disabled"]
    authentication: _Sas | _SelfSigned | _ByAuthority | UnsetType | None = UNSET
    import_mode: ImportMode | UnsetType | None = UNSET
    e_tag: str | _Absent = UNSET
    twin_e_tag: str | _Absent = UNSET
    status_reason: Annotated[str, Meta(max_length=MAX_STATUS_REASON)] | UnsetType | None = UNSET
    capabilities: _Capabilities | UnsetType | None = UNSET
    device_scope: _Scope | UnsetType | None = UNSET
    managed_by: str | _Absent = UNSET
    device_resource_id: str | _Absent = UNSET
    arm_sync_status: str | _Absent = UNSET
    tags: Any = UNSET
    properties: Any = UNSET


_kind = attrgetter("import_mode", "authentication.__class__")


def kinds(lines: Iterable[GoodLine]) -> Iterator[tuple[ImportMode, str, int]]:
    """How many of the lines have each import mode and type of authentication ("" for none)."""
    for (mode, authentication), count in Counter(map(_kind, lines)).items():
        kind = authentication.__struct_config__.tag if issubclass(authentication, Struct) else ""
        yield mode or ImportMode.CREATE_OR_UPDATE, kind, count


class FastPath:
    """Accepts lines of one file by the names that the twins of its good lines have."""

    def __init__(self) -> None:
        self._names = set(_OF_THE_HUB)
        self._decoder = _decoder(self._names)
        self._is_outdated = False

    def learn(self, members: Mapping[str, Any]) -> None:
        """Add the names in the twin of a line that the rules found good."""
        known = len(self._names)
        self._learn(members.get("tags"))
        self._learn((members.get("properties") or {}).get("desired"))
        self._is_outdated |= len(self._names) > known

    def _learn(self, value: object) -> None:
        if isinstance(value, dict) and len(self._names) < _MAX_NAMES:
            self._names.update(filter(is_good_name, value))
            for below in value.values():
                self._learn(below)

    def read(self, texts: Sequence[bytes]) -> list[GoodLine | None]:
        """What each line holds; None where the rules have to decide."""
        if self._is_outdated:
            self._decoder, self._is_outdated = _decoder(self._names), False
        lines: list[GoodLine | None] = []
        decoded = map(self._decoder.decode, texts)
        while len(lines) < len(texts):
            try:
                lines.extend(decoded)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                lines.append(None)
        if not _IDS.fullmatch("\n".join([*[line.id for line in lines if line], ""])):
            lines = [line if line and _IDS.fullmatch(f"{line.id}\n") else None for line in lines]
        fitting = texts
        if None in lines:
            fitting = [text for text, line in zip(texts, lines, strict=True) if line]
        if _are_good(fitting, [line for line in lines if line]):
            return lines
        return [
            line if line and _are_good([text], [line]) else None
            for text, line in zip(texts, lines, strict=True)
        ]


def _are_good(texts: Sequence[bytes], lines: Sequence[GoodLine]) -> bool:
    """Whether all of some lines that fit the types are good; asked of many, it takes less time."""
    raw, encoded = b"\n".join(texts), encode(lines)
    return (
        b"\r" not in raw  # where readers of .NET end a line
        and keeps_all(raw, encoded)
        and not _DAMAGED_VALUE.search(encoded)
        and not (b"[" in raw and _DAMAGED_ITEM.search(encoded, 1))
        and all(
            (line.authentication.__class__ in _SIMPLE and not line.import_mode) or _agrees(line)
            for line in lines
        )
        and (
            all(map(_has_good_twin, lines))
            if len(max(texts, key=len, default=b"")) > _SURE_BYTES
            or any(sign in raw for sign in _SIGNS)
            else True
        )
    )


#: What goes with all other members but the import mode.
_SIMPLE = frozenset({_Sas, _ByAuthority})


def _agrees(line: GoodLine) -> bool:
    mode, authentication = line.import_mode, line.authentication
    if mode:
        if mode.compares_etag and not (line.twin_e_tag if mode.updates_twin else line.e_tag):
            return False
        if mode.updates_twin and not isinstance(line.tags, dict):
            return False
    if isinstance(authentication, _SelfSigned):
        given = authentication.x509_thumbprint
        first, second = given.primary_thumbprint, given.secondary_thumbprint or ""
        return len(second) in (0, len(first)) and bool(_THUMBPRINTS.fullmatch(first + second))
    return bool(authentication or (mode and not mode.overwrites))


def _has_good_twin(line: GoodLine) -> bool:
    findings: list[Finding] = []
    desired = line.properties and line.properties.desired
    check_twin(line.tags, desired, findings, null_removes=False)
    return not findings


def _decoder(names: Iterable[str]) -> msgspec.json.Decoder[GoodLine]:
    name: Any = Literal[*names]
    others = _objects(str, _Scalar | None)
    sections = {"desired": _objects(name, _Scalar), "reported": others}
    members = {
        "tags": _objects(name, _TagScalar),
        "properties": msgspec.defstruct("Properties", _optional(sections), bases=(_Part,)),
        "attributes": others,
        "adr_device_properties": others,
    }
    line = msgspec.defstruct("Line", _optional(members), bases=(GoodLine,))
    return msgspec.json.Decoder(cast(type[GoodLine], line))


def _optional(types: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, kind | _Absent, UNSET) for name, kind in types.items()]


def _objects(name: Any, scalar: Any) -> Any:
    """The type of JSON objects with such names and values; their arrays hold no objects."""
    types: Any = scalar | list[scalar]
    for _ in range(_MAX_DEPTH - 1):
        types = scalar | list[scalar] | dict[name, types]
    return dict[name, types]
