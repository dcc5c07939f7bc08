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
from pydantic.alias_generators import to_camel

__all__ = [
    "HUB_CONNECT_TIMEOUT",
    "HUB_DEADLINE",
    "HUB_READ_TIMEOUT",
    "STORAGE_CONNECTION",
    "HubConnection",
    "HubRoutes",
    "StorageConnection",
    "parse_hubs",
]

#: Timeouts of a call to a hub, in seconds. Before it confirms a job, the hub checks the storage.
HUB_CONNECT_TIMEOUT = 10
HUB_READ_TIMEOUT = 60
#: For the whole call, however slowly the answer arrives.
HUB_DEADLINE = HUB_CONNECT_TIMEOUT + HUB_READ_TIMEOUT + 10

#: The name of the storage connection: uploads, import containers and the table.
STORAGE_CONNECTION = "ImporterStorage"

#: The account of Azurite and of the older storage emulator. Its key is public.
_DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)

#: With a port for an emulator.
_HOST_NAME = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?")

#: Host names of IoT Hub, in all clouds: `fleet.azure-devices.net`,
#: `fleet.service.azure-devices.net`, and for devices only `fleet.device.azure-devices.net`.
_AZURE_HUB = re.compile(r"([a-z0-9-]+)(?:\.([a-z0-9-]+))?\.azure-devices\.[a-z.]+(?::[0-9]+)?")


class StorageConnection(BaseModel):
    """A storage account, by connection string or by the endpoints of identity-based access."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    connection_string: SecretStr | None = None
    blob_service_uri: str | None = Field(
        None, description="Blob endpoint, such as https://fleet.blob.core.windows.net."
    )
    queue_service_uri: str | None = Field(
        None, description="Queue endpoint, for the host's poison queue."
    )
    table_service_uri: str | None = Field(None, description="Table endpoint.")
    credential: str | None = Field(
        None, description="`managedidentity`, for a user-assigned identity."
    )
    client_id: str | None = Field(None, description="Client id of the user-assigned identity.")

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
            _check_storage_string(self.connection_string.get_secret_value())
            return self
        # The app itself needs no queue; the host's poison queue for blob events does.
        uris = {
            f"{STORAGE_CONNECTION}__blobServiceUri": self.blob_service_uri,
            f"{STORAGE_CONNECTION}__queueServiceUri": self.queue_service_uri,
            f"{STORAGE_CONNECTION}__tableServiceUri": self.table_service_uri,
        }
        missing = [name for name, uri in uris.items() if not uri]
        invalid = [name for name, uri in uris.items() if uri and not _is_endpoint(uri)]
        problems = [f"lacks {', '.join(missing)}"] if missing else []
        problems += [f"has {name} that is not an https URL without a query" for name in invalid]
        if self.credential not in (None, "managedidentity"):
            problems.append(f"has a {STORAGE_CONNECTION}__credential other than managedidentity")
        if problems:
            raise ValueError(" and ".join(problems))
        return self


def _check_storage_string(text: str) -> None:
    parts = [part.partition("=") for part in text.strip().rstrip(";").split(";")]
    values = {name: value for name, _, value in parts if value}
    if len(values) < len(parts) or not {"AccountName", "AccountKey"} <= values.keys():
        raise ValueError("is not a connection string with AccountName and AccountKey")
    if not _is_base64(values["AccountKey"]):
        raise ValueError("has an AccountKey that is not base64")
    for name in values:
        primary = name.replace("Secondary", "")
        if name.endswith("SecondaryEndpoint") and primary not in values:
            raise ValueError(f"has a {name} without a {primary}")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _is_endpoint(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and not parts.query


@dataclass(frozen=True)
class HubConnection:
    """A hub's address and authentication: the key of a shared access policy, or Entra ID."""

    host_name: str
    #: None means Entra ID.
    policy: str | None = None
    key: SecretStr | None = None
    #: Plain http, for a hub emulator only.
    development: bool = False

    @property
    def name(self) -> str:
        """The hub's id, whichever of its host names is configured, and its partition key.

        The first label of an IoT Hub host name; host and port of any other.
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
            ValueError: it is neither. The message contains no part of the text.
        """
        text = text.strip().rstrip(";")
        if "=" not in text:
            if not _HOST_NAME.fullmatch(text):
                raise ValueError("is neither a connection string nor a host name")
            return cls(_service_host(text))
        if text.startswith("@Microsoft.KeyVault"):
            raise ValueError(
                "is an unresolved Key Vault reference; grant the app's identity the role Key Vault "
                "Secrets User"
            )
        pairs = [part.strip().partition("=")[::2] for part in text.split(";")]
        parts = dict(pairs)
        if len(parts) < len(pairs):
            raise ValueError("is a connection string that has a part twice")
        names = ("HostName", "SharedAccessKeyName", "SharedAccessKey")
        if missing := [name for name in names if not parts.get(name)]:
            raise ValueError(f"is a connection string without {', '.join(missing)}")
        if not _is_base64(parts["SharedAccessKey"]):
            raise ValueError("is a connection string whose SharedAccessKey is not base64")
        if not _HOST_NAME.fullmatch(parts["HostName"]):
            raise ValueError("is a connection string whose HostName is not a host name")
        return cls(
            _service_host(parts["HostName"]),
            parts["SharedAccessKeyName"],
            SecretStr(parts["SharedAccessKey"]),
            parts.get("UseDevelopmentEmulator", "").lower() == "true",
        )


