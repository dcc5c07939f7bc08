"""Fixtures of other packages, a captured log, and an observed storage account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import shell as shell
from tests.events.conftest import app_with_receiver as app_with_receiver
from tests.events.conftest import receiver as receiver
from tests.security.support import Account, CapturedLog
from tests.telemetry.conftest import captured_telemetry as captured_telemetry

# A storage account with Entra ID: each fixture requires the previous ones.
from tests.test_entra import azurite as azurite
from tests.test_entra import entra_app as entra_app
from tests.test_entra import identity as identity
from tests.test_entra import storage_settings as storage_settings
from tests.test_entra import tls as tls
from tests.web.conftest import client as client
from tests.web.conftest import two_hubs as two_hubs


@pytest.fixture
def captured_log(caplog: pytest.LogCaptureFixture) -> Iterator[CapturedLog]:
    """All log lines of the test, including DEBUG."""
    caplog.set_level("DEBUG")
    with CapturedLog() as captured_log:
        yield captured_log


@pytest.fixture
def account(storage_connection_string: str) -> Iterator[Account]:
    """Observe what the test adds to the storage account. Request this fixture before `app`."""
    with Account(storage_connection_string) as account:
        yield account
