"""Health over HTTP: 503 if a check fails, with the name and problem of the check."""

from __future__ import annotations

from typing import Any

from tests.app import App
from tests.web.support import Client, text_of


def failed_checks(client: Client) -> dict[str, str]:
    answer = client.get("health")
    assert answer.headers["Content-Type"] == "application/json"
    health: Any = answer.json()
    failed = {x["name"]: x["detail"] for x in health["checks"] if not x["isHealthy"]}
    assert health["isHealthy"] is not bool(failed)
    assert answer.status_code == (503 if failed else 200)
    return failed


def test_all_checks_pass(client: Client) -> None:
    assert failed_checks(client) == {}


def test_a_missing_upload_container(app: App, client: Client) -> None:
    app.blobs.delete_container(app.container)
    [(name, detail)] = failed_checks(client).items()
    assert name == f"container {app.container}"
    assert "UPLOAD_CONTAINER" in detail


def test_missing_or_invalid_settings(app: App, client: Client) -> None:
    app.configure(without=["IOTHUB", "UPLOAD_CONTAINER"], MAX_ATTEMPTS="often")
    answer = client.get("health")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert {finding["name"] for finding in checks} == {"settings"}
    assert [finding["detail"].split()[0] for finding in checks] == [
        "IOTHUB",
        "UPLOAD_CONTAINER",
        "MAX_ATTEMPTS",
    ]
    assert "Expected: " in checks[0]["detail"]


def test_a_malformed_connection_string(app: App, client: Client) -> None:
    app.configure(ImporterStorage="AccountName=a;AccountKey=c2VjcmV0;and more")
    [(name, detail)] = failed_checks(client).items()
    assert name == "settings"
    assert detail.startswith("ImporterStorage ")
    assert "c2VjcmV0" not in detail


def test_other_endpoints_report_invalid_settings_too(app: App, client: Client) -> None:
    app.configure(without=["IOTHUB"], MAX_ATTEMPTS="often")
    for path in ("imports", "queues", "days", f"imports/{'0' * 24}"):
        problem = client.problem(503, path)
        assert problem["type"] == "urn:device-importer:settings"
        assert [text.split()[0] for text in problem["settings"]] == ["IOTHUB", "MAX_ATTEMPTS"]
    client.problem(503, "check", method="post")
    # The document needs no settings.
    assert client.json("openapi.json")["openapi"] == "3.1.0"


def timers(client: Client) -> tuple[bool, str]:
    checks: Any = client.get("health").json()["checks"]
    [check] = [check for check in checks if check["name"] == "timers"]
    return check["isHealthy"], check["detail"]


def dashboard(client: Client) -> str:
    return text_of(client.get("dashboard").text)


def test_last_runs_of_the_timers(app: App, client: Client) -> None:
    is_well, detail = timers(client)
    assert is_well
    assert detail == "advance_hubs has not run yet. sweep has not run yet."
    app.tick()
    app.sweep()
    is_well, detail = timers(client)
    assert is_well
    ran_at = f"last ran at {app.clock():%Y-%m-%d}"
    assert detail.count(ran_at) == detail.count("(noted once a minute)") == 2
    assert dashboard(client).count(ran_at) == 2


def test_late_timers(app: App, client: Client) -> None:
    app.tick()
    app.sweep()
    app.clock.ahead_minutes(5)
    assert failed_checks(client) == {}
    app.clock.ahead_minutes(16)
    late = failed_checks(client)["timers"]
    for name in ("advance_hubs", "POLL_SCHEDULE", "sweep", "SWEEP_SCHEDULE"):
        assert name in late
    assert late.count("is late") == 2
    assert dashboard(client).count("is late") == 2
    app.tick()
    late = failed_checks(client)["timers"]
    assert "SWEEP_SCHEDULE" in late
    assert "POLL_SCHEDULE" not in late
    app.sweep()
    assert failed_checks(client) == {}


def test_a_schedule_with_long_intervals_is_not_late(app: App, client: Client) -> None:
    app.configure(SWEEP_SCHEDULE="0 0 */6 * * *")
    app.sweep()
    app.clock.ahead_hours(6)
    app.tick()
    assert failed_checks(client) == {}
    app.clock.ahead_hours(13)
    app.tick()
    assert "SWEEP_SCHEDULE" in failed_checks(client)["timers"]