def _service_host(host_name: str) -> str:
    """Return the host name in lower case.

    Raises:
        ValueError: it is not the host name of a hub's service API.
    """
    host_name = host_name.lower().rstrip(".")
    match = _AZURE_HUB.fullmatch(host_name)
    label = match[2] if match else ""
    if "." not in host_name and ":" not in host_name:
        problem = "has a host name without a domain"
    elif ".azure-devices-provisioning." in host_name:
        problem = "names a Device Provisioning Service"
    elif ".azure-devices." in host_name and label not in (None, "service", "device"):
        problem = "has a host name that is not of an IoT hub"
    elif label == "device":
        problem = "has a host name for devices only (.device.)"
    else:
        return host_name
    raise ValueError(f"{problem}; use the hub's host name, such as fleet.azure-devices.net")


@dataclass(frozen=True)
class HubRoutes:
    """The hub of each upload: a single hub, or the hub of the first folder of the blob's name."""

    #: By folder; the key is "" for a single hub.
    by_folder: Mapping[str, HubConnection]

    @property
    def by_name(self) -> dict[str, HubConnection]:
        return {hub.name: hub for hub in self.by_folder.values()}

    @property
    def folders(self) -> list[str]:
        """The folders with a hub; empty for a single hub."""
        return sorted(filter(None, self.by_folder))

    def hub_of(self, file: str) -> str | None:
        """Name of the hub of an upload; None if its folder has no hub."""
        folder, slash, _ = file.partition("/")
        hub = self.by_folder.get("") or (self.by_folder.get(folder) if slash else None)
        return hub.name if hub else None

    @property
    def is_single(self) -> bool:
        """Whether a single hub receives all uploads."""
        return "" in self.by_folder

    def folder_of(self, hub: str) -> str:
        """The folder of a hub; "" for a single hub."""
        return next(folder for folder, other in self.by_folder.items() if other.name == hub)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the folder {repeated!r} twice; keep one of them")
    return members


def parse_hubs(value: Any) -> Any:
    """Read one hub, or a JSON object of several by folder.

    Raises:
        ValueError: the problem, without keys.
    """
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("{"):
        return HubRoutes({"": HubConnection.parse(value)})
    try:
        members = json.loads(value, object_pairs_hook=_members)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("begins like a JSON object but is not one") from None
    if not members or not all(isinstance(text, str) for text in members.values()):
        raise ValueError("is a JSON object whose values are not all strings, or that is empty")
    hubs: dict[str, HubConnection] = {}
    folders: dict[str, str] = {}
    for folder, text in members.items():
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
