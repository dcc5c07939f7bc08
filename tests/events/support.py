"""Helpers for tests of an app that sends events."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from shared.imports.store.outbox import PendingEvent
from shared.imports.workflow.event_publisher import EventPublisher
from tests.app import App, device

NAME = "pumps.ndjson"
KEY = "key-secret-0001"


def publisher(app: App) -> EventPublisher:
    event_publisher = app.importer.publisher
    assert event_publisher is not None
    return event_publisher


def tick(app: App) -> None:
    """Run a tick, and wait until its events are sent."""
    app.tick()
    publisher(app).wait()


def hub_of(app: App) -> str:
    return next(iter(app.importer.services.hubs))


def pending_events(app: App, hub: str = "") -> list[PendingEvent]:
    return app.importer.services.outbox.pending(hub or hub_of(app))


def reject(app: App, name: str = NAME) -> None:
    """An import that is rejected immediately."""
    app.upload(name, {"id": "no good"})
    app.deliver(name)


def later(app: App, time: timedelta) -> None:
    app.clock.ahead += time


def assert_no_secret(app: App, text: str) -> None:
    pattern = r"(?:Shared|Account)?AccessKey=([^;]+)|AccountKey=([^;]+)"
    keys = re.findall(pattern, app.settings["IOTHUB"] + ";" + app.settings["ImporterStorage"])
    secrets = ["c2lnbmF0dXJl", KEY, "path-secret", "query-secret", "ConnectionString"]
    secrets += [key for groups in keys for key in groups if key]
    assert len(secrets) > 6
    assert [secret for secret in secrets if secret in text] == []


def configure_two_hubs(app: App) -> None:
    """Configure the hubs north and east, which are never called: invalid files reach no hub."""
    _, _, credentials = app.hub.connection_string().partition(";")
    hosts = {name: f"HostName={name}.azure-devices.net;{credentials}" for name in ("north", "east")}
    app.configure(IOTHUB=json.dumps(hosts))


def completed(app: App) -> None:
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.finish()
