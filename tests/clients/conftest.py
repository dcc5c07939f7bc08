"""A hub and a place in storage for each client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from tests.emulator.support import Place


@pytest.fixture(scope="module")
def hub() -> Iterator[HubEmulator]:
    with HubEmulator(tls=True) as hub:
        yield hub


@pytest.fixture(scope="module")
def place(storage_connection_string: str) -> Iterator[Place]:
    with BlobServiceClient.from_connection_string(storage_connection_string) as service:
        yield Place(service)
