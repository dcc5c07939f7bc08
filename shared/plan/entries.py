"""Devices and modules as lines of a device file and of a registry export describe them."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import msgspec

from shared.device_files.lines.values import AuthenticationType, ImportMode, Status

__all__ = ["Entry", "FileLine", "Keys", "RegistryLineError", "read_entry", "read_file_line"]

#: Keys are compared by their digests under a random key of this process, and never kept.
_DIGEST_KEY = os.urandom(32)
_DIGEST_BYTES = 16

#: Properties that have an effect and are in no export.
_NOT_COMPARED = ("managedBy", "authentication.policyResourceId", "authentication.x509CaValidation")

Keys = bytes
_EMPTY_DOCUMENT = b"{}"
_NULL = msgspec.Raw(b"null")


class RegistryLineError(ValueError):
    """A line of an export is not a device or module; the message does not quote it."""


class _SymmetricKey(msgspec.Struct, rename="camel"):
    primary_key: str | None = None
    secondary_key: str | None = None


class _X509Thumbprint(msgspec.Struct, rename="camel"):
    primary_thumbprint: str | None = None
    secondary_thumbprint: str | None = None


class _Authentication(msgspec.Struct, rename="camel"):
    type: str | None = None
    symmetric_key: _SymmetricKey | None = None
    x509_thumbprint: _X509Thumbprint | None = msgspec.field(default=None, name="x509Thumbprint")
    policy_resource_id: str | None = None
    x509_ca_validation: Any = msgspec.field(default=None, name="x509CaValidation")


class _Properties(msgspec.Struct, rename="camel"):
    desired: msgspec.Raw = _NULL
    reported: msgspec.Raw = _NULL


class _Capabilities(msgspec.Struct, rename="camel"):
    iot_edge: bool | None = None


class _Line(msgspec.Struct, rename="camel"):
    """`ExportImportDevice` of the service REST API (2021-04-12), in the documented letter case.

    Without enumerations: other devices of the hub may have values that we do not know, and messages
    of msgspec quote them.
    """

    id: str
    module_id: str | None = None
    e_tag: str | None = msgspec.field(default=None, name="eTag")
    import_mode: str | None = None
    status: str = Status.ENABLED.value
    status_reason: str | None = None
    authentication: _Authentication | None = None
    twin_e_tag: str | None = msgspec.field(default=None, name="twinETag")
    tags: msgspec.Raw = _NULL
    properties: _Properties | None = None
    capabilities: _Capabilities | None = None
    device_scope: str | None = None
    parent_scopes: list[str | None] | None = None
    managed_by: Any = None
    attributes: msgspec.Raw = _NULL


_DECODER = msgspec.json.Decoder(_Line)
_SECTION = msgspec.json.Decoder(dict[str, Any])


class Entry(msgspec.Struct, array_like=True, gc=False):
    """A device or module in the registry, as far as it is compared."""

    etag: str
    twin_etag: str
    status: str
    status_reason: str | None
    authentication_type: str
    #: Digest of the symmetric keys; None if the snapshot has none. A device of type sas has some.
    keys: Keys | None
    #: Primary and secondary; None where there is none.
    thumbprints: tuple[str | None, str | None]
    iot_edge: bool
    device_scope: str | None
    parent_scopes: tuple[str | None, ...]
    #: JSON of the sections of the twin.
    tags: bytes
    desired: bytes
    reported: bytes
    attributes: bytes | None


class FileLine(msgspec.Struct, gc=False):
    """A validated line of a device file."""

    id: str
    module_id: str
    mode: ImportMode
    etag: str
    twin_etag: str
    status: str
    status_reason: str | None
    authentication_type: AuthenticationType
    keys: Keys | None
    thumbprints: tuple[str | None, str | None]
    iot_edge: bool
    device_scope: str | None
    parent_scopes: tuple[str | None, ...]
    #: JSON of the sections of the twin; None where the line has none.
    tags: bytes | None
    desired: bytes | None
    reported: bytes | None
    attributes: bytes | None
    #: Properties that have an effect and are in no export.
    not_compared: tuple[str, ...]


def read_entry(line: bytes) -> tuple[tuple[str, str], Entry]:
    """Read a line of an export: the ids of device and module ("" for a device), and the rest.

    Raises:
        RegistryLineError: it is not a device or module, or has no eTag, without which nothing
            protects the device from a plan that is out of date.
    """
    value = _decode(line)
    if not (etag := _unquoted(value.e_tag)):
        raise RegistryLineError("it has no eTag")
    auth = value.authentication or _Authentication()
    properties = value.properties or _Properties()
    entry = Entry(
        etag=etag,
        twin_etag=_unquoted(value.twin_e_tag),
        status=value.status,
        status_reason=value.status_reason,
        authentication_type=auth.type or AuthenticationType.SAS.value,
        keys=_keys(auth),
        thumbprints=_thumbprints(auth),
        iot_edge=bool(value.capabilities and value.capabilities.iot_edge),
        device_scope=value.device_scope or None,
        parent_scopes=tuple(value.parent_scopes or ()),
        tags=_section(value.tags) or _EMPTY_DOCUMENT,
        desired=_section(properties.desired) or _EMPTY_DOCUMENT,
        reported=_section(properties.reported) or _EMPTY_DOCUMENT,
        attributes=_section(value.attributes),
    )
    return (value.id, value.module_id or ""), entry


def read_file_line(line: bytes) -> FileLine:
    """Read a validated line of a device file.

    Raises:
        RegistryLineError: it was not validated.
    """
    value = _decode(line)
    auth = value.authentication or _Authentication()
    thumbprints = _thumbprints(auth)
    derived = AuthenticationType.SELF_SIGNED if any(thumbprints) else AuthenticationType.SAS
    try:
        mode = ImportMode(value.import_mode or ImportMode.CREATE_OR_UPDATE)
        type_ = AuthenticationType(auth.type or derived)
    except ValueError:
        raise RegistryLineError("it was not validated") from None
    properties = value.properties or _Properties()
    values = (value.managed_by, auth.policy_resource_id, auth.x509_ca_validation)
    return FileLine(
        id=value.id,
        module_id=value.module_id or "",
        mode=mode,
        etag=_unquoted(value.e_tag),
        twin_etag=_unquoted(value.twin_e_tag),
        status=value.status,
        status_reason=value.status_reason,
        authentication_type=type_,
        keys=_keys(auth),
        thumbprints=thumbprints,
        iot_edge=bool(value.capabilities and value.capabilities.iot_edge),
        device_scope=value.device_scope or None,
        parent_scopes=tuple(value.parent_scopes or ()),
        tags=_document(value.tags),
        desired=_document(properties.desired),
        reported=_document(properties.reported),
        attributes=_document(value.attributes),
        not_compared=tuple(
            name for name, item in zip(_NOT_COMPARED, values, strict=True) if item is not None
        ),
    )


def _decode(line: bytes) -> _Line:
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _line_error(error) from None


def _keys(auth: _Authentication) -> Keys | None:
    key = auth.symmetric_key
    if key is None or not (key.primary_key or key.secondary_key):
        return None
    text = f"{key.primary_key or ''}\n{key.secondary_key or ''}".encode()
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, key=_DIGEST_KEY).digest()


def _thumbprints(auth: _Authentication) -> tuple[str | None, str | None]:
    pair = auth.x509_thumbprint or _X509Thumbprint()
    return pair.primary_thumbprint or None, pair.secondary_thumbprint or None


def _document(raw: msgspec.Raw) -> bytes | None:
    data = bytes(raw)
    return None if data == b"null" else data


def _section(raw: msgspec.Raw) -> bytes | None:
    """A section that is known to be an object."""
    data = _document(raw)
    if data is not None and data != _EMPTY_DOCUMENT:
        try:
            _SECTION.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise _line_error(error) from None
    return data


def _line_error(error: Exception) -> RegistryLineError:
    # Messages of validation name a path and a type, and quote no value.
    is_json = isinstance(error, msgspec.ValidationError)
    return RegistryLineError(str(error) if is_json else "it is not JSON in UTF-8")


def _unquoted(etag: str | None) -> str:
    return (etag or "").strip('"')
