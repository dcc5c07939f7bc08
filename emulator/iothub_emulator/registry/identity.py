"""Devices and modules as declared by a client: ids, status and credentials, with their rules.

Rules of the learn page on the identity registry and of the argument checks in the SDKs; a live hub
confirmed those about ``none``, thumbprints and generated keys.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Self

from iothub_emulator.errors import ErrorCode, HubError, Shape, invalid
from iothub_emulator.json_net import (
    BOOLEAN,
    DOCUMENT,
    STRING,
    STRINGS,
    Contract,
    Enumeration,
    JsonObject,
)

#: Matches every stored ETag, as in the HTTP header If-Match.
ANY_ETAG = "*"

MAX_STATUS_REASON = 128
MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64
GENERATED_KEY_BYTES = 32

_ID = re.compile(r"[A-Za-z0-9\-.+%_#*?!(),=@$':;]{1,128}")
#: SHA-1 or SHA-256, in hexadecimal digits.
_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")
#: Modules of every edge device, which clients cannot write.
SYSTEM_MODULES = frozenset({"$edgeAgent", "$edgeHub"})


class DeviceStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


class AuthenticationType(StrEnum):
    SAS = "sas"
    SELF_SIGNED = "selfSigned"
    CERTIFICATE_AUTHORITY = "certificateAuthority"
    #: Refused for devices; for modules the hub stores ``sas`` instead (live hub).
    NONE = "none"


#: .NET types in messages: enums as in a published log, the others as in the C# SDK.
_SDK = "Microsoft.Azure.Devices"
_CREDENTIALS = Contract(
    f"{_SDK}.AuthenticationMechanism",
    {
        "type": Enumeration(AuthenticationType, f"{_SDK}.Cloud.AuthenticationType"),
        "symmetricKey": Contract(
            f"{_SDK}.SymmetricKey", {"primaryKey": STRING, "secondaryKey": STRING}
        ),
        "x509Thumbprint": Contract(
            f"{_SDK}.X509Thumbprint", {"primaryThumbprint": STRING, "secondaryThumbprint": STRING}
        ),
    },
)
#: What import lines and request bodies have in common.
MEMBERS = {
    "status": Enumeration(DeviceStatus, f"{_SDK}.Cloud.DeviceStatus"),
    "statusReason": STRING,
    "authentication": _CREDENTIALS,
    "capabilities": Contract(f"{_SDK}.DeviceCapabilities", {"iotEdge": BOOLEAN}),
    "deviceScope": STRING,
    "parentScopes": STRINGS,
    "managedBy": STRING,
    "attributes": DOCUMENT,
}
DEVICE = Contract(f"{_SDK}.Device", {"deviceId": STRING, **MEMBERS})
MODULE = Contract(f"{_SDK}.Module", {"deviceId": STRING, "moduleId": STRING, **MEMBERS})


@dataclass(frozen=True, slots=True)
class Key:
    """Identifies a device or module in the registry."""

    device_id: str
    module_id: str | None = None

    @property
    def parent(self) -> Key:
        return Key(self.device_id)

    def __str__(self) -> str:
        return self.device_id if self.module_id is None else f"{self.device_id}/{self.module_id}"

    def check(self) -> None:
        if not _ID.fullmatch(self.device_id):
            raise invalid(f"The device identifier {self.device_id} is invalid.")
        if self.module_id is None:
            return
        if self.module_id in SYSTEM_MODULES:
            raise HubError(ErrorCode.SystemModuleModifyUnauthorizedAccess, str(self))
        if not _ID.fullmatch(self.module_id) or self.module_id.startswith("$"):
            raise invalid(f"The module identifier {self.module_id} is invalid.")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Authentication of an identity, with either keys or thumbprints."""

    type: AuthenticationType
    primary_key: str | None = None
    secondary_key: str | None = None
    primary_thumbprint: str | None = None
    secondary_thumbprint: str | None = None

    @classmethod
    def read(cls, declared: JsonObject) -> Credentials:
        """Treat empty values as absent: exports contain both kinds, one of them with nulls."""
        keys = declared.child("symmetricKey")
        thumbprints = declared.child("x509Thumbprint")
        primary_thumbprint = thumbprints.string("primaryThumbprint") or None
        secondary_thumbprint = thumbprints.string("secondaryThumbprint") or None
        has_thumbprint = primary_thumbprint or secondary_thumbprint
        derived = AuthenticationType.SELF_SIGNED if has_thumbprint else AuthenticationType.SAS
        return cls(
            type=declared["type"] or derived,
            primary_key=keys.string("primaryKey") or None,
            secondary_key=keys.string("secondaryKey") or None,
            primary_thumbprint=primary_thumbprint,
            secondary_thumbprint=secondary_thumbprint,
        )

    def check(self) -> None:
        if isinstance(self.type, int):  # A number without a name.
            raise invalid(f"The authentication type {self.type} is unknown.")
        if self.primary_key or self.secondary_key:
            self._check_keys()
        if self.primary_thumbprint or self.secondary_thumbprint:
            self._check_thumbprints()

    def _check_keys(self) -> None:
        if self.primary_thumbprint or self.secondary_thumbprint:
            raise invalid("Symmetric keys and thumbprints exclude each other.")
        if self.type is not AuthenticationType.SAS:
            raise invalid(f"Symmetric keys do not go with authentication type {self.type}.")
        if not (self.primary_key and self.secondary_key):
            raise invalid(
                "Either both primary and secondary keys must be specified or neither one "
                "to auto generate on service side."
            )
        if not (_is_key(self.primary_key) and _is_key(self.secondary_key)):
            raise invalid(f"A device key has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, in base64.")

    def _check_thumbprints(self) -> None:
        if self.type is not AuthenticationType.SELF_SIGNED:
            raise invalid(f"Thumbprints do not go with authentication type {self.type}.")
        thumbprints = [*filter(None, (self.primary_thumbprint, self.secondary_thumbprint))]
        if not all(map(_THUMBPRINT.fullmatch, thumbprints)):
            raise invalid("StringIsNotThumbprint")
        if len({len(thumbprint) for thumbprint in thumbprints}) > 1:
            raise invalid("The thumbprints differ in size.")

    def to_json(self, *, with_keys: bool = True) -> dict[str, Any]:
        primary, secondary = (self.primary_key, self.secondary_key) if with_keys else (None, None)
        return {
            "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary},
            "x509Thumbprint": {
                "primaryThumbprint": self.primary_thumbprint,
                "secondaryThumbprint": self.secondary_thumbprint,
            },
            "type": self.type.value,
        }


