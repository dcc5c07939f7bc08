"""Health check: each dependency fails in turn, and its finding states the fix."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from iothub_emulator import HubEmulator
from shared.imports.upkeep import health
from shared.imports.upkeep.health import Finding
from shared.settings import Settings
from tests.app import App, device


def findings_of(app: App) -> dict[str, Finding]:
    return {finding.name: finding for finding in app.importer.health.examine()}


def problems_of(app: App) -> dict[str, str]:
    return {
        name: finding.detail for name, finding in findings_of(app).items() if not finding.is_well
    }


@pytest.fixture
def closed_port_address() -> str:
    """A local address without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_healthy_before_and_after_the_first_import(app: App) -> None:
    before = findings_of(app)
    hub = next(iter(app.importer.services.hubs))
    assert list(before) == [
        f"table {app.settings['IMPORTS_TABLE']}",
        f"container {app.container}",
        "containers of imports",
        "SAS for the hub",
        "timers",
        "rows of open imports",
        f"hub {hub}",
    ]
    assert all(finding.is_well for finding in before.values())
    for timer in ("advance_hubs", "sweep"):
        assert f"{timer} has not run yet" in before["timers"].detail
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.finish()
    app.sweep()
    after = findings_of(app)
    assert all(finding.is_well for finding in after.values())
    for timer in ("advance_hubs", "sweep"):
        assert re.search(timer + r" last ran at [-0-9]+ [0-9:]+ UTC", after["timers"].detail)


def test_health_check_sends_only_read_requests(app: App) -> None:
    with app.counting() as requests:
        findings_of(app)
    assert {request.split()[0] for request in requests} <= {"GET", "HEAD"}
    assert len(requests) <= 10


def test_missing_upload_container(app: App) -> None:
    app.blobs.delete_container(app.container)
    assert problems_of(app) == {
        f"container {app.container}": f"There is no container {app.container!r}: create it, or "
        "correct UPLOAD_CONTAINER."
    }


def test_wrong_hub_key(app: App, other_hub: HubEmulator) -> None:
    connection = re.sub(
        r"SharedAccessKey=[^;]+",
        f"SharedAccessKey={base64.b64encode(b'of another hub').decode()}",
        other_hub.connection_string(),
    )
    valid = app.settings["IOTHUB"]
    app.configure(IOTHUB=json.dumps({"east": valid, "west": connection}))
    [(name, detail)] = problems_of(app).items()
    assert name == f"hub {other_hub.address}"
    assert "IoT Hub Data Contributor" in detail
    assert "registryReadWrite or iothubowner in IOTHUB" in detail


def test_hub_policy_without_required_permissions(app: App) -> None:
    app.configure(IOTHUB=app.hub.connection_string("service"))
    [(_, detail)] = problems_of(app).items()
    assert "registryReadWrite or iothubowner in IOTHUB" in detail


def test_unreachable_hub(app: App) -> None:
    app.hub.stop()
    [(name, detail)] = problems_of(app).items()
    assert name.startswith("hub ")
    assert detail.startswith("No connection to the hub: ")
    assert detail.endswith(". Check IOTHUB, and that the hub is reachable.")


def test_throttling_hub(app: App) -> None:
    app.hub.faults.add("throttle", operation="listJobs")
    [(_, detail)] = problems_of(app).items()
    assert "IOTHUB" not in detail


