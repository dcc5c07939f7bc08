"""Connections in the settings: a storage account, and the hubs.

A storage connection is one name whose setting is a connection string, or a family
`NAME__blobServiceUri`, `NAME__tableServiceUri` and so on for identity-based access (Azure
Functions developer guide, "Connections"). A hub is a connection string or a host name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

__all__ = ["STORAGE_CONNECTION", "HubConnection", "HubRoutes", "StorageConnection", "parse_hubs"]

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

#: Host names of IoT Hub, in the public cloud and in the sovereign ones: `fleet.azure-devices.net`,
#: `fleet.service.azure-devices.net`, and for devices only `fleet.device.azure-devices.net`.
_AZURE_HUB = re.compile(r"([a-z0-9-]+)(?:\.([a-z0-9-]+))?\.azure-devices\.[a-z.]+(?::[0-9]+)?")


#: What may stand between a hub's name and the domain.
_LABELS = ("service", "device")


class StorageConnection(BaseModel):
    """A storage account, by connection string or by the endpoints of identity-based access."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    connection_string: SecretStr | None = Field(None, alias="connectionString")
    blob_service_uri: str | None = Field(
        None,
        alias="blobServiceUri",
        description="Blob endpoint, such as https://fleet.blob.core.windows.net.",
    )
    queue_service_uri: str | None = Field(
        None, alias="queueServiceUri", description="Queue endpoint, for the host's poison queue."
    )
    table_service_uri: str | None = Field(
        None, alias="tableServiceUri", description="Table endpoint."
    )
    credential: str | None = Field(
        None, description="`managedidentity`, for a user-assigned identity."
    )
    client_id: str | None = Field(
        None, alias="clientId", description="Client id of the user-assigned identity."
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
            values = {name: value for name, _, value in parts}
            try:
                base64.b64decode(values["AccountKey"], validate=True)
            except ValueError:
                raise ValueError("has an AccountKey that is not base64") from None
            for name in named:
                primary = name.replace("Secondary", "")
                if name.endswith("SecondaryEndpoint") and primary not in named:
                    raise ValueError(f"has a {name} without a {primary}")
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
        problems += [
            f"has {STORAGE_CONNECTION}__{name} that is not an https address without a query"
            for name, uri in (
                ("blobServiceUri", self.blob_service_uri),
                ("queueServiceUri", self.queue_service_uri),
                ("tableServiceUri", self.table_service_uri),
            )
            if uri and not _is_endpoint(uri)
        ]
        if self.credential not in (None, "managedidentity"):
            problems.append(f"has a {STORAGE_CONNECTION}__credential other than managedidentity")
        if problems:
            raise ValueError(" and ".join(problems))
        return self


def _is_endpoint(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and not parts.query


@dataclass(frozen=True)
class HubConnection:
    """Where a hub is and how to authenticate: a shared access policy's key, or Entra ID."""

    host_name: str
    #: None means Entra ID.
    policy: str | None = None
    key: SecretStr | None = None
    #: Plain http, for a hub emulator only.
    development: bool = False

    @property
    def name(self) -> str:
        """Identifies the hub, whichever of its host names is configured: its partition key.

        The first label of a host name of IoT Hub; host and port of any other.
        """
        match = _AZURE_HUB.fullmatch(self.host_name)
        return match[1] if match else self.host_name

    @property
    def endpoint(self) -> str:
        return f"{'http' if self.development else 'https'}://{self.host_name}"

    @classmethod
    def parse(cls, text: str) -> HubConnection:
        """Read a host name, or `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`.

        Raises:
            ValueError: it is neither; the message holds no part of the text.
        """
        text = text.strip().rstrip(";")
        if "=" not in text:
            if not _HOST_NAME.fullmatch(text):
                raise ValueError("is neither a connection string nor a host name")
            return cls(_service_host(text))
        if text.startswith("@Microsoft.KeyVault"):
            raise ValueError(
                "is a Key Vault reference that was not resolved; grant the app's identity the role "
                "Key Vault Secrets User"
            )
        pairs = [part.strip().partition("=")[::2] for part in text.split(";")]
        parts = dict(pairs)
        if len(parts) < len(pairs):
            raise ValueError("is a connection string that has a part twice")
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
        if not _HOST_NAME.fullmatch(parts["HostName"]):
            raise ValueError("is a connection string whose HostName is not a host name")
        return cls(
            _service_host(parts["HostName"]),
            parts["SharedAccessKeyName"],
            SecretStr(parts["SharedAccessKey"]),
            parts.get("UseDevelopmentEmulator", "").lower() == "true",
        )


def _service_host(host_name: str) -> str:
    """The host name in lower case.

    Raises:
        ValueError: it cannot be that of a hub's service API.
    """
    host_name = host_name.lower().rstrip(".")
    if "." not in host_name and ":" not in host_name:
        raise ValueError(
            "has a host name without a domain; use the full name, such as fleet.azure-devices.net"
        )
    if ".azure-devices-provisioning." in host_name:
        raise ValueError(
            "names a Device Provisioning Service; use the IoT hub's host name, such as "
            "fleet.azure-devices.net"
        )
    match = _AZURE_HUB.fullmatch(host_name)
    if ".azure-devices." in host_name and (not match or match[2] not in (None, *_LABELS)):
        raise ValueError(
            "has a host name that is not that of an IoT hub; use its service host name, such as "
            "fleet.azure-devices.net"
        )
    if match and match[2] == "device":
        raise ValueError(
            "has a host name that is for devices only (.device.); use the IoT hub's service host "
            "name, such as fleet.azure-devices.net"
        )
    return host_name


@dataclass(frozen=True)
class HubRoutes:
    """Which hub an upload is for.

    A single hub takes every upload. Of several, and of a JSON object with one member, the first
    folder of the blob's name picks the hub.
    """

    #: By folder; the key is "" if a single hub takes everything.
    by_folder: Mapping[str, HubConnection]

    @property
    def by_name(self) -> dict[str, HubConnection]:
        return {hub.name: hub for hub in self.by_folder.values()}

    @property
    def folders(self) -> list[str]:
        """The folders that lead to a hub; none if a single hub takes everything."""
        return sorted(filter(None, self.by_folder))

    def hub_of(self, file: str) -> str | None:
        """Name of the hub that an upload is for; None if its folder leads to none."""
        folder, slash, _ = file.partition("/")
        hub = self.by_folder.get("") or (self.by_folder.get(folder) if slash else None)
        return hub.name if hub else None

    @property
    def is_single(self) -> bool:
        """Whether one hub takes everything."""
        return "" in self.by_folder

    def folder_of(self, hub: str) -> str:
        """The folder that leads to a hub; "" if a single hub takes everything."""
        return next(folder for folder, one in self.by_folder.items() if one.name == hub)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1)
        raise ValueError(f"has the folder {twice!r} twice; keep one of them")
    return members


def parse_hubs(value: Any) -> Any:
    """Read one hub, or a JSON object of several by folder.

    Raises:
        ValueError: says what is wrong, without keys.
    """
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("{"):
        return HubRoutes({"": HubConnection.parse(value)})
    try:
        several = json.loads(value, object_pairs_hook=_members)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("begins like a JSON object but is not one") from None
    if not several or not all(isinstance(text, str) for text in several.values()):
        raise ValueError("is a JSON object whose values are not all strings, or that is empty")
    hubs: dict[str, HubConnection] = {}
    folders: dict[str, str] = {}
    for folder, text in several.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", folder):
            raise ValueError(
                f"has a folder {folder!r}: use letters, digits, '.', '_' and '-' only, at most 63"
            )
        try:
            hub = HubConnection.parse(text)
        except ValueError as error:
            raise ValueError(f"has a folder {folder!r} whose hub {error}") from None
        if hub.name in folders:
            raise ValueError(
                f"has two folders, {folders[hub.name]!r} and {folder!r}, for one hub "
                f"({hub.name}); keep one of them"
            )
        folders[hub.name] = folder
        hubs[folder] = hub
    return HubRoutes(hubs)
