"""Finds new versions of blobs for triggers with the source LogsAndContainerScan."""

from __future__ import annotations

import logging
from typing import Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties

from local.host.messages import BlobTriggerMessage, function_id, strip_quotes, trigger_queue_name
from local.host.storage import StorageClients
from local.host.triggers import BlobTrigger

__all__ = ["BlobScanner"]

logger = logging.getLogger(__name__)

_HOSTS_CONTAINER: Final = "azure-webjobs-hosts"
_COMPLETED: Final = {"Completed": "true"}


class BlobScanner:
    """Queues each version of a blob once per function, by receipts in the host's account.

    A receipt is written after its message is queued, so that a crash between the two repeats a
    version instead of losing it (WebJobs SDK, BlobTriggerExecutor).
    """

    def __init__(self, clients: StorageClients, host_id: str) -> None:
        self._clients = clients
        self._host_id = host_id
        #: Versions with a receipt at the last scan, by function; saves a request for each.
        self._known: dict[str, set[tuple[str, str]]] = {}

    def scan(self, function: str, trigger: BlobTrigger) -> int:
        """List the trigger's container once; return how many messages were queued."""
        container = self._clients.blobs(trigger.connection).get_container_client(
            trigger.path.container
        )
        known = self._known.get(function, set())
        seen: set[tuple[str, str]] = set()
        queued = 0
        try:
            for blob in container.list_blobs():
                if not trigger.path.matches(blob.name):
                    continue
                version = (blob.name, strip_quotes(blob.etag))
                if version not in known:
                    queued += self._announce_once(function, trigger, blob)
                seen.add(version)
        except ResourceNotFoundError:
            logger.debug("container %s does not exist yet", trigger.path.container)
        self._known[function] = seen
        return queued

    def _announce_once(self, function: str, trigger: BlobTrigger, blob: BlobProperties) -> bool:
        message = BlobTriggerMessage(
            function_id=function_id(function),
            blob_type=blob.blob_type.value,
            container=trigger.path.container,
            blob=blob.name,
            etag=strip_quotes(blob.etag),
        )
        receipt = self._receipt(message)
        if receipt.exists():
            return False
        self._clients.queue(trigger_queue_name(self._host_id)).send_message(message.to_json())
        self._write(receipt)
        return True

    def _receipt(self, message: BlobTriggerMessage) -> BlobClient:
        """The ETag precedes the name of the blob, which may contain slashes."""
        version = f"{message.etag}/{message.container}/{message.blob}"
        name = f"blobreceipts/{self._host_id}/{message.function_id}/{version}"
        return self._clients.blobs().get_blob_client(_HOSTS_CONTAINER, name)

    def _write(self, receipt: BlobClient) -> None:
        try:
            receipt.upload_blob(b"", metadata=_COMPLETED, overwrite=True)
        except ResourceNotFoundError:
            try:
                self._clients.blobs().create_container(_HOSTS_CONTAINER)
            except ResourceExistsError:
                logger.debug("container %s was created by another host", _HOSTS_CONTAINER)
            receipt.upload_blob(b"", metadata=_COMPLETED, overwrite=True)
