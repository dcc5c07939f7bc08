"""A hub for each test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from iothub_emulator.registry.registry import Registry
from tests.emulator.support import HubClient, JobContainer, Line, RunImport, import_line


@pytest.fixture(scope="session")
def blob_service(storage_connection_string: str) -> Iterator[BlobServiceClient]:
    with BlobServiceClient.from_connection_string(storage_connection_string) as service:
        yield service


@pytest.fixture
def job_container(blob_service: BlobServiceClient) -> JobContainer:
    return JobContainer(blob_service)


@pytest.fixture
def ready(job_container: JobContainer) -> JobContainer:
    """A container with a valid import file."""
    job_container.write({"id": "pump", "status": "enabled"})
    return job_container


@pytest.fixture
def start_hub() -> Iterator[Callable[..., HubEmulator]]:
    """Start hubs with options."""
    with ExitStack() as hubs:
        yield lambda **options: hubs.enter_context(HubEmulator(**options))


@pytest.fixture
def hub(start_hub: Callable[..., HubEmulator]) -> HubEmulator:
    return start_hub()


@pytest.fixture
def client(hub: HubEmulator) -> HubClient:
    return HubClient(hub.connection_string())


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def run_import(registry: Registry) -> RunImport:
    """Import lines without a job; return the lines of importErrors.log."""

    def run(*lines: Line | str) -> list[dict[str, Any]]:
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        errors = (import_line(registry, text) for text in texts)
        return [json.loads(error) for error in errors if error is not None]

    return run