def test_unexpected_exception(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("of which nobody may read")

    monkeypatch.setattr(next(iter(app.importer.services.hubs.values())), "list_jobs", fail)
    [(_, detail)] = problems_of(app).items()
    assert detail == (
        "Unexpected error; the log of this request has the details. "
        "Check IOTHUB, and that the hub is reachable."
    )


def test_wrong_storage_account_key(app: App) -> None:
    storage = re.sub(
        r"AccountKey=[^;]+",
        f"AccountKey={base64.b64encode(b'of another account').decode()}",
        app.settings["ImporterStorage"],
    )
    app.configure(ImporterStorage=storage)
    problems = problems_of(app)
    assert set(problems) == {
        f"table {app.settings['IMPORTS_TABLE']}",
        f"container {app.container}",
        "containers of imports",
        "timers",
        "rows of open imports",
    }
    for detail in problems.values():
        assert "Check the AccountKey in ImporterStorage" in detail
        assert "role" not in detail


def test_malformed_storage_account_key(app: App) -> None:
    """It is valid base64, so the settings allow it."""
    storage = re.sub(r"AccountKey=[^;]+", "AccountKey=YWJj", app.settings["ImporterStorage"])
    app.configure(ImporterStorage=storage)
    problems = problems_of(app)
    assert len(problems) >= 4
    assert all("ImporterStorage" in detail for detail in problems.values())


@pytest.fixture
def app_with_identity(app: App, monkeypatch: pytest.MonkeyPatch) -> App:
    """The app with storage access by managed identity."""

    class Identity:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            return AccessToken("token", int(time.time()) + 3600)

    monkeypatch.setattr(Settings, "credential", lambda *_: Identity())
    services = ("blob", "queue", "table")
    uris = {f"ImporterStorage__{name}ServiceUri": f"https://{name}.invalid" for name in services}
    app.configure(without=["ImporterStorage"], **uris)
    return app


@pytest.mark.parametrize("status", [401, 403])
def test_identity_without_roles(
    app_with_identity: App, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: str) -> None:
        if "/jobs" not in request:
            error = HttpResponseError("This request is not authorized.")
            error.status_code = status
            raise error

    app_with_identity.before_request = refuse
    monkeypatch.setattr("time.sleep", lambda _: None)
    roles = [
        re.findall("the role (.+) on the storage account", detail)
        for detail in problems_of(app_with_identity).values()
    ]
    blobs, tables = ["Storage Blob Data Contributor"], ["Storage Table Data Contributor"]
    assert roles == [tables, blobs, blobs, blobs, tables, tables]


def test_identity_that_cannot_get_a_token(
    app_with_identity: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    class UnknownIdentity:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            raise ClientAuthenticationError("no managed identity endpoint found")

    monkeypatch.setattr(Settings, "credential", lambda *_: UnknownIdentity())
    monkeypatch.setattr("time.sleep", lambda _: None)
    app_with_identity.configure()
    problems = problems_of(app_with_identity)
    assert len(problems) == 6
    for detail in problems.values():
        assert detail == (
            "no managed identity endpoint found. Check the app's managed identity, and "
            "ImporterStorage__clientId."
        )


def test_unreachable_storage_account(app: App, closed_port_address: str) -> None:
    storage = re.sub(
        r"(Blob|Queue|Table)Endpoint=http://[^/;]+",
        rf"\1Endpoint=http://{closed_port_address}",
        app.settings["ImporterStorage"],
    )
    app.configure(ImporterStorage=storage)
    problems = problems_of(app)
    assert len(problems) == 5
    for detail in problems.values():
        assert detail.endswith("Check ImporterStorage, and that the storage account is reachable.")
        assert "No answer within" not in detail


def test_health_check_timeout(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = app.settings["IOTHUB"].replace(
            app.hub.address, f"127.0.0.1:{server.getsockname()[1]}"
        )
        app.configure(IOTHUB=connection)
        problems = problems_of(app)
    # On a busy machine other timers may be late too.
    [hub] = app.importer.services.hubs
    assert problems[f"hub {hub}"] == (
        "No answer within 0.5 seconds. Check IOTHUB, and that the hub is reachable."
    )


@pytest.mark.parametrize(
    ("timer", "setting", "in_time", "late"),
    [("advance_hubs", "POLL_SCHEDULE", 5, 7), ("sweep", "SWEEP_SCHEDULE", 9, 16)],
)
def test_late_timer(app: App, timer: str, setting: str, in_time: float, late: float) -> None:
    app.host.tick(timer)
    app.clock.ahead_minutes(in_time)
    assert problems_of(app) == {}
    app.clock.ahead_minutes(late)
    [(name, detail)] = problems_of(app).items()
    assert name == "timers"
    assert f"{timer} last ran at " in detail
    assert setting in detail


def test_open_imports_of_a_removed_hub(app: App, other_hub: HubEmulator) -> None:
    app.route(east=app.hub, west=other_hub)
    other_hub.occupy_slot()
    app.upload("west/pumps.ndjson", device("pump-1"))
    app.deliver("west/pumps.ndjson")
    app.route(east=app.hub)
    [(name, detail)] = problems_of(app).items()
    assert name == "rows of open imports"
    assert other_hub.address in detail
    assert "IOTHUB" in detail


def test_several_problems(app: App) -> None:
    app.sweep()
    app.hub.stop()
    app.blobs.delete_container(app.container)
    app.clock.ahead_hours(2)
    assert [name.split()[0] for name in problems_of(app)] == ["container", "timers", "hub"]
