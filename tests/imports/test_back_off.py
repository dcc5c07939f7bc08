"""Back-off per hub, job deadlines and duration of ticks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from iothub_emulator import HubEmulator
from shared.imports import tick
from shared.imports.model.record import ImportRecord
from tests.app import App, device

NAME = "pumps.ndjson"


def start(app: App, name: str = NAME) -> ImportRecord:
    app.upload(name, device("pump-1"))
    app.deliver(name)
    return next(record for record in app.records() if record.file == name)


def back_off_of(app: App, record: ImportRecord) -> float:
    """Seconds from the last write of the record to the next request to the hub."""
    assert record.back_off.next_try_at is not None
    return (record.back_off.next_try_at - record.updated_at).total_seconds()


def set_clock(app: App, moment: datetime, offset: timedelta) -> None:
    """Set the app's clock to `moment` plus `offset`."""
    app.clock.ahead += moment + offset - app.clock()


def test_back_off_grows_while_the_hub_is_busy(app: App) -> None:
    app.configure(BACKOFF_SECONDS="10", MAX_BACKOFF_SECONDS="40")
    app.hub.occupy_slot()
    record = start(app)
    for retries, longest in enumerate((10, 20, 40, 40, 40), 1):
        assert (record.state, record.back_off.hub_retries) == ("queued", retries)
        assert longest / 2 - 1 <= back_off_of(app, record) <= longest
        assert app.hub.requests["createJob"] == retries
        assert record.back_off.next_try_at is not None
        set_clock(app, record.back_off.next_try_at, timedelta(seconds=-1))
        app.tick()
        assert app.record(NAME) == record
        assert app.hub.requests["createJob"] == retries
        set_clock(app, record.back_off.next_try_at, timedelta(seconds=1))
        app.tick()
        record = app.record(NAME)
    app.hub.free_slot()
    set_clock(app, app.clock(), timedelta(seconds=41))
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.back_off.hub_retries, record.back_off.next_try_at) == (
        "running",
        0,
        None,
    )


def test_back_off_grows_while_the_hub_fails(app: App) -> None:
    """The staged file is copied after each error response."""
    app.configure(BACKOFF_SECONDS="60")
    app.hub.faults.add("error", operation="createJob", status=503, times=2)
    record = start(app)
    assert (record.state, record.back_off.hub_retries, record.staged.generation) == (
        "starting",
        1,
        1,
    )
    # The hub responded, so unlike after a lost response there is no delay.
    assert record.back_off.next_try_at is None
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.back_off.hub_retries, record.staged.generation) == (
        "starting",
        2,
        2,
    )
    assert 59 <= back_off_of(app, record) <= 120
    app.tick()
    assert app.record(NAME) == record
    assert app.hub.requests["createJob"] == 2
    assert record.back_off.next_try_at is not None
    set_clock(app, record.back_off.next_try_at, timedelta(seconds=1))
    app.finish()
    assert app.record(NAME).state == "completed"
    assert len(app.hub.jobs) == 1


def test_back_off_has_jitter(app: App) -> None:
    """Jitter spreads the requests of imports of many hubs."""
    app.configure(BACKOFF_SECONDS="600", MAX_BACKOFF_SECONDS="600")
    services = app.importer.services
    app.hub.occupy_slot()
    record = start(app)
    now = app.clock()
    delays = [services.next_try_at(record.back_off.hub_retries) - now for _ in range(50)]
    assert timedelta(seconds=300) <= min(delays) < timedelta(seconds=400)
    assert timedelta(seconds=500) < max(delays) <= timedelta(seconds=601)


def test_tick_sends_few_requests_during_back_off(app: App) -> None:
    app.configure(BACKOFF_SECONDS="60")
    app.hub.occupy_slot()
    start(app, "first.ndjson")
    start(app)
    # The first tick of a minute stores its timestamp.
    app.tick()
    with app.counting() as requests:
        app.tick()
    assert len(requests) == 1
    assert not any("/jobs" in request for request in requests)


def test_event_does_not_shorten_back_off(app: App) -> None:
    app.configure(BACKOFF_SECONDS="60")
    app.hub.occupy_slot()
    start(app)
    app.deliver(NAME)
    app.sweep()
    assert app.hub.requests["createJob"] == 1


