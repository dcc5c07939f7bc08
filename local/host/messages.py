"""Queue messages by which blobs reach functions, and the lease of a received one."""

from __future__ import annotations

import base64
import json
import logging
import threading
from dataclasses import dataclass
from typing import Final

from azure.core.exceptions import AzureError
from azure.storage.queue import QueueClient, QueueMessage

__all__ = [
    "LEASE_SECONDS",
    "POISON_QUEUE",
    "BlobTriggerMessage",
    "MessageLease",
    "function_id",
    "quoted",
    "trigger_queue_name",
]

logger = logging.getLogger(__name__)

#: In the account of the blob (WebJobs SDK, SharedBlobQueueListenerFactory).
POISON_QUEUE: Final = "webjobs-blobtrigger-poison"
#: Seconds until the message of a terminated host is visible again. The real host has ten minutes,
#: which is too long to wait for after a local restart.
LEASE_SECONDS = 30


def trigger_queue_name(host_id: str) -> str:
    """The internal queue between discovery and delivery, in the host's account."""
    return f"azure-webjobs-blobtrigger-{host_id}"


def function_id(function: str) -> str:
    """Id of a function in messages and receipts; "Host.Functions" is the host's own class."""
    return f"Host.Functions.{function}"


def quoted(etag: str) -> str:
    """The ETag for receipts and messages, with quotes; lists of blobs have it without."""
    return f'"{etag.strip(chr(34))}"'


@dataclass(frozen=True)
class BlobTriggerMessage:
    """Content of a queue message (WebJobs SDK, BlobTriggerMessage); field names are its JSON."""

    function_id: str
    blob_type: str
    container: str
    blob: str
    etag: str

    def to_json(self) -> str:
        return json.dumps(
            {
                "Type": "BlobTrigger",
                "FunctionId": self.function_id,
                "BlobType": self.blob_type,
                "ContainerName": self.container,
                "BlobName": self.blob,
                "ETag": self.etag,
            },
            indent=2,
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> BlobTriggerMessage:
        """Read a message; ValueError if it is none."""
        try:
            content = json.loads(text)
            return cls(
                function_id=content["FunctionId"],
                blob_type=content["BlobType"],
                container=content["ContainerName"],
                blob=content["BlobName"],
                etag=content["ETag"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a message of a blob trigger") from error


class MessageLease:
    """A received message, which ``with`` keeps invisible.

    If a renewal or the deletion fails, the message is delivered again (at least once).
    """

    def __init__(self, queue: QueueClient, message: QueueMessage, seconds: int) -> None:
        self._queue = queue
        self._message = message
        self._seconds = seconds
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="functions-lease", daemon=True)

    @classmethod
    def receive(cls, queue: QueueClient, seconds: int = LEASE_SECONDS) -> MessageLease | None:
        """Receive the next visible message; None if there is none.

        A content that is not Base64 of UTF-8 is read as empty.
        """
        message = queue.receive_message(visibility_timeout=seconds)
        if message is None:
            return None
        try:
            message.content = base64.b64decode(message.content, validate=True).decode()
        except ValueError:
            message.content = ""
        return cls(queue, message, seconds)

    @property
    def text(self) -> str:
        text: str = self._message.content
        return text

    @property
    def dequeue_count(self) -> int:
        """1 at the first delivery."""
        return self._message.dequeue_count or 1

    def delete(self) -> None:
        """Delete the handled message."""
        self._queue.delete_message(self._message)

    def release(self) -> None:
        """Make the message visible again immediately."""
        self._update(0)

    def __enter__(self) -> MessageLease:
        self._renewer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._done.set()
        self._renewer.join()

    def _renew(self) -> None:
        while not self._done.wait(self._seconds / 3):
            try:
                self._update(self._seconds)
            except AzureError as error:
                logger.warning(
                    "renewing the lease of message %s failed: %s", self._message.id, error
                )

    def _update(self, seconds: int) -> None:
        updated = self._queue.update_message(self._message, visibility_timeout=seconds)
        self._message.pop_receipt = updated.pop_receipt
