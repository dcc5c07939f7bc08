"""Accepts the common good line fast.

Most lines break no rule. msgspec decodes lines into `GoodLine` and the types of its properties; a
line that fits them, and meets the conditions that types cannot express, is good. Every other line
goes to `device_line`, which checks all rules. So this path may be narrower than the rules, never
wider: `tests/device_files/test_fast_path.py` compares the two.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shared.device_files.lines import twin, values
from shared.device_files.lines.damage import DAMAGED, DAMAGED_IDS, DAMAGED_STARTS
from shared.device_files.lines.strict_json import encode, keeps_all
from shared.device_files.rules import Finding

__all__ = ["BLOCK_LINES", "FastPath", "GoodLine", "kinds"]

#: Levels of objects within twins. More make the decoder slow to build.
_MAX_DEPTH = 4

_Integer = Annotated[int, Meta(ge=twin.MIN_INTEGER, le=twin.MAX_INTEGER)]
_Scalar = str | _Integer | float | bool
#: The shortest key that `damage.is_secret` recognises has 44 characters.
_NoSecret = Annotated[str, Meta(max_length=43)]
_TagScalar = _NoSecret | _Integer | float | bool
_Key = Annotated[bytes, Meta(min_length=values.MIN_KEY_BYTES, max_length=values.MAX_KEY_BYTES)]
_Thumbprint = Annotated[str, Meta(max_length=64)]
_Scope = Annotated[str, Meta(pattern=r"^ms-azure-iot-edge://[A-Za-z0-9._-]+-[0-9]+\Z")]
_Absent = None | UnsetType
#: As exports write unused credentials.
_Empty = Literal[""] | _Absent


class _Part(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """An object. Absent properties are UNSET, so that it is encoded as it was written."""


class _Keys(_Part):
    primary_key: _Key
    secondary_key: _Key


class _NoKeys(_Part):
    primary_key: _Empty = UNSET
    secondary_key: _Empty = UNSET


class _Thumbprints(_Part):
    primary_thumbprint: _Thumbprint
    secondary_thumbprint: _Thumbprint | _Absent = UNSET


class _NoThumbprints(_Part):
    primary_thumbprint: _Empty = UNSET
    secondary_thumbprint: _Empty = UNSET


class _Authentication(_Part, tag_field="type"):
    policy_resource_id: str | _Absent = UNSET
    x509_ca_validation: dict[str, str | bool | None] | str | bool | _Absent = UNSET


class _Sas(_Authentication, kw_only=True, tag=values.AuthenticationType.SAS.value):
    symmetric_key: _Keys
    x509_thumbprint: _NoThumbprints | _Absent = UNSET


class _SelfSigned(_Authentication, kw_only=True, tag=values.AuthenticationType.SELF_SIGNED.value):
    x509_thumbprint: _Thumbprints
    symmetric_key: _NoKeys | _Absent = UNSET


class _ByAuthority(_Authentication, tag=values.AuthenticationType.CERTIFICATE_AUTHORITY.value):
    x509_thumbprint: _NoThumbprints | _Absent = UNSET
    symmetric_key: _NoKeys | _Absent = UNSET


class _Capabilities(_Part):
    iot_edge: bool | _Absent = UNSET


class GoodLine(_Part):
    """A device, not a module. `_decoder` adds the types of twins."""

    id: Annotated[str, Meta(min_length=1, max_length=values.MAX_ID)]
    status: Literal["enabled", "disabled"]
    authentication: _Sas | _SelfSigned | _ByAuthority | _Absent = UNSET
    import_mode: values.ImportMode | _Absent = UNSET
    e_tag: str | _Absent = UNSET
    twin_e_tag: str | _Absent = UNSET
    status_reason: _NoSecret | _Absent = UNSET
    capabilities: _Capabilities | _Absent = UNSET
    device_scope: _Scope | _Absent = UNSET
    managed_by: str | _Absent = UNSET
    device_resource_id: str | _Absent = UNSET
    arm_sync_status: str | _Absent = UNSET
    tags: Any = UNSET
    properties: Any = UNSET


@functools.lru_cache(16)
def _decoder(names: frozenset[str]) -> msgspec.json.Decoder[GoodLine]:
    """Build a decoder of lines whose twins have no other names than these.

    An enumeration is tested faster than any pattern. It takes a millisecond, hence the cache.
    """
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
    """Build the type of objects with such names and values; their arrays contain no objects."""
    types: Any = scalar | list[scalar]
    for _ in range(_MAX_DEPTH - 1):
        types = scalar | list[scalar] | dict[name, types]
    return dict[name, types]


#: Lines that are decoded together. So few stay in the processor's cache.
BLOCK_LINES = 64
#: Names of twins in a decoder. More make it slow to build, which each new name requires.
_MAX_NAMES = 400
#: The hub counts 8 bytes per number, which takes two in a line. So no section of a line of at
#: most this length is too large.
_SURE_BYTES = twin.TAGS_BYTES // 4
#: The hub's own properties in twins; `check_twin` checks where they occur.
_OF_THE_HUB = frozenset({"$metadata", "$version", "$lastUpdated", "$lastUpdatedVersion"})
#: The lookbehind goes back to the first character of a string that may be damaged.
_DAMAGED = rf"{DAMAGED_STARTS}(?<=(?=(?:{DAMAGED})\n).)"
#: Ids, each followed by a line end.
_IDS = re.compile(rf"(?:(?!{_DAMAGED}|(?:{DAMAGED_IDS})\n)[A-Za-z0-9\-._%*?!(),@$']++\n)*+")
#: The same in JSON, up to its closing quote.
_DAMAGED_IN_JSON = _DAMAGED.replace(r"[^\x00-\x1f]*", r'(?:[^"\\]|\\.)*').replace(r"\n", '"')
_DAMAGED_VALUE = re.compile(f':"{_DAMAGED_IN_JSON}'.encode())
#: In an array of scalars, the quote that remains after all strings that are not damaged.
_DAMAGED_ITEM = re.compile(
    rf'\[(?:"(?!{_DAMAGED_IN_JSON})[^"\\]*+(?:\\.[^"\\]*+)*+"|[^]["]++)*+"'.encode()
)
#: Of each line the primary thumbprint, a space, and possibly a secondary one of the same length.
_THUMBPRINTS = re.compile(
    r"(?:(?:[0-9A-Fa-f]{40} (?:[0-9A-Fa-f]{40})?|[0-9A-Fa-f]{64} (?:[0-9A-Fa-f]{64})?)\n)*+"
)
#: The authentication of a line without one.
_NONE = frozenset({type(None), UnsetType})

_kind = attrgetter("import_mode", "authentication.__class__")


def kinds(lines: Iterable[GoodLine]) -> Iterator[tuple[values.ImportMode, str, int]]:
    """Count the lines by import mode and type of authentication ("" for none)."""
    for (mode, kind), count in Counter(map(_kind, lines)).items():
        tag = kind.__struct_config__.tag if issubclass(kind, Struct) else ""
        yield mode or values.ImportMode.CREATE_OR_UPDATE, tag, count


class FastPath:
    """Accepts lines of one file by the names in the twins of its good lines."""

    def __init__(self) -> None:
        self._names = set(_OF_THE_HUB)
        self._decoder = _decoder(_OF_THE_HUB)
        self._is_outdated = False

    def learn(self, members: Mapping[str, Any]) -> None:
        """Add the names in the twin of a good line."""
        known = len(self._names)
        self._learn(members.get("tags"))
        self._learn((members.get("properties") or {}).get("desired"))
        self._is_outdated |= len(self._names) > known

    def _learn(self, value: object) -> None:
        if isinstance(value, dict) and len(self._names) < _MAX_NAMES:
            self._names.update(filter(twin.is_good_name, value))
            for below in value.values():
                self._learn(below)

    def read(self, texts: Sequence[bytes]) -> list[GoodLine | None]:
        """Decode each line; None where the rules must decide."""
        if self._is_outdated:
            self._decoder, self._is_outdated = _decoder(frozenset(self._names)), False
        lines: list[GoodLine | None] = []
        decoded = map(self._decoder.decode, texts)
        while len(lines) < len(texts):
            try:
                lines.extend(decoded)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                lines.append(None)
        if not _are_ids([line.id for line in lines if line]):
            lines = [line if line and _are_ids([line.id]) else None for line in lines]
        fitting = texts
        if None in lines:
            fitting = [text for text, line in zip(texts, lines, strict=True) if line]
        if _are_good(fitting, [line for line in lines if line]):
            return lines
        return [
            line if line and _are_good([text], [line]) else None
            for text, line in zip(texts, lines, strict=True)
        ]


def _are_ids(ids: Sequence[str]) -> bool:
    joined = "\n".join([*ids, ""])
    return joined.count("\n") == len(ids) and _IDS.fullmatch(joined) is not None


def _are_good(texts: Sequence[bytes], lines: Sequence[GoodLine]) -> bool:
    """Whether all of several lines that fit the types are good; faster than one by one."""
    raw, encoded = b"\n".join(texts), encode(lines)
    if b"\r" in raw or not keeps_all(raw, encoded):  # readers of .NET end a line at a CR
        return False
    if _DAMAGED_VALUE.search(encoded) or (b"[" in raw and _DAMAGED_ITEM.search(encoded, 1)):
        return False
    longest = max(texts, key=len, default=b"")
    is_unsure = len(longest) > _SURE_BYTES or b"$" in encoded
    if is_unsure and not all(map(_has_good_twin, lines)):
        return False
    return _have_thumbprints(lines) and all(
        _fits_mode(line)
        for line in lines
        if line.import_mode or line.authentication.__class__ in _NONE
    )


def _have_thumbprints(lines: Iterable[GoodLine]) -> bool:
    """Whether the thumbprints of all lines are valid."""
    thumbprints = [
        line.authentication.x509_thumbprint
        for line in lines
        if line.authentication.__class__ is _SelfSigned
    ]
    joined = "".join(
        [f"{pair.primary_thumbprint} {pair.secondary_thumbprint or ''}\n" for pair in thumbprints]
    )
    return joined.count("\n") == len(thumbprints) and _THUMBPRINTS.fullmatch(joined) is not None


def _fits_mode(line: GoodLine) -> bool:
    """Whether a line has what its import mode requires."""
    mode = line.import_mode
    if not mode:
        return False  # such lines have no authentication either
    if mode.compares_etag and not (line.twin_e_tag if mode.updates_twin else line.e_tag):
        return False
    if mode.updates_twin and not isinstance(line.tags, dict):
        return False
    return line.authentication.__class__ not in _NONE or not mode.overwrites


def _has_good_twin(line: GoodLine) -> bool:
    findings: list[Finding] = []
    desired = line.properties and line.properties.desired
    twin.check_twin(line.tags, desired, findings, null_removes=False)
    return not findings
