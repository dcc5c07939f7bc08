"""A storage account for all clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobServiceClient


@pytest.fixture(scope="session")
def blob_service(storage_connection_string: str) -> Iterator[BlobServiceClient]:
    with BlobServiceClient.from_connection_string(storage_connection_string) as service:
        yield service
