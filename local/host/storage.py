"""Storage clients for named connections."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from threading import Event, Lock
from typing import Any, Final, TypeVar

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient, BlobServiceClient
from azure.storage.queue import (
    QueueClient,
    QueueServiceClient,
    TextBase64EncodePolicy,
)

from local.host.errors import HostError, OutageError, UsageError
from local.host.settings import HOST_CONNECTION

__all__ = ["Outages", "StorageClients"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds without storage that end the host, as observed at the real one.
OUTAGE_SECONDS = 24.0
_RETRY_SECONDS: Final = 1.0
_HOSTS_CONTAINER: Final = "azure-webjobs-hosts"

# No retries: ``Outages`` repeats failed requests.
_CLIENT_OPTIONS: Final[dict[str, Any]] = {
    "retry_total": 0,
    "connection_timeout": 5,
    "read_timeout": 10,
}


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
                    # `MessageLease` decodes: the SDK would fail at a message of somebody else.
                    message_encode_policy=TextBase64EncodePolicy(),
                )
                with contextlib.suppress(ResourceExistsError):
                    queue.create_queue()
                self._queues[connection, name] = queue
            return self._queues[connection, name]

    def forget_queue(self, name: str) -> None:
        """Create the queue again at its next use."""
        with self._lock:
            self._queues.pop((HOST_CONNECTION, name), None)

    def host_blob(self, name: str) -> BlobClient:
        """A blob in the container that the host has for itself."""
        return self.blobs().get_blob_client(_HOSTS_CONTAINER, name)

    def create_host_blob(self, name: str) -> None:
        """Create an empty blob, and the container, if they are missing."""
        blob = self.host_blob(name)
        with contextlib.suppress(ResourceExistsError):
            try:
                blob.upload_blob(b"")
            except ResourceNotFoundError:
                with contextlib.suppress(ResourceExistsError):
                    self.blobs().create_container(_HOSTS_CONTAINER)
                blob.upload_blob(b"")

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
            try:
                return BlobServiceClient.from_connection_string(text, **_CLIENT_OPTIONS)
            except ValueError:
                # The message of the error could contain a key.
                raise UsageError(f"{connection} is not a connection string of storage") from None
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


class Outages:
    """Repeats requests while storage is out of reach, and ends the host if it stays so."""

    def __init__(self, stop: Event, fail: Callable[[HostError], None]) -> None:
        self._stop = stop
        self._fail = fail

    def outlast(self, request: Callable[[], T]) -> T:
        """Send until there is an answer; AzureError when the host ends or is stopped."""
        end = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                return request()
            except AzureError as error:
                # The message of the error can contain an address with a signature.
                code = getattr(error, "error_code", None) or getattr(error, "status_code", None)
                reason = f"{type(error).__name__}, {code}" if code else type(error).__name__
                if time.monotonic() >= end:
                    self._fail(
                        OutageError(
                            f"storage failed for {OUTAGE_SECONDS:g} seconds ({reason}), "
                            "which ends the host, as in Azure: check the storage connections"
                        )
                    )
                elif not self._stop.is_set():
                    logger.warning("storage fails (%s); it is tried again", reason)
                if self._stop.wait(_RETRY_SECONDS):
                    raise
