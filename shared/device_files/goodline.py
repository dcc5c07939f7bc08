"""What a good line may hold, as types that msgspec decodes into.

They say what the rules of `members` and `twin` say, for the common line: narrower, never wider.
`fastpath` uses them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shared.device_files.members import (
    MAX_ID,
    MAX_KEY_BYTES,
    MAX_STATUS_REASON,
    MIN_KEY_BYTES,
    AuthenticationType,
    ImportMode,
)
from shared.device_files.twin import MAX_INTEGER, MIN_INTEGER

__all__ = ["ByAuthority", "GoodLine", "Sas", "SelfSigned", "decoder"]

#: Levels of objects within twins. More make the decoder slow to make.
_MAX_DEPTH = 4

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
    secondary_thumbprint: _Thumbprint | _Absent = UNSET


class _NoThumbprints(_Part):
    primary_thumbprint: _Empty = UNSET
    secondary_thumbprint: _Empty = UNSET


class _Authentication(_Part, tag_field="type"):
    policy_resource_id: str | _Absent = UNSET
    x509_ca_validation: dict[str, str | bool | None] | str | bool | _Absent = UNSET


class Sas(_Authentication, kw_only=True, tag=AuthenticationType.SAS.value):
    symmetric_key: _Keys
    x509_thumbprint: _NoThumbprints | _Absent = UNSET


class SelfSigned(_Authentication, kw_only=True, tag=AuthenticationType.SELF_SIGNED.value):
    x509_thumbprint: _Thumbprints
    symmetric_key: _NoKeys | _Absent = UNSET


class ByAuthority(_Authentication, tag=AuthenticationType.CERTIFICATE_AUTHORITY.value):
    x509_thumbprint: _NoThumbprints | _Absent = UNSET
    symmetric_key: _NoKeys | _Absent = UNSET


class _Capabilities(_Part):
    iot_edge: bool | _Absent = UNSET


class GoodLine(_Part):
    """A device, not a module. Each decoder has a type of its own for the twin."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
    status: Literal["enabled", "disabled"]
    authentication: Sas | SelfSigned | ByAuthority | _Absent = UNSET
    import_mode: ImportMode | _Absent = UNSET
    e_tag: str | _Absent = UNSET
    twin_e_tag: str | _Absent = UNSET
    status_reason: Annotated[str, Meta(max_length=MAX_STATUS_REASON)] | _Absent = UNSET
    capabilities: _Capabilities | _Absent = UNSET
    device_scope: _Scope | _Absent = UNSET
    managed_by: str | _Absent = UNSET
    device_resource_id: str | _Absent = UNSET
    arm_sync_status: str | _Absent = UNSET
    tags: Any = UNSET
    properties: Any = UNSET


@functools.lru_cache(16)
def decoder(names: frozenset[str]) -> msgspec.json.Decoder[GoodLine]:
    """A decoder of lines whose twins have no other names than these.

    An enumeration is tested faster than any pattern of names. Making a decoder takes a millisecond,
    so those of the last files are kept.
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
    """The type of JSON objects with such names and values; their arrays hold no objects."""
    types: Any = scalar | list[scalar]
    for _ in range(_MAX_DEPTH - 1):
        types = scalar | list[scalar] | dict[name, types]
    return dict[name, types]