@pytest.mark.parametrize("fault", ["throttle", "refuse"])
def test_status_of_a_running_job_is_polled_with_back_off(app: App, fault: str) -> None:
    app.configure(BACKOFF_SECONDS="60", MAX_BACKOFF_SECONDS="60")
    start(app)
    app.hub.wait_idle()
    app.hub.faults.add(fault, operation="getJob", times=2)
    for retries in (1, 2):
        app.tick()
        record = app.record(NAME)
        assert (record.state, record.back_off.hub_retries) == ("running", retries)
        assert 29 <= back_off_of(app, record) <= 60
        app.tick()
        assert app.hub.requests["getJob"] == retries
        app.clock.ahead_minutes(2 * retries)
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.back_off.hub_retries, record.failure_reason) == (
        "completed",
        0,
        "",
    )


def test_rejected_job_is_retried_until_the_deadline(app: App) -> None:
    app.configure(BACKOFF_SECONDS="10", MAX_BACKOFF_SECONDS="120", REFUSAL_DEADLINE_MINUTES="30")
    fault: dict[str, Any] = {"status": 401, "code": "IotHubUnauthorizedAccess", "times": 999}
    app.hub.faults.add("error", operation="createJob", **fault)
    record = start(app)
    first = record.back_off.refused_since
    assert first is not None
    for half_minutes in range(1, 70):
        app.clock.ahead_minutes(half_minutes / 2)
        app.tick()
        record = app.record(NAME)
        if record.state.is_final:
            break
        assert (record.state, record.back_off.refused_since) == ("queued", first)
        assert record.failure_reason.startswith("Waiting up to REFUSAL_DEADLINE_MINUTES")
    assert record.state == "failed"
    assert "IoT Hub Data Contributor" in record.failure_reason
    assert record.finished_at is not None
    assert timedelta(minutes=30) <= record.finished_at - first <= timedelta(minutes=33)
    # Every 1 to 2.5 minutes, and a few more at first.
    assert 12 <= app.hub.requests["createJob"] <= 36


def test_job_is_cancelled_after_its_deadline(app: App) -> None:
    app.configure(JOB_DEADLINE_HOURS="1")
    app.hub.faults.add("hangJob")
    start(app)
    app.clock.ahead_minutes(59)
    app.tick()
    assert app.hub.requests["cancelJob"] == 0
    app.clock.ahead_minutes(61)
    app.tick()
    record = app.record(NAME)
    assert record.state == "running"
    assert "more than 1 h (JOB_DEADLINE_HOURS)" in record.failure_reason
    assert app.hub.jobs[0]["status"] == "cancelled"
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.job.status) == ("failed", "cancelled")
    assert (record.imported, record.failed) == (None, None)
    assert "JOB_DEADLINE_HOURS" in record.failure_reason


def test_job_that_ended_before_its_deadline_is_not_cancelled(app: App) -> None:
    app.configure(JOB_DEADLINE_HOURS="1")
    start(app)
    app.hub.wait_idle()
    app.clock.ahead_hours(2)
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.failure_reason) == ("completed", "")
    assert app.hub.requests["cancelJob"] == 0


def test_hanging_job_delays_the_next_import_no_longer_than_its_deadline(app: App) -> None:
    app.configure(JOB_DEADLINE_HOURS="1")
    app.hub.faults.add("hangJob")
    start(app, "hung.ndjson")
    start(app)
    app.clock.ahead_hours(2)
    app.tick()
    app.finish()
    assert app.record("hung.ndjson").state == "failed"
    assert app.record(NAME).state == "completed"


def test_job_with_unknown_status_is_polled_again(app: App) -> None:
    app.hub.faults.add("hangJob")
    start(app)
    app.hub.job_answers.alter = lambda job: job | {"status": "paused"}
    for _ in range(2):
        app.tick()
    record = app.record(NAME)
    assert record.state == "running"
    assert "'paused'" in record.failure_reason
    assert app.hub.requests["cancelJob"] == 0
    app.hub.job_answers.alter = lambda job: job
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.job.status) == ("running", "running")
    assert (record.failure_reason, record.back_off.unresolved_since) == ("", None)


def test_error_log_completes_an_import_whose_job_has_an_unknown_status(app: App) -> None:
    app.hub.faults.add("lateLog")
    start(app)
    app.hub.wait_idle()
    app.hub.job_answers.alter = lambda job: job | {"status": "paused"}
    app.tick()
    assert app.record(NAME).state == "running"
    app.hub.write_late_logs()
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.imported, record.failed) == ("completed", 1, 0)


