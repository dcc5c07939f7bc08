from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.host import UsageError
from local.host.storage import StorageClients


@pytest.fixture
def clients() -> Iterator[StorageClients]:
    made = StorageClients(
        {
            "Account__accountName": "acme",
            "Full__blobServiceUri": "https://full.blob.core.windows.net",
            "Input__serviceUri": "https://input.blob.core.windows.net",
        }
    )
    yield made
    made.close()


@pytest.mark.parametrize(
    ("connection", "account"), [("Account", "acme"), ("Full", "full"), ("Input", "input")]
)
def test_identity_based_connection(clients: StorageClients, connection: str, account: str) -> None:
    service = clients.blobs(connection)
    assert service.url == f"https://{account}.blob.core.windows.net/"
    assert clients.blobs(connection) is service


def test_queue_requires_its_own_address(clients: StorageClients) -> None:
    with pytest.raises(UsageError, match="set Full__queueServiceUri"):
        clients.queue("any", "Full")
