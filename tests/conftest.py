"""Real parts for every test: one Azurite for the session, a hub emulator and the app per test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from iothub_emulator import HubEmulator
from local.azurite import Azurite
from shared.imports import tick
from tests.app import App

# No test depends on how fast the machine is.
hypothesis.settings.register_profile("importer", deadline=None)
hypothesis.settings.load_profile("importer")


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: tests often wait for Azurite, hubs and browsers."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def patient_ticks() -> Iterator[None]:
    """Ticks wait for their hubs however slow the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tick, "HUB_TIMEOUT", 600)
        yield


@pytest.fixture(scope="session")
def storage_connection_string() -> Iterator[str]:
    with Azurite() as azurite:
        yield azurite.connection_string


@pytest.fixture
def hub(request: pytest.FixtureRequest, storage_connection_string: str) -> Iterator[HubEmulator]:
    """A hub; tests set other options by indirect parametrization."""
    options = {"identity_connection_string": storage_connection_string}
    with HubEmulator(**{**options, **getattr(request, "param", {})}) as emulator:
        yield emulator


@pytest.fixture
def other_hub(storage_connection_string: str) -> Iterator[HubEmulator]:
    with HubEmulator(identity_connection_string=storage_connection_string) as emulator:
        yield emulator


@pytest.fixture
def app(
    storage_connection_string: str, hub: HubEmulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[App]:
    app = App(storage_connection_string, hub, monkeypatch)
    yield app
    app.close()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDKs retry without delay."""
    monkeypatch.setattr("azure.core.pipeline.transport.HttpTransport.sleep", lambda *_: None)
    monkeypatch.setattr("time.sleep", lambda _: None)
