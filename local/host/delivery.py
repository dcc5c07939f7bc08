"""Takes messages of the internal queue to the functions (WebJobs SDK, BlobQueueTriggerExecutor)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from local.host.conversion import blob_argument
from local.host.functions import BlobSource, BlobTrigger, HostedFunction
from local.host.invocation import Invoker
from local.host.lease import MessageLease
from local.host.messages import (
    POISON_QUEUE,
    BlobTriggerMessage,
    function_id,
    strip_quotes,
    trigger_queue_name,
)
from local.host.storage import StorageClients

__all__ = ["BlobDelivery"]

logger = logging.getLogger(__name__)


class BlobDelivery:
    """At-least-once delivery of blobs to functions, with a poison queue at its end."""

    def __init__(
        self,
        functions: Mapping[str, tuple[HostedFunction, BlobTrigger]],
        clients: StorageClients,
        invoker: Invoker,
        host_id: str,
        poison_threshold: int,
    ) -> None:
        self._functions = {function_id(name): entry for name, entry in functions.items()}
        self._clients = clients
        self._invoker = invoker
        self._queue_name = trigger_queue_name(host_id)
        self._poison_threshold = poison_threshold

    def receive(self) -> MessageLease | None:
        """Take the next message, hidden from others until it is handled or its lease ends."""
        return MessageLease.receive(self._clients.queue(self._queue_name))

    def handle(self, lease: MessageLease) -> bool:
        """Deal with one message; return whether a function was invoked.

        A message whose function failed comes back at once, until its tries are used up.
        """
        message = BlobTriggerMessage.from_json(lease.text)
        entry = self._functions.get(message.function_id)
        if entry is None or not self._is_current(message, entry[1]):
            lease.delete()
            return False
        function, trigger = entry
        if lease.dequeue_count > self._poison_threshold:
            # Its host died in the last try, before it could count the failure.
            self._poison(lease, trigger)
            return False
        try:
            with lease:
                self.invoke(function, trigger, message.container, message.blob)
        except Exception as error:
            logger.warning("try %d of %s failed: %r", lease.dequeue_count, message, error)
            if lease.dequeue_count >= self._poison_threshold:
                self._poison(lease, trigger)
            else:
                lease.release()
        else:
            lease.delete()
        return True

    def invoke(
        self, function: HostedFunction, trigger: BlobTrigger, container: str, blob: str
    ) -> Any:
        """Convert and call once; exceptions of both propagate."""
        service = self._clients.blobs(trigger.connection)
        argument = blob_argument(trigger, service, container, blob)
        return self._invoker.invoke(function, argument, f"New blob detected: {container}/{blob}")

    def _is_current(self, message: BlobTriggerMessage, trigger: BlobTrigger) -> bool:
        """Events are not compared with the blob's version; a scan announces the new one itself."""
        service = self._clients.blobs(trigger.connection)
        try:
            blob = service.get_blob_client(message.container, message.blob).get_blob_properties()
        except ResourceNotFoundError:
            logger.info("blob %s/%s is gone", message.container, message.blob)
            return False
        return trigger.source is BlobSource.EVENT_GRID or strip_quotes(blob.etag) == message.etag

    def _poison(self, lease: MessageLease, trigger: BlobTrigger) -> None:
        logger.error("message moved to %s after %d tries", POISON_QUEUE, lease.dequeue_count)
        self._clients.queue(POISON_QUEUE, trigger.connection).send_message(lease.text)
        lease.delete()
