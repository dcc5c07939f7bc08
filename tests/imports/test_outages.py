"""Outages do not count as attempts; unexpected errors do, and fail only their own import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

from shared.errors import TemporaryError
from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord
from shared.imports.workflow.hub_queue import HubQueue
from shared.imports.workflow.job_starter import JobStarter
from tests.app import App, device

NAME = "pumps.ndjson"


def http_error(status: int) -> Exception:
    error = HttpResponseError("Injected by the test.")
    error.status_code = status
    return error


OUTAGES = [
    *(http_error(status) for status in (401, 403, 408, 429, 500, 503)),
    ServiceRequestError("no connection"),
    ServiceResponseError("the connection was lost"),
]
every_outage = pytest.mark.parametrize(
    "error", OUTAGES, ids=lambda error: str(getattr(error, "status_code", "") or error)
)


def failing(error: BaseException, *, at: str) -> Callable[[str], None]:
    def fail(request: str) -> None:
        if at in request:
            raise error

    return fail


def queue_one(app: App) -> None:
    """Queue an import that the next tick can start."""
    app.upload(NAME, device("pump-1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HubQueue, "enter", lambda *_: None)
        app.deliver(NAME)


@every_outage
@pytest.mark.usefixtures("no_waiting")
def test_outage_during_staging_does_not_count_as_attempt(app: App, error: Exception) -> None:
    app.configure(MAX_ATTEMPTS="1")
    app.upload(NAME, device("pump-1"))
    app.before_request = failing(error, at="/devices.txt")
    for attempts in (1, 2, 3):
        if attempts == 1:
            with pytest.raises(type(error)):
                app.deliver(NAME)
        elif attempts == 2:
            app.sweep()
        else:
            app.tick()
        record = app.record(NAME)
        assert (record.state, record.validation_attempts, record.back_off.hub_retries) == (
            "validating",
            0,
            attempts,
        )
        assert (record.lease.owner, record.lease.until) == ("", None)
        assert "this attempt does not count" in record.failure_reason
    app.before_request = lambda _: None
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.validation_attempts, record.back_off.hub_retries) == (
        "completed",
        1,
        0,
    )


@pytest.mark.usefixtures("no_waiting")
def test_outage_is_retried_with_back_off(app: App) -> None:
    app.configure(BACKOFF_SECONDS="60", MAX_BACKOFF_SECONDS="600")
    app.upload(NAME, device("pump-1"))
    app.before_request = failing(http_error(503), at="/devices.txt")
    with pytest.raises(HttpResponseError):
        app.deliver(NAME)
    record = app.record(NAME)
    assert record.back_off.next_try_at is not None
    assert (
        timedelta(seconds=20) < record.back_off.next_try_at - app.clock() <= timedelta(seconds=60)
    )
    app.before_request = lambda _: None
    # The host delivers the event again; the import still waits.
    app.deliver(NAME)
    app.tick()
    app.sweep()
    assert app.record(NAME) == record
    app.clock.ahead_minutes(2)
    app.finish()
    assert app.record(NAME).state == "completed"


@pytest.mark.parametrize("status", [404, 409, 413])
@pytest.mark.usefixtures("no_waiting")
def test_other_errors_count_as_attempts(app: App, status: int) -> None:
    app.configure(MAX_ATTEMPTS="2")
    app.upload(NAME, device("pump-1"))
    app.before_request = failing(http_error(status), at="/devices.txt")
    with pytest.raises(HttpResponseError):
        app.deliver(NAME)
    assert app.record(NAME).validation_attempts == 1
    app.sweep()
    record = app.record(NAME)
    assert (record.state, record.validation_attempts) == ("failed", 2)
    assert "Injected by the test" in record.failure_reason


@every_outage
@pytest.mark.usefixtures("no_waiting")
def test_outage_during_a_tick_does_not_count_as_error(app: App, error: Exception) -> None:
    app.configure(MAX_ATTEMPTS="1")
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.hub.wait_idle()
    before = app.record(NAME)
    assert before.state == "running"
    app.before_request = failing(error, at="/importErrors.log")
    for _ in range(3):
        with pytest.raises(TemporaryError):
            app.tick()
    app.before_request = lambda _: None
    assert app.record(NAME) == before
    app.finish()
    assert app.record(NAME).state == "completed"


def break_starts(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """Simulate a bug that one file triggers."""
    start = JobStarter.start

    def broken(starter: JobStarter, members: Sequence[ImportRecord]) -> JobRecord | None:
        if file in [record.file for record in members]:
            raise ZeroDivisionError("nobody thought of that")
        return start(starter, members)

    monkeypatch.setattr(JobStarter, "start", broken)


def test_unexpected_error_fails_only_its_import(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.configure(MAX_ATTEMPTS="3")
    queue_one(app)
    app.upload("next.ndjson", device("next.ndjson"))
    app.deliver("next.ndjson")
    break_starts(monkeypatch, NAME)
    for errors in (1, 2):
        app.tick()
        record = app.record(NAME)
        assert (record.state, record.back_off.unexpected_errors) == ("queued", errors)
        assert "ZeroDivisionError: nobody thought of that" in record.failure_reason
    for _ in range(2):
        app.tick()
        app.hub.wait_idle()
    record = app.record(NAME)
    assert (record.state, record.imported, record.failed) == ("failed", 0, 0)
    assert "3 unexpected errors" in record.failure_reason
    assert "ZeroDivisionError: nobody thought of that" in record.failure_reason
    app.finish()
    assert app.record("next.ndjson").state == "completed"
    assert app.importer.services.queue_rows.oldest(record.hub) == []


def test_error_count_is_reset_after_success(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.configure(MAX_ATTEMPTS="3")
    queue_one(app)
    with monkeypatch.context() as patch:
        break_starts(patch, NAME)
        for _ in range(2):
            app.tick()
    assert app.record(NAME).back_off.unexpected_errors == 2
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.back_off.unexpected_errors, record.failure_reason) == (
        "completed",
        0,
        "",
    )


def test_unexpected_error_is_retried_with_back_off(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.configure(BACKOFF_SECONDS="60", MAX_BACKOFF_SECONDS="60")
    queue_one(app)
    app.clock.ahead_minutes(2)
    break_starts(monkeypatch, NAME)
    for _ in range(3):
        app.tick()
    record = app.record(NAME)
    assert record.back_off.unexpected_errors == 1
    assert record.back_off.next_try_at is not None
    assert (
        timedelta(seconds=20) < record.back_off.next_try_at - app.clock() <= timedelta(seconds=60)
    )


def test_retry_after_an_unexpected_error(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.configure(MAX_ATTEMPTS="1")
    queue_one(app)
    with monkeypatch.context() as patch:
        break_starts(patch, NAME)
        app.tick()
    failed = app.record(NAME)
    assert failed.state == "failed"
    app.importer.actions.retry(failed)
    app.finish()
    assert sorted(record.state for record in app.records()) == ["completed", "failed"]
