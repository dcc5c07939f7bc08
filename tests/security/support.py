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
        #: Those of the app's own loggers, without tracebacks.
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if _is_elsewhere():
            return
        self.lines.append(f"{record.name} {self.format(record)}")
        if record.name.startswith("shared"):
            self.messages.append(record.getMessage())

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


#: The hub emulator, which lives in the process of the test, and the client of the API.
_ELSEWHERE = (str(ROOT / "emulator"), str(ROOT / "tests" / "web" / "support.py"))


def _is_elsewhere() -> bool:
    """Whether it is not the app that calls this."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename.startswith(_ELSEWHERE):
            return True
    return False


def signatures_sent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Takes what each request of the app, from here on, proves by who sends it."""
    found: set[str] = set()
    send = ObservedTransport.send

    def listen(self: ObservedTransport, request: Any, **kwargs: Any) -> Any:
        if value := request.headers.get("Authorization"):
            # Of a storage request, or of a hub's token.
            [signature] = re.findall(r"^SharedKey \w+:(.+)$|\bsig=([^&]+)", value)
            found.update((text := "".join(signature), unquote(text)))
        return send(self, request, **kwargs)

    monkeypatch.setattr(ObservedTransport, "send", listen)
    return found


@dataclass(frozen=True)
class Blob:
    """A blob with all that can be read of it."""

    container: str
    name: str
    content: bytes
    metadata: dict[str, str] = field(default_factory=dict)


class Account:
    """The tables, containers and queues that came into a storage account since this was made."""

    def __init__(self, connection_string: str) -> None:
        self._resources = ExitStack()
        open_ = self._resources.enter_context
        self._tables = open_(TableServiceClient.from_connection_string(connection_string))
        self._blobs = open_(BlobServiceClient.from_connection_string(connection_string))
        self._queues = open_(QueueServiceClient.from_connection_string(connection_string))
        self._before = {*self._tables_now(), *(one.name for one in self._blobs.list_containers())}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def rows(self) -> list[dict[str, Any]]:
        """All rows of all tables, whatever they stand for."""
        return [
            dict(row)
            for name in self._tables_now() - self._before
            for row in self._tables.get_table_client(name).list_entities()
        ]

    def containers(self) -> dict[str, dict[str, str]]:
        """The containers with their metadata."""
        found = self._blobs.list_containers(include_metadata=True)
        return {one.name: one.metadata or {} for one in found if one.name not in self._before}

    def blobs(self) -> Iterator[Blob]:
        """All blobs of all containers."""
        for name in self.containers():
            container = self._blobs.get_container_client(name)
            for blob in container.list_blobs(include=["metadata", "snapshots", "tags"]):
                content = container.download_blob(blob.name).readall()
                yield Blob(name, blob.name, content, {**(blob.metadata or {}), **(blob.tags or {})})

    def messages(self) -> list[str]:
        """All messages of all queues, those of earlier tests too."""
        return [
            f"{message.content} {_decoded(message.content)}"
            for queue in self._queues.list_queues()
            for message in self._queues.get_queue_client(queue.name).receive_messages()
        ]

    def _tables_now(self) -> set[str]:
        return {table.name for table in self._tables.list_tables()}


def _decoded(content: str) -> str:
    """What a message says if it is base64, as the host's are; others may be anything."""
    with contextlib.suppress(ValueError):
        return base64.b64decode(content, validate=True).decode("utf-8", "replace")
    return ""