def test_job_with_unknown_status_fails_after_its_deadline(app: App) -> None:
    app.configure(JOB_DEADLINE_HOURS="1", REFUSAL_DEADLINE_MINUTES="30")
    app.hub.faults.add("hangJob")
    app.hub.job_answers.alter = lambda job: job | {"status": "paused"}
    start(app)
    for minutes in (5, 59):
        app.clock.ahead_minutes(minutes)
        app.tick()
        assert app.hub.requests["cancelJob"] == 0
    for minutes in (61, 92):
        app.clock.ahead_minutes(minutes)
        app.tick()
    record = app.record(NAME)
    assert (record.state, record.imported, record.failed) == ("failed", None, None)
    assert "JOB_DEADLINE_HOURS" in record.failure_reason
    assert app.hub.jobs[0]["status"] == "cancelled"


@contextlib.contextmanager
def delayed_responses(app: App, job_id: str) -> Iterator[None]:
    """Delay the hub's responses about this job until the block ends."""
    answer = threading.Event()

    def delay(request: str) -> None:
        if request == f"GET /jobs/{job_id}":
            answer.wait(30)

    app.before_request = delay
    try:
        yield
    finally:
        answer.set()


def test_slow_hub_does_not_delay_another_hub(
    app: App, other_hub: HubEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick, "HUB_TIMEOUT", 0.2)
    app.route(late=app.hub, prompt=other_hub)
    for name in ("late/1.ndjson", "prompt/1.ndjson", "prompt/2.ndjson"):
        app.upload(name, device("pump-1"))
        app.deliver(name)
    [record] = app.records(app.hub.address)
    with delayed_responses(app, record.job.id):
        tick_until_final(app, other_hub)
        assert app.records(app.hub.address) == [record]
    tick_until_final(app, app.hub)
    assert app.hub.requests["getJob"] == 1


def test_tick_skips_a_hub_that_an_earlier_tick_still_waits_for(
    app: App, other_hub: HubEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick, "HUB_TIMEOUT", 1)
    app.route(late=app.hub, prompt=other_hub)
    app.configure(TICK_SECONDS="3", JOB_POLL_SECONDS="0.05")
    other_hub.occupy_slot()
    for name in ("late/0.ndjson", *(f"prompt/{number}.ndjson" for number in range(4))):
        app.upload(name, device("pump-1"))
        app.deliver(name)
    with delayed_responses(app, app.records(app.hub.address)[0].job.id):
        app.tick()
        other_hub.free_slot()
        app.tick()
        states = sorted(record.state for record in app.records(other_hub.address))
    assert states == ["completed", "completed", "completed", "running"]


def tick_until_final(app: App, hub: HubEmulator) -> None:
    deadline = time.monotonic() + 20
    while not all(record.state.is_final for record in app.records(hub.address)):
        assert time.monotonic() < deadline
        hub.wait_idle()
        app.tick()


def test_tick_waits_for_short_jobs_while_imports_are_queued(app: App) -> None:
    app.hub.occupy_slot()
    for number in range(5):
        start(app, f"{number}.ndjson")
    app.hub.free_slot()
    app.configure(POLL_SCHEDULE="0 */5 * * * *", TICK_SECONDS="60", JOB_POLL_SECONDS="0.05")
    app.tick()
    states = {record.file: record.state.value for record in app.records()}
    # No import is queued behind the last one, so the next tick completes it.
    assert states.pop("4.ndjson") == "running"
    assert set(states.values()) == {"completed"}
    app.finish()


def test_tick_does_not_wait_if_no_import_is_queued(app: App) -> None:
    app.configure(TICK_SECONDS="5", JOB_POLL_SECONDS="0.05")
    app.hub.faults.add("hangJob")
    start(app)
    app.tick()
    assert app.hub.requests["getJob"] == 1


def test_tick_does_not_wait_for_a_long_running_job(app: App) -> None:
    app.configure(TICK_SECONDS="5", JOB_POLL_SECONDS="0.05")
    app.hub.faults.add("hangJob")
    start(app, "first.ndjson")
    start(app)
    app.clock.ahead_minutes(2)
    app.tick()
    assert app.hub.requests["getJob"] == 1


def test_tick_waits_no_longer_than_its_limit(app: App) -> None:
    app.configure(TICK_SECONDS="1", JOB_POLL_SECONDS="0.05")
    app.hub.faults.add("hangJob")
    start(app, "first.ndjson")
    start(app)
    began = time.monotonic()
    app.tick()
    assert time.monotonic() - began < 5
    assert 2 <= app.hub.requests["getJob"] <= 20


def test_tick_does_not_wait_for_a_busy_hub(app: App) -> None:
    app.hub.occupy_slot()
    start(app, "first.ndjson")
    start(app)
    app.configure(TICK_SECONDS="5", JOB_POLL_SECONDS="0.05")
    app.tick()
    assert app.hub.requests["createJob"] == 2
