"""Connections in the settings: a storage account, and the hubs.

A storage connection is one name whose setting is a connection string, or a family
`NAME__blobServiceUri`, `NAME__tableServiceUri` and so on for identity-based access (Azure
Functions developer guide, "Connections"). A hub is a connection string or a host name.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

__all__ = ["STORAGE_CONNECTION", "HubConnection", "StorageConnection", "parse_hubs"]

#: The name of the storage connection: uploads, import containers and the table.
STORAGE_CONNECTION = "ImporterStorage"

#: The account of Azurite and of the older storage emulator; its key is public.
_DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)

#: With a port for an emulator.
_HOST_NAME = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?")


class StorageConnection(BaseModel):
    """A storage account, by connection string or by the endpoints of identity-based access."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    connection_string: SecretStr | None = Field(None, alias="connectionString")
    blob_service_uri: str | None = Field(
        None,
        alias="blobServiceUri",
        description="the account's blob endpoint, such as https://fleet.blob.core.windows.net",
    )
    queue_service_uri: str | None = Field(
        None, alias="queueServiceUri", description="its queue endpoint: the host's poison queue"
    )
    table_service_uri: str | None = Field(
        None, alias="tableServiceUri", description="its table endpoint"
    )
    credential: str | None = Field(
        None, description="managedidentity, for a user-assigned identity"
    )
    client_id: str | None = Field(
        None, alias="clientId", description="the client id of the user-assigned identity"
    )

    @model_validator(mode="before")
    @classmethod
    def _exact_setting_wins(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.replace(" ", "").rstrip(";").lower() == "usedevelopmentstorage=true":
            value = _DEVELOPMENT_STORAGE
        return {"connectionString": value}

    @model_validator(mode="after")
    def _complete(self) -> StorageConnection:
        if self.connection_string is not None:
            text = self.connection_string.get_secret_value()
            parts = [part.partition("=") for part in text.strip().rstrip(";").split(";")]
            named = {name for name, _, value in parts if value}
            if len(named) < len(parts) or not {"AccountName", "AccountKey"} <= named:
                raise ValueError("is not a connection string with AccountName and AccountKey")
            return self
        problems = []
        # The app itself needs no queue; the host's poison queue for blob events does.
        absent = [
            f"{STORAGE_CONNECTION}__{name}"
            for name, uri in (
                ("blobServiceUri", self.blob_service_uri),
                ("queueServiceUri", self.queue_service_uri),
                ("tableServiceUri", self.table_service_uri),
            )
            if not uri
        ]
        if absent:
            problems.append(f"lacks {', '.join(absent)}")
        if self.credential not in (None, "managedidentity"):
            problems.append(f"has a {STORAGE_CONNECTION}__credential other than managedidentity")
        if problems:
            raise ValueError(" and ".join(problems))
        return self


@dataclass(frozen=True)
class HubConnection:
    """Where a hub is and how to authenticate: a shared access policy's key, or Entra ID."""

    #: The name by which records and people refer to the hub.
    name: str
    host_name: str
    #: None means Entra ID.
    policy: str | None = None
    key: SecretStr | None = None
    #: Plain http, for a hub emulator only.
    development: bool = False

    @property
    def endpoint(self) -> str:
        return f"{'http' if self.development else 'https'}://{self.host_name}"

    @classmethod
    def parse(cls, text: str, name: str | None = None) -> HubConnection:
        """A host name, or `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`.

        Raises:
            ValueError: it is neither; the message holds no part of the text.
        """
        text = text.strip().rstrip(";")
        if "=" not in text:
            if not _HOST_NAME.fullmatch(text):
                raise ValueError("is neither a connection string nor a host name")
            return cls(name or _hub_name(text), text.lower())
        parts = dict(part.partition("=")[::2] for part in text.split(";"))
        absent = [
            key
            for key in ("HostName", "SharedAccessKeyName", "SharedAccessKey")
            if not parts.get(key)
        ]
        if absent:
            raise ValueError(f"is a connection string without {', '.join(absent)}")
        try:
            base64.b64decode(parts["SharedAccessKey"], validate=True)
        except ValueError:
            raise ValueError("is a connection string whose SharedAccessKey is not base64") from None
        host_name = parts["HostName"].lower()
        if not _HOST_NAME.fullmatch(host_name):
            raise ValueError("is a connection string whose HostName is no host name")
        return cls(
            name or _hub_name(host_name),
            host_name,
            parts["SharedAccessKeyName"],
            SecretStr(parts["SharedAccessKey"]),
            parts.get("UseDevelopmentEmulator", "").lower() == "true",
        )


def _hub_name(host_name: str) -> str:
    return host_name.lower().split(".azure-devices.")[0]


def parse_hubs(value: Any) -> Any:
    """One hub, or a JSON object of several; in a form that pydantic takes as a mapping of hubs."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("{"):
        hub = HubConnection.parse(value)
        return {hub.name: hub}
    try:
        several = json.loads(value)
    except ValueError:
        raise ValueError("begins like a JSON object but is not one") from None
    if not several or not all(isinstance(text, str) for text in several.values()):
        raise ValueError("is a JSON object whose members are not all texts, or that has none")
    for name in several:
        # A hub's name is a table partition key and the first folder of a blob name.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
            raise ValueError(
                f"names a hub {name!r}: letters, digits, '.', '_', '-' only, at most 63"
            )
    hubs = {}
    for name, text in several.items():
        try:
            hubs[name] = HubConnection.parse(text, name)
        except ValueError as error:
            raise ValueError(f"has a hub {name!r} that {error}") from None
    return hubs
