"""Keeps a queue message hidden for as long as its function runs."""

from __future__ import annotations

import logging
import threading

from azure.core.exceptions import AzureError
from azure.storage.queue import QueueClient, QueueMessage

__all__ = ["LEASE_SECONDS", "MessageLease"]

logger = logging.getLogger(__name__)

#: How long a message stays hidden after its host died. The real host takes ten minutes; locally
#: a restart should show the second delivery without such a wait.
LEASE_SECONDS = 30


class MessageLease:
    """A received message. Inside ``with`` its visibility is renewed; afterwards it is ended.

    At least once: when a renewal or the ending fails, the message is delivered again.
    """

    def __init__(self, queue: QueueClient, message: QueueMessage, seconds: int) -> None:
        self._queue = queue
        self._message = message
        self._seconds = seconds
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="functions-lease", daemon=True)

    @classmethod
    def receive(cls, queue: QueueClient, seconds: int = LEASE_SECONDS) -> MessageLease | None:
        """Take the next visible message, if there is one."""
        message = queue.receive_message(visibility_timeout=seconds)
        return None if message is None else cls(queue, message, seconds)

    @property
    def text(self) -> str:
        text: str = self._message.content
        return text

    @property
    def dequeue_count(self) -> int:
        """1 at the first delivery."""
        return self._message.dequeue_count or 1

    def delete(self) -> None:
        """End the message: it has been dealt with."""
        self._queue.delete_message(self._message)

    def release(self) -> None:
        """Give the message back, visible at once."""
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
                logger.warning("message %s was not renewed: %s", self._message.id, error)

    def _update(self, seconds: int) -> None:
        updated = self._queue.update_message(self._message, visibility_timeout=seconds)
        self._message.pop_receipt = updated.pop_receipt
