"""Blobs of any length, written block by block and read piece by piece."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, BlobProperties

from shared.errors import PermanentError
from shared.storage.client import CHUNK_BYTES, whole

__all__ = ["BlockWriter", "StoredFile", "SupersededError", "UploadedFile", "digest_of"]


class BlockWriter:
    """Writes a blob of any length; nothing of it can be read before `commit`.

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
        """The digest of what was written, as that of `digest_of`."""
        return self._hash.digest()

    def commit(self, overwrite: bool = True) -> str:
        """Create the blob; returns its ETag.

        Raises:
            ResourceExistsError: there is one, and it must not be overwritten.
        """
        if not self._blocks:
            return str(self._blob.upload_blob(bytes(self._buffer), overwrite=overwrite)["etag"])
        if self._buffer:
            self._flush()
        condition: dict[str, Any] = (
            {} if overwrite else {"match_condition": MatchConditions.IfMissing}
        )
        return str(self._blob.commit_block_list(self._blocks, **condition)["etag"])

    def _flush(self) -> None:
        # Another process may write the same blob: its blocks must not replace these.
        block = BlobBlock(uuid.uuid4().hex)
        self._blob.stage_block(block.id, bytes(self._buffer))
        self._blocks.append(block)
        self._buffer.clear()


class StoredFile:
    """The present version of a blob, read piece by piece."""

    def __init__(self, blob: BlobClient) -> None:
        """Read the properties of the blob.

        Raises:
            ResourceNotFoundError: there is none.
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
            ResourceModifiedError: it was overwritten.
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

    def lines(self) -> Iterator[bytes]:
        """All of it by lines, without their ends."""
        tail = b""
        for chunk in self.chunks():
            *lines, tail = (tail + chunk).split(b"\n")
            yield from lines
        if tail:
            yield tail


class SupersededError(PermanentError):
    """The upload was overwritten or deleted."""


class UploadedFile:
    """Reads a blob in the version of its record, and no other."""

    def __init__(self, blob: BlobClient, etag: str, size: int) -> None:
        self._blob = blob
        self._size = size
        self._version: dict[str, Any] = {
            "etag": f'"{etag}"',
            "match_condition": MatchConditions.IfNotModified,
        }

    def properties(self) -> BlobProperties:
        """The blob's properties.

        Raises:
            SupersededError: there is another version, or none.
        """
        try:
            return self._blob.get_blob_properties(**self._version)
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise SupersededError from error

    def is_deleted(self) -> bool:
        """Whether there is no blob of that name, in any version."""
        return not self._blob.exists()

    def chunks(self) -> Iterator[bytes]:
        """The content as it is stored.

        Raises:
            SupersededError: there is another version, or none.
            IncompleteReadError: it is not as long as the blob.
        """
        try:
            yield from whole(self._blob.download_blob, self._size, **self._version)
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise SupersededError from error


def digest_of(chunks: Iterable[bytes]) -> bytes:
    digest = hashlib.blake2b()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()
