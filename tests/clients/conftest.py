"""A hub and a storage container for each client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from tests.emulator.support import JobContainer


@pytest.fixture(scope="module")
def hub() -> Iterator[HubEmulator]:
    with HubEmulator(tls=True) as hub:
        yield hub


@pytest.fixture(scope="module")
def job_container(storage_connection_string: str) -> Iterator[JobContainer]:
    with BlobServiceClient.from_connection_string(storage_connection_string) as service:
        yield JobContainer(service)
