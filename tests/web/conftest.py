"""The app under test, served over HTTP."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator

import pytest

import function_app
from iothub_emulator import HubEmulator
from local.host import FunctionsHost, Keys
from tests.app import ROOT, App
from tests.events.conftest import app_with_receiver as app_with_receiver
from tests.events.conftest import receiver as receiver
from tests.web.support import KEY, Client, TwoHubs

#: A leap day: timers fire only when a test triggers them.
NEVER = "0 0 0 29 2 *"


@pytest.fixture
def client(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    # Schedules are references to environment variables.
    importlib.reload(function_app)
    monkeypatch.setattr(function_app, "importer", lambda: app.importer)
    settings = {**app.settings, "POLL_SCHEDULE": NEVER, "SWEEP_SCHEDULE": NEVER}
    with (
        FunctionsHost(
            function_app.app,
            settings,
            ROOT / "host.json",
            host_id=f"{app.container}-http",
            keys=Keys(KEY),
        ) as host,
        Client(host.address) as client,
    ):
        yield client


@pytest.fixture
def two_hubs(app: App, storage_connection_string: str) -> Iterator[TwoHubs]:
    """The app's hub and a second one, each with its folder."""
    with HubEmulator(identity_connection_string=storage_connection_string) as east:
        hubs = {"east": east, "west": app.hub}
        strings = {name: hub.connection_string("registryReadWrite") for name, hub in hubs.items()}
        app.configure(IOTHUB=json.dumps(strings))
        yield TwoHubs(app, east)
