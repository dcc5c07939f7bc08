"""A separate storage account, so that the sweep lists few other rows; SDKs do not wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.core.pipeline.transport import HttpTransport
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from local.azurite import Azurite
from shared.imports.workflow.event_publisher import EventPublisher
from tests.faults.injection import Answers, Transport
from tests.faults.stored_state import StorageAccount


@pytest.fixture(scope="session")
def account() -> Iterator[StorageAccount]:
    with Answers(), Azurite() as azurite:
        text = azurite.connection_string
        with (
            BlobServiceClient.from_connection_string(text, transport=Transport(None)) as blobs,
            TableServiceClient.from_connection_string(text, transport=Transport(None)) as tables,
        ):
            yield StorageAccount(text, blobs, tables)


@pytest.fixture(scope="package", autouse=True)
def _no_sdk_delays() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HttpTransport, "sleep", lambda *_: None)
        yield


@pytest.fixture(scope="package", autouse=True)
def _events_stay_in_outbox() -> Iterator[None]:
    """Threads that send them would take turns with the requests of the app."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventPublisher, "offer", lambda *_: None)
        patch.setattr(EventPublisher, "send", lambda *_: None)
        yield
