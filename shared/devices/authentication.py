"""How a device or module signs in: keys, thumbprints, and what goes with what.

Sources: ExportImportDevice of the service REST API for the members, the argument checks of the
SDK for .NET for their rules. What hubs were observed to do with `none`, with lacking thumbprints
and with lacking keys is marked so in `shared.devices.rules`.
"""

from __future__ import annotations

import base64
import binascii
import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from shared.devices.rules import Rule

__all__ = ["Authentication", "AuthenticationType", "Part", "broken"]

MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64

_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")


class AuthenticationType(StrEnum):
    SAS = "sas"
    SELF_SIGNED = "selfSigned"
    CERTIFICATE_AUTHORITY = "certificateAuthority"
    NONE = "none"  # for modules alone, and even there the hub makes it sas


def broken(rule: Rule, detail: str = "") -> PydanticCustomError:
    """A broken rule as pydantic hands it on; the detail must not repeat the value."""
    return PydanticCustomError(rule.name, "{detail}", {"detail": detail})


def _key(value: str) -> str:
    if value:
        try:
            length = len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            raise broken(Rule.KEY_ENCODING) from None
        if not MIN_KEY_BYTES <= length <= MAX_KEY_BYTES:
            raise broken(Rule.KEY_LENGTH, f"it has {length:,}")
    return value


def _thumbprint(value: str) -> str:
    if value and not _THUMBPRINT.fullmatch(value):
        raise broken(Rule.THUMBPRINT_INVALID, f"it has {len(value):,} characters")
    return value


#: Empty counts as absent: exports write both kinds, the unused one empty or null.
Key = Annotated[str, AfterValidator(_key)]
Thumbprint = Annotated[str, AfterValidator(_thumbprint)]


class Part(BaseModel):
    """An object of a line. A member that it does not know is an error here, and a warning later."""

    model_config = ConfigDict(strict=True, extra="forbid")


class SymmetricKey(Part):
    primary: Key | None = Field(None, alias="primaryKey")
    secondary: Key | None = Field(None, alias="secondaryKey")


class X509Thumbprint(Part):
    primary: Thumbprint | None = Field(None, alias="primaryThumbprint")
    secondary: Thumbprint | None = Field(None, alias="secondaryThumbprint")


class Authentication(Part):
    type: Annotated[AuthenticationType, Field(strict=False)] | None = None
    symmetric_key: SymmetricKey | None = Field(None, alias="symmetricKey")
    x509_thumbprint: X509Thumbprint | None = Field(None, alias="x509Thumbprint")
