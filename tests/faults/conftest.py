"""A storage account of its own, so that the sweeper finds little else; SDKs do not wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.core.pipeline.transport import HttpTransport
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from local.azurite import Azurite
from tests.faults.injection import Answers, Transport
from tests.faults.view import Account


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as patch, Answers(), Azurite() as azurite:
        patch.setattr(HttpTransport, "sleep", lambda *_: None)
        text = azurite.connection_string
        with (
            BlobServiceClient.from_connection_string(text, transport=Transport(None)) as blobs,
            TableServiceClient.from_connection_string(text, transport=Transport(None)) as tables,
        ):
            yield Account(text, blobs, tables)
