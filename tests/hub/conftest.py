"""Clients of hubs, and containers for their jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)

from local.azurite import ACCOUNT_KEY, ACCOUNT_NAME
from shared.connections import HubConnection
from shared.hub.client import HubClient

Connect = Callable[..., HubClient]


def no_credential() -> TokenCredential:
    raise AssertionError("a hub with a key needs no token")


@pytest.fixture
def connect() -> Iterator[Connect]:
    clients = []

    def connect(connection: str, api_version: str = "2021-04-12") -> HubClient:
        hub = HubConnection.parse(connection)
        client = HubClient(hub, no_credential, api_version, RequestsTransport())
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


@dataclass(frozen=True)
class JobContainer:
    """A container, and its URI with a SAS for a hub."""

    client: ContainerClient
    uri: str


@pytest.fixture
def job_container(storage_connection_string: str) -> Iterator[JobContainer]:
    name = f"import-{uuid4().hex}"
    with BlobServiceClient.from_connection_string(storage_connection_string) as service:
        sas = generate_container_sas(
            ACCOUNT_NAME,
            name,
            account_key=ACCOUNT_KEY,
            permission=ContainerSasPermissions(read=True, write=True, delete=True, list=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        container = service.create_container(name)
        yield JobContainer(container, f"{container.url}?{sas}")
