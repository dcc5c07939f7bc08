"""Health over HTTP: 503 as soon as anything is wrong, and what it is by name."""

from __future__ import annotations

from typing import Any

from tests.app import App
from tests.web.support import Client


def wrong(client: Client) -> dict[str, str]:
    answer = client.get("health")
    assert answer.headers["Content-Type"] == "application/json"
    health: Any = answer.json()
    found = {one["name"]: one["detail"] for one in health["findings"] if not one["isWell"]}
    assert health["isWell"] is not bool(found)
    assert answer.status_code == (503 if found else 200)
    return found


def test_all_is_well(client: Client) -> None:
    assert wrong(client) == {}


def test_the_upload_container_is_missing(app: App, client: Client) -> None:
    app.blobs.delete_container(app.container)
    [(name, detail)] = wrong(client).items()
    assert name == f"container {app.container}"
    assert "create it, or correct UPLOAD_CONTAINER" in detail


def test_settings_are_missing_or_wrong(app: App, client: Client) -> None:
    app.configure(without=["IOTHUB", "UPLOAD_CONTAINER"], MAX_ATTEMPTS="often")
    answer = client.get("health")
    assert answer.status_code == 503
    findings = answer.json()["findings"]
    assert {finding["name"] for finding in findings} == {"settings"}
    assert [finding["detail"].split()[0] for finding in findings] == [
        "IOTHUB",
        "UPLOAD_CONTAINER",
        "MAX_ATTEMPTS",
    ]
    assert "Put there: the hub's host name" in findings[0]["detail"]


def test_a_connection_string_that_only_looks_right(app: App, client: Client) -> None:
    app.configure(ImporterStorage="AccountName=a;AccountKey=c2VjcmV0;and more")
    [(name, detail)] = wrong(client).items()
    assert name == "settings"
    assert detail.startswith("ImporterStorage is not a connection string")
    assert "c2VjcmV0" not in detail


def test_other_endpoints_tell_of_wrong_settings_too(app: App, client: Client) -> None:
    app.configure(without=["IOTHUB"], MAX_ATTEMPTS="often")
    for path in ("imports", "queues", "days", f"imports/{'0' * 24}"):
        problem = client.problem(503, path)
        assert problem["type"] == "urn:device-importer:settings"
        assert [text.split()[0] for text in problem["settings"]] == ["IOTHUB", "MAX_ATTEMPTS"]
    client.problem(503, "check", method="post")
    # The document needs no settings.
    assert client.json("openapi.json")["openapi"] == "3.1.0"
