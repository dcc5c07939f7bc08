"""A line as a user of pydantic would write it down: constraints and nested models, no validators.

So it lets more pass than the rules do: what members demand of each other, but for authentication,
and names below the first level of a twin.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

__all__ = ["Device"]

Id = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9\-.+%_#*?!(),:;=@$']+$")]
Key = Annotated[
    str,
    Field(min_length=24, max_length=88, pattern="^(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,4}={0,2}$"),
]
Thumbprint = Annotated[str, Field(pattern="^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$")]
Name = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x20\x7f-\x9f.$#]*$")]
Section = dict[Name, JsonValue]


class SymmetricKey(BaseModel):
    primary: Key = Field(alias="primaryKey")
    secondary: Key = Field(alias="secondaryKey")


class X509Thumbprint(BaseModel):
    primary: Thumbprint = Field(alias="primaryThumbprint")
    secondary: Thumbprint | None = Field(None, alias="secondaryThumbprint")


class Sas(BaseModel):
    type: Literal["sas"]
    symmetric_key: SymmetricKey | None = Field(None, alias="symmetricKey")
    x509_thumbprint: None = Field(None, alias="x509Thumbprint")


class SelfSigned(BaseModel):
    type: Literal["selfSigned"]
    symmetric_key: None = Field(None, alias="symmetricKey")
    x509_thumbprint: X509Thumbprint | None = Field(None, alias="x509Thumbprint")


class CertificateAuthority(BaseModel):
    type: Literal["certificateAuthority", "none"]
    symmetric_key: None = Field(None, alias="symmetricKey")
    x509_thumbprint: None = Field(None, alias="x509Thumbprint")


class Properties(BaseModel):
    desired: Section | None = None
    reported: dict[str, JsonValue] | None = None


class Capabilities(BaseModel):
    iot_edge: bool | None = Field(None, alias="iotEdge")


class Device(BaseModel):
    id: Id
    module_id: Id | None = Field(None, alias="moduleId")
    etag: str | None = Field(None, alias="eTag")
    import_mode: (
        Literal[
            "createOrUpdate",
            "create",
            "update",
            "updateIfMatchETag",
            "createOrUpdateIfMatchETag",
            "delete",
            "deleteIfMatchETag",
            "updateTwin",
            "updateTwinIfMatchETag",
        ]
        | None
    ) = Field(None, alias="importMode")
    status: Literal["enabled", "disabled"]
    status_reason: Annotated[str, Field(max_length=128)] | None = Field(None, alias="statusReason")
    authentication: (
        Annotated[Sas | SelfSigned | CertificateAuthority, Field(discriminator="type")] | None
    ) = None
    twin_etag: str | None = Field(None, alias="twinETag")
    tags: Section | None = None
    properties: Properties | None = None
    capabilities: Capabilities | None = None
    device_scope: str | None = Field(None, alias="deviceScope")
    parent_scopes: Annotated[list[str], Field(max_length=1)] | None = Field(
        None, alias="parentScopes"
    )
