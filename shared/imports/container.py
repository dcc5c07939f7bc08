"""The container of one import: what was validated, the hub's log, and the report."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, ContainerClient

from shared.devices.linemap import LineMap
from shared.hub.errorlog import LOG_NAME
from shared.storage import CHUNK_BYTES

__all__ = [
    "PREFIX",
    "BlockWriter",
    "ImportContainer",
    "StoredFile",
    "container_name",
    "staged_name",
]

#: Names of the containers of imports begin so.
PREFIX = "import-"
#: What the hub is given, in its own format and under its default name.
STAGED_NAME = "devices.txt"
REPORT_NAME = "report.json"
PROBLEMS_NAME = "problems.csv"
RETRY_NAME = "retry.ndjson"
LINES_NAME = "lines.bin"


def container_name(import_id: str, attempt: int = 1) -> str:
    return f"{PREFIX}{import_id}" if attempt == 1 else f"{PREFIX}{import_id}-{attempt}"


def staged_name(fences: int) -> str:
    """What the staged file is called after so many changes of its name."""
    return f"devices-{fences}.txt" if fences else STAGED_NAME


class BlockWriter:
    """Writes a blob of any length block by block; nothing of it can be read before `commit`.

    A blob of less than a block takes one request.
    """

    def __init__(self, blob: BlobClient) -> None:
        self._blob = blob
        self._buffer = bytearray()
        self._blocks: list[BlobBlock] = []

    def write(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= CHUNK_BYTES:
            self._flush()

    def commit(self, overwrite: bool = True) -> None:
        """Make the blob.

        Raises:
            ResourceExistsError: there is one, which is not to be overwritten.
        """
        if not self._blocks:
            self._blob.upload_blob(bytes(self._buffer), overwrite=overwrite)
            return
        if self._buffer:
            self._flush()
        condition: dict[str, Any] = {}
        if not overwrite:
            condition = {"match_condition": MatchConditions.IfMissing}
        self._blob.commit_block_list(self._blocks, **condition)

    def _flush(self) -> None:
        # Another process may write the same blob: its blocks must not take the place of these.
        block = BlobBlock(uuid.uuid4().hex)
        self._blob.stage_block(block.id, bytes(self._buffer))
        self._blocks.append(block)
        self._buffer.clear()


class StoredFile:
    """A file of an import, read piece by piece."""

    def __init__(self, blob: BlobClient) -> None:
        """Look at the file.

        Raises:
            ResourceNotFoundError: it is not there.
        """
        properties = blob.get_blob_properties()
        self._blob = blob
        self._version: dict[str, Any] = {
            "etag": properties.etag,
            "match_condition": MatchConditions.IfNotModified,
        }
        #: Bytes.
        self.size: int = properties.size
        self.etag: str = properties.etag

    def read(self, start: int, length: int) -> bytes:
        """Some bytes of it.

        Raises:
            ResourceModifiedError: it was written anew meanwhile.
        """
        if not length:
            return b""
        data: bytes = self._blob.download_blob(start, length, **self._version).readall()
        return data

    def chunks(self) -> Iterator[bytes]:
        """All of it."""
        if self.size:
            yield from self._blob.download_blob(**self._version).chunks()


class ImportContainer:
    """The blobs of one import, by what they are."""

    def __init__(self, client: ContainerClient) -> None:
        self._client = client

    def create(self, owner: dict[str, str]) -> dict[str, str]:
        """Make the container; returns the owner that it has, which may have been there before."""
        try:
            self._client.create_container(metadata=owner)
        except ResourceExistsError:
            return dict(self._client.get_container_properties().metadata)
        return owner

    def staging(self) -> BlockWriter:
        return BlockWriter(self._client.get_blob_client(STAGED_NAME))

    def staged_lines(self, fences: int) -> Iterator[bytes]:
        """The lines that the hub was given."""
        return self._lines(staged_name(fences))

    def copy_staged(self, fences: int) -> None:
        """Write the staged file under its next name too, unless it is there already."""
        writer = BlockWriter(self._client.get_blob_client(staged_name(fences + 1)))
        for chunk in self._client.download_blob(staged_name(fences)).chunks():
            writer.write(chunk)
        with contextlib.suppress(ResourceExistsError):
            writer.commit(overwrite=False)

    def delete_staged_before(self, fences: int) -> None:
        """Take away the names that the staged file had before."""
        for earlier in range(fences):
            with contextlib.suppress(ResourceNotFoundError):
                self._client.delete_blob(staged_name(earlier))

    def retry_lines(self) -> Iterator[bytes]:
        """The staged lines that the hub refused."""
        return self._lines(RETRY_NAME)

    def retrying(self) -> BlockWriter:
        return BlockWriter(self._client.get_blob_client(RETRY_NAME))

    def write_line_map(self, lines: LineMap) -> None:
        self._client.upload_blob(LINES_NAME, lines.to_bytes(), overwrite=True)

    def line_map(self) -> LineMap:
        return LineMap.from_bytes(self._client.download_blob(LINES_NAME).readall())

    def has_error_log(self) -> bool:
        """Whether a job has run: the hub writes its log at the end of each."""
        return self._client.get_blob_client(LOG_NAME).exists()

    def error_log(self) -> Iterator[bytes] | None:
        """The hub's log in chunks; None if the hub has written none."""
        blob = self._client.get_blob_client(LOG_NAME)
        try:
            # Mostly it is empty, and an empty blob takes two requests to download.
            if blob.get_blob_properties().size == 0:
                return iter(())
            return iter(blob.download_blob().chunks())
        except ResourceNotFoundError:
            return None

    def write_report(self, report: dict[str, Any]) -> str:
        """Write report.json; returns its path, container included."""
        data = json.dumps(report, ensure_ascii=False, indent=2).encode()
        self._client.upload_blob(REPORT_NAME, data, overwrite=True)
        return self._path(REPORT_NAME)

    def read_report(self) -> dict[str, Any]:
        """What report.json says now."""
        report: dict[str, Any] = json.loads(self._client.download_blob(REPORT_NAME).readall())
        return report

    @property
    def retry_path(self) -> str:
        """Path of retry.ndjson, container included."""
        return self._path(RETRY_NAME)

    def file(self, name: str) -> StoredFile:
        """One of its files, to be handed on as it is.

        Raises:
            ResourceNotFoundError: there is none.
        """
        return StoredFile(self._client.get_blob_client(name))

    def write_problems(self, rows: Iterable[str]) -> str:
        """Write problems.csv; returns its path, container included."""
        writer = BlockWriter(self._client.get_blob_client(PROBLEMS_NAME))
        for row in rows:
            writer.write(row.encode())
        writer.commit()
        return self._path(PROBLEMS_NAME)

    def _path(self, name: str) -> str:
        return f"{self._client.container_name}/{name}"

    def _lines(self, name: str) -> Iterator[bytes]:
        tail = b""
        for chunk in self._client.download_blob(name).chunks():
            *lines, tail = (tail + chunk).split(b"\n")
            yield from lines
