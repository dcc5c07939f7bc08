"""The storage clock can be read despite a failed request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from azure.core.credentials import TokenCredential
from pydantic import SecretStr

from shared.connections import StorageConnection
from shared.storage.client import Storage
from tests.faults.injection import Fault, Injection, Injector, Transport
from tests.faults.stored_state import StorageAccount


def _no_credential() -> TokenCredential:
    raise AssertionError("a connection string needs no token")


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST, Fault.ERROR])
def test_time_is_read_again_after_a_failure(
    account: StorageAccount, fault: Fault, *, exists: bool
) -> None:
    name = f"time-{fault.name.lower()}-{exists}".lower()
    if exists:
        account.blobs.create_container(name)
    injector = Injector([Injection(0, fault)], lambda: None)
    connection = StorageConnection(connectionString=SecretStr(account.connection_string))
    storage = Storage(connection, _no_credential, lambda: Transport(injector))
    try:
        time = storage.time_of(name)
    finally:
        storage.close()
    assert time is not None
    assert abs(time - datetime.now(UTC)) < timedelta(minutes=1)
