"""Storage clients for named connections."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

from azure.core.exceptions import ResourceExistsError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import (
    QueueClient,
    QueueServiceClient,
    TextBase64DecodePolicy,
    TextBase64EncodePolicy,
)

from local.host.errors import UsageError
from local.host.settings import HOST_CONNECTION

__all__ = ["StorageClients"]

# No retries: the loops of the host repeat failed requests.
_CLIENT_OPTIONS: Final[dict[str, Any]] = {"retry_total": 0, "connection_timeout": 5}


class StorageClients:
    """One blob and one queue client per connection, created at the first use.

    A connection is a connection string, or for an identity the service's address in
    ``NAME__blobServiceUri``, ``NAME__queueServiceUri``, ``NAME__serviceUri`` (blobs) or the
    account in ``NAME__accountName`` (Azure Functions, "identity-based connections").
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._lock = Lock()
        self._blobs: dict[str, BlobServiceClient] = {}
        self._queue_services: dict[str, QueueServiceClient] = {}
        self._queues: dict[tuple[str, str], QueueClient] = {}

    def blobs(self, connection: str = HOST_CONNECTION) -> BlobServiceClient:
        with self._lock:
            if connection not in self._blobs:
                self._blobs[connection] = self._make_blobs(connection)
            return self._blobs[connection]

    def queue(self, name: str, connection: str = HOST_CONNECTION) -> QueueClient:
        """A queue, created if missing; messages are Base64, as those of the extension."""
        with self._lock:
            if (connection, name) not in self._queues:
                if connection not in self._queue_services:
                    self._queue_services[connection] = self._make_queues(connection)
                queue = self._queue_services[connection].get_queue_client(
                    name,
                    message_encode_policy=TextBase64EncodePolicy(),
                    message_decode_policy=TextBase64DecodePolicy(),
                )
                with contextlib.suppress(ResourceExistsError):
                    queue.create_queue()
                self._queues[connection, name] = queue
            return self._queues[connection, name]

    def close(self) -> None:
        with self._lock:
            for blobs in self._blobs.values():
                blobs.close()
            for queues in self._queue_services.values():
                queues.close()
            self._blobs.clear()
            self._queue_services.clear()
            self._queues.clear()

    def _make_blobs(self, connection: str) -> BlobServiceClient:
        if text := self._settings.get(connection):
            return BlobServiceClient.from_connection_string(text, **_CLIENT_OPTIONS)
        address = self._address(connection, "blob", ("__blobServiceUri", "__serviceUri"))
        return BlobServiceClient(address, DefaultAzureCredential(), **_CLIENT_OPTIONS)

    def _make_queues(self, connection: str) -> QueueServiceClient:
        if text := self._settings.get(connection):
            return QueueServiceClient.from_connection_string(text, **_CLIENT_OPTIONS)
        address = self._address(connection, "queue", ("__queueServiceUri",))
        return QueueServiceClient(address, credential=DefaultAzureCredential(), **_CLIENT_OPTIONS)

    def _address(self, connection: str, service: str, suffixes: tuple[str, ...]) -> str:
        for suffix in suffixes:
            if address := self._settings.get(connection + suffix):
                return address
        account = self._settings.get(f"{connection}__accountName")
        if not account:
            raise UsageError(
                f"connection '{connection}' has no address of the {service} service: "
                f"set {connection}{suffixes[0]}"
            )
        return f"https://{account}.{service}.core.windows.net"