@dataclass(frozen=True, slots=True)
class Identity:
    """A device or module as declared by a client."""

    key: Key
    status: DeviceStatus
    credentials: Credentials
    status_reason: str | None = None
    iot_edge: bool = False
    device_scope: str | None = None
    parent_scopes: tuple[str, ...] = ()
    #: Of modules only: who created them.
    managed_by: str | None = None
    #: Of any content, for clients.
    attributes: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, declared: JsonObject) -> partial[Self]:
        """Read ``MEMBERS`` without the status; the caller adds it and the key."""
        return partial(
            cls,
            credentials=Credentials.read(declared.child("authentication")),
            status_reason=declared.string("statusReason"),
            iot_edge=declared.child("capabilities").boolean("iotEdge"),
            device_scope=declared.string("deviceScope"),
            parent_scopes=declared.strings("parentScopes"),
            managed_by=declared.string("managedBy"),
            attributes=declared.document("attributes"),
        )

    def completed(self, old: Identity | None = None) -> Identity:
        """Generate keys where they are required and missing, and keep what an update omits.

        These are the attributes, and with ``selfSigned`` but no thumbprints the keys (live hub).
        """
        credentials, attributes = self.credentials, self.attributes
        if old is not None and attributes is None:
            attributes = old.attributes
        if old is not None and credentials == Credentials(AuthenticationType.SELF_SIGNED):
            credentials = replace(old.credentials, type=AuthenticationType.SELF_SIGNED)
        if credentials.type is AuthenticationType.NONE:
            credentials = replace(credentials, type=AuthenticationType.SAS)
        if credentials.type is AuthenticationType.SAS and credentials.primary_key is None:
            credentials = replace(credentials, primary_key=new_key(), secondary_key=new_key())
        if credentials is self.credentials and attributes is self.attributes:
            return self
        return replace(self, credentials=credentials, attributes=attributes)

    def check(self) -> None:
        self.key.check()
        if isinstance(self.status, int):  # A number without a name.
            raise invalid(f"The status {self.status} is unknown.")
        if self.status_reason is not None and len(self.status_reason) > MAX_STATUS_REASON:
            raise invalid(f"A status reason has at most {MAX_STATUS_REASON} characters.")
        if self.credentials.type is AuthenticationType.NONE and self.key.module_id is None:
            raise invalid("DeviceAuthenticationTypeIsMissing")
        self.credentials.check()


def quota_exceeded(hub_name: str, limit: int, count: int) -> HubError:
    message = (
        f"Total number of devices on IotHub '{hub_name}' exceeded the allocated quota. "
        f"Max allowed device count : '{limit}', current device count : '{count}'. "
        "Consider increasing the units for this hub to increase the quota."
    )
    return HubError(ErrorCode.IotHubQuotaExceeded, message)


def not_registered(key: Key) -> HubError:
    """The message is the id alone, as in a published importErrors.log."""
    if key.module_id is None:
        return HubError(ErrorCode.DeviceNotFound, str(key))
    return HubError(ErrorCode.ModuleNotFound, str(key), Shape.E2)


def already_registered(key: Key, hub_name: str) -> HubError:
    """The messages are those of a live hub."""
    if key.module_id is None:
        message = f"A device with ID '{key}' is already registered."
        return HubError(ErrorCode.DeviceAlreadyExists, message)
    device = f"Device {key.device_id} in IotHub {hub_name}"
    message = f"{device} already contains Module {key.module_id}."
    return HubError(ErrorCode.ModuleAlreadyExistsOnDevice, message, Shape.E2)


def match_etag(stored: str, expected: str, message: str) -> None:
    """Refuse a change of something whose ETag is not the expected one."""
    if expected not in (ANY_ETAG, stored):
        raise HubError(ErrorCode.PreconditionFailed, message)


def match_revision(stored: str, expected: str) -> None:
    """Refuse a change of an identity with another ETag, in the words of a live hub."""
    if expected == ANY_ETAG:
        return
    revisions = f"existingVersion:{_revision(stored)} newVersion:{_revision(expected)}"
    message = f"Precondition failed: Device version did not match, {revisions}"
    match_etag(stored, expected, message)


def _revision(etag: str) -> str:
    try:
        return base64.b64decode(etag, validate=True).decode("ascii")
    except ValueError:
        return etag


def _is_key(key: str) -> bool:
    try:
        return MIN_KEY_BYTES <= len(binascii.a2b_base64(key, strict_mode=True)) <= MAX_KEY_BYTES
    except ValueError:
        return False


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(GENERATED_KEY_BYTES)).decode()
