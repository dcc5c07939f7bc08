"""Finds new versions of blobs for triggers with the source LogsAndContainerScan."""

from __future__ import annotations

import logging

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties

from local.host.messages import BlobTriggerMessage, function_id, quoted, trigger_queue_name
from local.host.storage import StorageClients
from local.host.triggers import BlobTrigger

__all__ = ["BlobScanner"]

logger = logging.getLogger(__name__)


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
                version = (blob.name, quoted(blob.etag))
                if version in known:
                    pass
                elif _has_dot_folder(blob.name):
                    logger.warning("%r is not announced: clients resolve its path", blob.name)
                else:
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
            etag=quoted(blob.etag),
        )
        # The ETag precedes the name of the blob, which may contain slashes.
        version = f"{message.etag}/{message.container}/{message.blob}"
        receipt = f"blobreceipts/{self._host_id}/{message.function_id}/{version}"
        if self._clients.host_blob(receipt).exists():
            return False
        self._clients.queue(trigger_queue_name(self._host_id)).send_message(message.to_json())
        self._clients.create_host_blob(receipt)
        return True


def _has_dot_folder(name: str) -> bool:
    """Whether a request for the blob, or its receipt, is one for another (RFC 3986, 5.2.4).

    Storage rejects it, as its signature is of the name, which is no outage.
    """
    return not {".", ".."}.isdisjoint(name.split("/"))
