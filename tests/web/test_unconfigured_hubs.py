"""Imports that wait for a hub that is no longer configured are shown and can be cancelled."""

from __future__ import annotations

import json

import pytest

from tests.app import App, device
from tests.cli.conftest import Shell
from tests.cli.conftest import shell as shell
from tests.web.support import Client, TwoHubs, text_of


def upload(app: App, name: str) -> str:
    app.upload(name, device("pump-1"), device("pump-2"))
    app.deliver(name)
    [record] = [record for record in app.records() if record.file == name]
    return record.id


def forget_west(hubs: TwoHubs) -> None:
    """Remove the route to the app's own hub from IOTHUB."""
    east = hubs.east_hub.connection_string("registryReadWrite")
    hubs.app.configure(IOTHUB=json.dumps({"east": east}))


@pytest.fixture
def waiting(app: App, two_hubs: TwoHubs) -> str:
    """An import whose hub was removed from the settings."""
    app.hub.occupy_slot()
    import_id = upload(app, "west/waits.ndjson")
    forget_west(two_hubs)
    return import_id


def check_reason(reason: str, hub: str) -> None:
    """Check that the reason names the hub and both remedies."""
    assert hub in reason
    assert "IOTHUB" in reason
    assert "cancel" in reason.lower()


def test_api_and_pages(client: Client, two_hubs: TwoHubs, waiting: str) -> None:
    west = two_hubs.west
    [listed] = client.json("imports", hub=west)["imports"]
    assert listed["id"] == waiting
    assert listed["actions"] == ["cancel"]
    check_reason(listed["failureReason"], west)
    check_reason(client.json(f"imports/{waiting}")["failureReason"], west)
    queues = {item["hub"]: item for item in client.json("queues")["queues"]}
    assert (queues[west]["length"], queues[west]["head"]["id"]) == (1, waiting)
    check_reason(queues[west]["head"]["failureReason"], west)
    overview = client.get("dashboard", hub=west).text
    assert f"<h3>{west}</h3>" in overview
    assert f'<option value="{west}" selected>{west}</option>' in overview
    for page in (overview, client.get(f"dashboard/imports/{waiting}").text):
        assert listed["failureReason"] in text_of(page)


def test_health(app: App, client: Client, two_hubs: TwoHubs, waiting: str) -> None:
    answer = client.get("health")
    assert answer.status_code == 503
    [wrong] = [item for item in answer.json()["checks"] if not item["isHealthy"]]
    check_reason(wrong["detail"], two_hubs.west)
    assert "1 import waits" in wrong["detail"]
    client.post(f"imports/{waiting}/cancel")
    assert client.json("health")["isHealthy"] is True


def test_commands(two_hubs: TwoHubs, waiting: str, shell: Shell) -> None:
    west = two_hubs.west
    listed = shell("list")
    assert west in listed.out
    check_reason(listed.out, west)
    [page] = shell.json("list", "--hub", west)
    check_reason(page["imports"][0]["failureReason"], west)
    check_reason(shell("show", waiting).out, west)
    assert shell("cancel", waiting).status == 0
    [import_] = shell.json("watch", waiting)
    assert (import_["state"], import_["hub"]) == ("cancelled", west)
    assert shell("watch", "--hub", west, "--until-idle").status == 0


def test_an_import_without_a_job_ends_with_known_counts(
    app: App, client: Client, waiting: str
) -> None:
    answer = client.post(f"imports/{waiting}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert [answer.json()[name] for name in ("imported", "failed")] == [0, 0]
    # The import has left the queue, which is empty when the hub is configured again.
    app.tick()
    assert client.json("queues")["queues"][0]["head"] is None
    assert len(client.json("queues")["queues"]) == 1


def test_a_running_import_ends_at_once_and_its_counts_are_unknown(
    app: App, two_hubs: TwoHubs, client: Client
) -> None:
    app.hub.faults.add("hangJob")
    import_id = upload(app, "west/runs.ndjson")
    assert client.json(f"imports/{import_id}")["state"] == "running"
    forget_west(two_hubs)
    answer = client.post(f"imports/{import_id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert [answer.json()[name] for name in ("imported", "failed")] == [None, None]
    check_reason(answer.json()["failureReason"], two_hubs.west)


def test_the_import_continues_when_the_hub_is_configured_again(
    app: App, two_hubs: TwoHubs, client: Client, waiting: str
) -> None:
    app.tick()
    assert client.json(f"imports/{waiting}")["state"] == "queued"
    app.hub.free_slot()
    # With another folder: records contain hubs, not routes.
    hubs = {"east": two_hubs.east_hub, "north": app.hub}
    strings = {name: hub.connection_string("registryReadWrite") for name, hub in hubs.items()}
    app.configure(IOTHUB=json.dumps(strings))
    app.finish()
    shown = client.json(f"imports/{waiting}")
    assert (shown["state"], shown["imported"]) == ("completed", 2)
