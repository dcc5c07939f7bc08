"""One version of a blob in the upload container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties

from shared.errors import PermanentError
from shared.storage.client import whole

__all__ = ["SupersededError", "UploadedFile"]


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
