"""An error returns a problem document without internals and is logged with its cause."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from azure.core.exceptions import ServiceRequestError

from shared.web import api
from tests.app import App, device
from tests.web.support import Client, complete, problem_of

READS = ("imports", "queues", "days", "imports/{id}", "imports/{id}/files/report.json")
VERBS = ("imports/{id}/cancel", "imports/{id}/retry")


@pytest.mark.parametrize("path", READS + VERBS)
def test_unavailable_storage(
    app: App, client: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    complete(app)
    path = path.format(id=app.record("good.ndjson").id)

    def fail_connection(_: str) -> None:
        raise ServiceRequestError("the wire was cut")

    app.before_request = fail_connection
    with pytest.MonkeyPatch.context() as patch:
        # All retries of the client fail.
        patch.setattr("time.sleep", lambda _: None)
        answer = client.post(path) if path.endswith(("cancel", "retry")) else client.get(path)
    app.before_request = lambda _: None
    problem = problem_of(answer, 503)
    assert problem["type"] == "urn:device-importer:storage-unavailable"
    assert answer.headers["Retry-After"] == "10"
    assert "the wire" not in answer.text
    assert "GET health" in problem["detail"]
    assert "the wire" in caplog.text


def test_a_bug_is_a_problem_without_details(
    app: App, client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("inner name")

    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(api, "list_queues", fail)
    answer = client.get("queues", code="a-key")
    assert problem_of(answer, 500)["type"] == "urn:device-importer:unexpected"
    assert "inner" not in answer.text
    assert "inner name" in caplog.text
    assert "a-key" not in caplog.text


@pytest.mark.parametrize("path", ["queues", "dashboard", "health", "dashboard/health"])
def test_invalid_settings_are_logged(
    app: App, client: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "AccountName=a;AccountKey=c2VjcmV0;and more"
    app.configure(ImporterStorage=secret, MAX_ATTEMPTS="often")
    assert client.get(path, code="a-key").status_code == 503
    [line] = errors_of_the_app(caplog)
    assert "ImporterStorage" in line
    assert "MAX_ATTEMPTS" in line
    assert "c2VjcmV0" not in caplog.text
    assert "a-key" not in caplog.text


@pytest.mark.parametrize("path", ["health", "dashboard/health"])
def test_failed_health_checks_are_logged(
    app: App, client: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    app.blobs.delete_container(app.container)
    assert client.get(path).status_code == 503
    [line] = errors_of_the_app(caplog)
    assert f"container {app.container}" in line
    assert "UPLOAD_CONTAINER" in line


def errors_of_the_app(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("shared.") and record.levelno >= logging.ERROR
    ]


def test_an_import_under_constant_concurrent_change(app: App, client: Client) -> None:
    app.hub.occupy_slot()
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    record = app.record("pumps.ndjson")
    store = app.importer.services.store
    is_ours = False

    def change_import(request: str) -> None:
        nonlocal is_ours
        if request.endswith("/$batch") and not is_ours:
            is_ours = True
            current = store.get(record.hub, record.row_key)
            store.update(replace(current, queue_position=7))
            is_ours = False

    app.before_request = change_import
    answer = client.post(f"imports/{record.id}/cancel")
    app.before_request = lambda _: None
    assert problem_of(answer, 503)["type"] == "urn:device-importer:storage-unavailable"
    assert client.post(f"imports/{record.id}/cancel").status_code == 200


def test_request_parameters_that_are_not_valid_text(client: Client) -> None:
    [error] = client.problem(400, "imports?%ff=1")["errors"]
    assert error["message"] == "unknown parameter"
    client.problem(404, "imports/%ed%a0%80")
    assert client.post("check?name=%ff").status_code == 200
