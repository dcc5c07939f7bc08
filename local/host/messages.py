"""The message by which a blob reaches a function, and its queues."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

__all__ = [
    "POISON_QUEUE",
    "BlobTriggerMessage",
    "function_id",
    "strip_quotes",
    "trigger_queue_name",
]

#: In the account of the blob (WebJobs SDK, SharedBlobQueueListenerFactory).
POISON_QUEUE: Final = "webjobs-blobtrigger-poison"


def trigger_queue_name(host_id: str) -> str:
    """Internal queue between discovery and execution, in the host's account."""
    return f"webjobs-blobtrigger-{host_id}"


def function_id(function: str) -> str:
    """Id of a function in messages and receipts; "Host.Functions" is the host's own class."""
    return f"Host.Functions.{function}"


def strip_quotes(etag: str) -> str:
    """ETag as receipts and messages hold it: without the quotes of the HTTP header."""
    return etag.strip('"')


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
            }
        )

    @classmethod
    def from_json(cls, text: str) -> BlobTriggerMessage:
        content = json.loads(text)
        return cls(
            function_id=content["FunctionId"],
            blob_type=content["BlobType"],
            container=content["ContainerName"],
            blob=content["BlobName"],
            etag=content["ETag"],
        )
