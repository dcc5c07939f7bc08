"""Delivers messages of the internal queue (WebJobs SDK, BlobQueueTriggerExecutor)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import AzureError, ResourceNotFoundError

from local.host.conversion import blob_argument
from local.host.invocation import Invoker
from local.host.messages import (
    POISON_QUEUE,
    BlobTriggerMessage,
    MessageLease,
    function_id,
    quoted,
    trigger_queue_name,
)
from local.host.storage import StorageClients
from local.host.triggers import BlobSource, BlobTrigger, HostedFunction

__all__ = ["BlobDelivery"]

logger = logging.getLogger(__name__)


class BlobDelivery:
    """At-least-once delivery of blobs to functions, with a poison queue."""

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
        """Receive the next message, which is invisible until it is handled or its lease ends."""
        try:
            return MessageLease.receive(self._clients.queue(self._queue_name))
        except ResourceNotFoundError:
            # It was deleted; the next call creates it again.
            self._clients.forget_queue(self._queue_name)
            raise

    def handle(self, lease: MessageLease) -> bool:
        """Handle one message; return whether a function was invoked.

        If the function fails, the message is delivered again immediately, up to the threshold.
        AzureError if storage fails before that.
        """
        try:
            message = BlobTriggerMessage.from_json(lease.text)
        except ValueError:
            logger.error("a message in %s is not of a blob trigger: deleted", self._queue_name)
            lease.delete()
            return False
        entry = self._functions.get(message.function_id)
        if entry is None or not self._is_current(message, entry[1]):
            lease.delete()
            return False
        function, trigger = entry
        if lease.dequeue_count > self._poison_threshold:
            # The host was terminated during the last attempt.
            self._poison(lease, trigger)
            return False
        settle = lease.delete
        try:
            with lease:
                self.invoke(function, trigger, message.container, message.blob)
        except Exception as error:
            logger.warning("attempt %d of %s failed: %r", lease.dequeue_count, message, error)
            if lease.dequeue_count >= self._poison_threshold:
                settle = functools.partial(self._poison, lease, trigger)
            else:
                settle = lease.release
        try:
            settle()
        except AzureError as error:
            # The caller repeats this method after an AzureError, which must not invoke again.
            logger.warning("the message will be delivered again: %s", type(error).__name__)
        return True

    def invoke(
        self, function: HostedFunction, trigger: BlobTrigger, container: str, blob: str
    ) -> Any:
        """Convert the argument and call once; exceptions propagate."""
        service = self._clients.blobs(trigger.connection)
        argument = blob_argument(trigger, service, container, blob)
        return self._invoker.invoke(function, argument, f"New blob detected: {container}/{blob}")

    def _is_current(self, message: BlobTriggerMessage, trigger: BlobTrigger) -> bool:
        """Whether the blob still exists and, for a scan, has the version of the message."""
        service = self._clients.blobs(trigger.connection)
        try:
            blob = service.get_blob_client(message.container, message.blob).get_blob_properties()
        except ResourceNotFoundError:
            logger.info("blob %s/%s does not exist any more", message.container, message.blob)
            return False
        return trigger.source is BlobSource.EVENT_GRID or quoted(blob.etag) == message.etag

    def _poison(self, lease: MessageLease, trigger: BlobTrigger) -> None:
        logger.error("message moved to %s after %d attempts", POISON_QUEUE, lease.dequeue_count)
        self._clients.queue(POISON_QUEUE, trigger.connection).send_message(lease.text)
        lease.delete()
