"""Secrets, and the places that must not contain them."""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from tests.app import ROOT, ObservedTransport, device

PRIMARY = base64.b64encode(b"made-up primary key 0001").decode()
SECONDARY = base64.b64encode(b"made-up secondary key 01").decode()


def with_keys(
    device_id: str, primary: str = PRIMARY, secondary: str = SECONDARY, **members: object
) -> dict[str, object]:
    keys = {"primaryKey": primary, "secondaryKey": secondary}
    return device(device_id, authentication={"type": "sas", "symmetricKey": keys}, **members)


class CapturedLog(logging.Handler):
    """Records the log lines of the app and of its libraries, including tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        #: Messages of the app's own loggers, without tracebacks.
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if _called_outside_app():
            return
        self.lines.append(f"{record.name} {self.format(record)}")
        if record.name.startswith("shared"):
            self.messages.append(record.getMessage())

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


#: The hub emulator, which runs in the test process, and the test's HTTP client.
_OUTSIDE_APP = (str(ROOT / "emulator"), str(ROOT / "tests" / "web" / "support.py"))


def _called_outside_app() -> bool:
    """Whether the caller is the emulator or the test's HTTP client."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename.startswith(_OUTSIDE_APP):
            return True
    return False


def signatures_sent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Collect the signatures by which the app's requests authenticate."""
    signatures: set[str] = set()
    send = ObservedTransport.send

    def record_signature(self: ObservedTransport, request: Any, **kwargs: Any) -> Any:
        if value := request.headers.get("Authorization"):
            # The signature of a storage request or of a hub token.
            [signature] = re.findall(r"^SharedKey \w+:(.+)$|\bsig=([^&]+)", value)
            signatures.update((text := "".join(signature), unquote(text)))
        return send(self, request, **kwargs)

    monkeypatch.setattr(ObservedTransport, "send", record_signature)
    return signatures


@dataclass(frozen=True)
class Blob:
    """Content and metadata of a blob."""

    container: str
    name: str
    content: bytes
    metadata: dict[str, str] = field(default_factory=dict)


class Account:
    """Tables, containers and queues created in a storage account after this object."""

    def __init__(self, connection_string: str) -> None:
        self._resources = ExitStack()
        open_ = self._resources.enter_context
        self._tables = open_(TableServiceClient.from_connection_string(connection_string))
        self._blobs = open_(BlobServiceClient.from_connection_string(connection_string))
        self._queues = open_(QueueServiceClient.from_connection_string(connection_string))
        self._before = {
            *self._tables_now(),
            *(container.name for container in self._blobs.list_containers()),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def rows(self) -> list[dict[str, Any]]:
        """All rows of all tables."""
        return [
            dict(row)
            for name in self._tables_now() - self._before
            for row in self._tables.get_table_client(name).list_entities()
        ]

    def containers(self) -> dict[str, dict[str, str]]:
        """Metadata by container name."""
        signatures = self._blobs.list_containers(include_metadata=True)
        return {
            container.name: container.metadata or {}
            for container in signatures
            if container.name not in self._before
        }

    def blobs(self) -> Iterator[Blob]:
        """All blobs of all containers."""
        for name in self.containers():
            container = self._blobs.get_container_client(name)
            for blob in container.list_blobs(include=["metadata", "snapshots", "tags"]):
                content = container.download_blob(blob.name).readall()
                yield Blob(name, blob.name, content, {**(blob.metadata or {}), **(blob.tags or {})})

    def messages(self) -> list[str]:
        """All messages of all queues, including those of earlier tests."""
        return [
            f"{message.content} {_decoded(message.content)}"
            for queue in self._queues.list_queues()
            for message in self._queues.get_queue_client(queue.name).receive_messages()
        ]

    def _tables_now(self) -> set[str]:
        return {table.name for table in self._tables.list_tables()}


def _decoded(content: str) -> str:
    """The decoded content of a base64 message (the host's format), otherwise an empty string."""
    with contextlib.suppress(ValueError):
        return base64.b64decode(content, validate=True).decode("utf-8", "replace")
    return ""
