"""The container of one import: what was validated, the hub's log, and the report."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, ContainerClient

from shared.device_files.line_map import LineMap
from shared.errors import PermanentError, TemporaryError
from shared.hub.errorlog import LOG_NAME
from shared.imports.model.record import ImportRecord
from shared.storage.client import CHUNK_BYTES, whole

__all__ = [
    "PREFIX",
    "BlockWriter",
    "ForeignContainerError",
    "ImportContainer",
    "LinesLostError",
    "StagedFileChangedError",
    "StoredFile",
    "container_name",
    "staged_name",
]

#: Names of the containers of imports begin so.
PREFIX = "import-"
#: What the hub is given, in its own format and under its default name.
STAGED_NAME = "devices.txt"
PROBLEMS_NAME = "problems.csv"
LINES_NAME = "lines.bin"


class ForeignContainerError(TemporaryError):
    """The container of an import belongs to somebody else."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The container {name} is not this import's, as its metadata say. Delete the container "
            "if nobody needs it."
        )


class LinesLostError(TemporaryError):
    """Not every line that was staged is there."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"{found:,} of {expected:,} lines are in the staged file.")


class StagedFileChangedError(PermanentError):
    """The staged file is not the one that was validated."""


def container_name(import_id: str, attempt: int = 1) -> str:
    return f"{PREFIX}{import_id}" if attempt == 1 else f"{PREFIX}{import_id}-{attempt}"


def staged_name(staged_generation: int) -> str:
    """What the staged file is called after so many changes of its name."""
    return f"devices-{staged_generation}.txt" if staged_generation else STAGED_NAME


def _number_of(name: str) -> int:
    """How often the staged file of this name had got another one."""
    number = name.removeprefix("devices-").removesuffix(".txt")
    return int(number) if number.isdecimal() else 0


class BlockWriter:
    """Writes a blob of any length block by block; nothing of it can be read before `commit`.

    A blob of less than a block takes one request.
    """

    def __init__(self, blob: BlobClient) -> None:
        self._blob = blob
        self.name = str(blob.blob_name)
        self._buffer = bytearray()
        self._blocks: list[BlobBlock] = []
        #: Lines and bytes that were written.
        self.lines = 0
        self.size = 0
        self._hash = hashlib.blake2b()

    def write(self, data: bytes) -> None:
        self.lines += data.count(b"\n")
        self.size += len(data)
        self._hash.update(data)
        self._buffer += data
        if len(self._buffer) >= CHUNK_BYTES:
            self._flush()

    @property
    def digest(self) -> bytes:
        """Of what was written."""
        return self._hash.digest()

    def commit(self, overwrite: bool = True) -> str:
        """Make the blob; returns its ETag.

        Raises:
            ResourceExistsError: there is one, which is not to be overwritten.
        """
        if not self._blocks:
            return str(self._blob.upload_blob(bytes(self._buffer), overwrite=overwrite)["etag"])
        if self._buffer:
            self._flush()
        condition: dict[str, Any] = {}
        if not overwrite:
            condition = {"match_condition": MatchConditions.IfMissing}
        return str(self._blob.commit_block_list(self._blocks, **condition)["etag"])

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
        stream = self._blob.download_blob(start, length, decompress=False, **self._version)
        data: bytes = stream.readall()
        return data

    def chunks(self) -> Iterator[bytes]:
        """All of it.

        Raises:
            IncompleteReadError: not all of it could be read.
        """
        return whole(self._blob.download_blob, self.size, **self._version)


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

    def check_staged(self, record: ImportRecord) -> None:
        """Make sure that the hub will read what was validated.

        Raises:
            StagedFileChangedError: the staged file was deleted or changed.
        """
        with contextlib.suppress(ResourceNotFoundError):
            file = self.file(staged_name(record.staged_generation))
            if (file.etag, file.size) == (record.staged_etag, record.staged_bytes):
                return
        raise StagedFileChangedError(
            f"The staged file {self._path(staged_name(record.staged_generation))} was deleted or "
            "changed after it was validated. Upload the device file again."
        )

    def was_staged_file_edited(self, record: ImportRecord) -> bool:
        """Whether the staged file is another one than was validated; if it is gone, it is not."""
        try:
            return self.file(staged_name(record.staged_generation)).etag != record.staged_etag
        except ResourceNotFoundError:
            return False

    def staged_lines(self, record: ImportRecord) -> Iterator[bytes]:
        """The lines that the hub was given.

        Raises:
            StagedFileChangedError: the file is not the one that was staged.
            LinesLostError: there are more or fewer than were staged.
        """
        file = self.file(staged_name(record.staged_generation))
        if file.etag != record.staged_etag:
            raise StagedFileChangedError
        count = 0
        for line in self._lines(file):
            count += 1
            yield line
        if count != record.devices:
            raise LinesLostError(record.devices or 0, count)

    def copy_staged(self, record: ImportRecord) -> str:
        """Write the staged file under its next name too, unless it is there.

        Returns:
            The copy's ETag; "" if the staged file was deleted or changed since it was written.
        """
        name = staged_name(record.staged_generation + 1)
        target = self._client.get_blob_client(name)
        try:
            source = self.file(staged_name(record.staged_generation))
        except ResourceNotFoundError:
            return ""
        if source.etag != record.staged_etag:
            return ""
        writer = BlockWriter(target)
        for chunk in source.chunks():
            writer.write(chunk)
        return self.commit_once(writer)

    def commit_once(self, writer: BlockWriter) -> str:
        """Commit a file that another process may have written too; returns its ETag.

        Raises:
            StagedFileChangedError: what is there is something else.
        """
        try:
            return writer.commit(overwrite=False)
        except ResourceExistsError:
            there = self.file(writer.name)
            if _digest(there.chunks()) != writer.digest:
                raise StagedFileChangedError(
                    f"{self._path(writer.name)} is not what was staged."
                ) from None
            return there.etag

    def delete_staged_before(self, staged_generation: int) -> None:
        """Take away the names that the staged file had before."""
        # By listing, as people may have edited the number. What another process wrote since stays.
        for blob in self._client.list_blobs(name_starts_with="devices"):
            if _number_of(blob.name) < staged_generation:
                with contextlib.suppress(ResourceNotFoundError):
                    self._client.delete_blob(blob.name)

    def retry_lines(self, record: ImportRecord) -> Iterator[bytes]:
        """The staged lines that the hub refused."""
        return self._lines(self.file_at(record.retry))

    def retrying(self) -> tuple[BlockWriter, str]:
        """A writer for the lines that the hub refused, and the path of the file."""
        name = _unique("retry", "ndjson")
        return BlockWriter(self._client.get_blob_client(name)), self._path(name)

    def write_line_map(self, lines: LineMap) -> None:
        self._client.upload_blob(LINES_NAME, lines.to_bytes(), overwrite=True)

    def line_map(self) -> LineMap:
        return LineMap.from_bytes(b"".join(self.file(LINES_NAME).chunks()))

    def has_error_log(self) -> bool:
        """Whether a job has run: the hub writes its log at the end of each."""
        return self._client.get_blob_client(LOG_NAME).exists()

    def error_log(self) -> Iterator[bytes] | None:
        """The hub's log in chunks; None if the hub has written none."""
        try:
            return self.file(LOG_NAME).chunks()
        except ResourceNotFoundError:
            return None

    def write_report(self, report: dict[str, Any]) -> str:
        """Write the report under a new name; returns its path, container included.

        A record chooses its report by that: what another process writes does not change it.
        """
        name = _unique("report", "json")
        data = json.dumps(report, ensure_ascii=False, indent=2).encode()
        self._client.upload_blob(name, data, overwrite=True)
        return self._path(name)

    def read_report(self, path: str) -> dict[str, Any]:
        """The report at a path that a record names.

        Raises:
            ResourceNotFoundError: it is not there.
            ValueError: it is not a JSON object.
        """
        report = json.loads(b"".join(self.file_at(path).chunks()))
        if not isinstance(report, dict):
            raise ValueError("The report is not a JSON object.")
        return report

    def file(self, name: str) -> StoredFile:
        """One of its files.

        Raises:
            ResourceNotFoundError: there is none.
        """
        return StoredFile(self._client.get_blob_client(name))

    def file_at(self, path: str) -> StoredFile:
        """One of its files, by the path that a record names.

        Raises:
            ResourceNotFoundError: there is none.
        """
        return self.file(path.rpartition("/")[2])

    def write_problems(self, rows: Iterable[str]) -> str:
        """Write problems.csv; returns its path, container included."""
        writer = BlockWriter(self._client.get_blob_client(PROBLEMS_NAME))
        for row in rows:
            writer.write(row.encode())
        writer.commit()
        return self._path(PROBLEMS_NAME)

    def _path(self, name: str) -> str:
        return f"{self._client.container_name}/{name}"

    def _lines(self, file: StoredFile) -> Iterator[bytes]:
        tail = b""
        for chunk in file.chunks():
            *lines, tail = (tail + chunk).split(b"\n")
            yield from lines
        if tail:
            yield tail


def _digest(chunks: Iterable[bytes]) -> bytes:
    content = hashlib.blake2b()
    for chunk in chunks:
        content.update(chunk)
    return content.digest()


def _unique(name: str, suffix: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}.{suffix}"
