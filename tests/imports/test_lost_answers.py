"""Lost responses to job requests: the job is identified, and no device is applied twice.

Recorded hubs return a job's output container, which identifies the job. On a hub without it
(`NO_ECHO`) a log in the import's container identifies the job; other jobs are ambiguous. If no
job is found, it may still appear, so the request is repeated only after some minutes.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import NO_ECHO, App, device

NAME = "pumps.ndjson"
#: Minutes; longer than the delay until a log, or the job of a lost request, appears.
GRACE = 11

any_hub = pytest.mark.parametrize("hub", [{}, {"choices": NO_ECHO}], indirect=True)
no_echo = pytest.mark.parametrize("hub", [{"choices": NO_ECHO}], indirect=True)


def start(app: App, name: str = NAME, device_id: str = "pump-1") -> None:
    app.upload(name, device(device_id))
    app.deliver(name)


def lose_response(app: App, name: str = NAME) -> None:
    """Lose the response; the hub starts the job."""
    app.hub.faults.add("dropReply", operation="createJob")
    start(app, name)
    assert app.record(name).state == "starting"


def lose_request(app: App) -> None:
    """Lose the request; the app cannot detect that."""
    app.hub.faults.add("refuse", operation="createJob")
    start(app)
    assert app.record(NAME).state == "starting"


def ticks(app: App, count: int = 3) -> ImportRecord:
    for _ in range(count):
        app.hub.wait_idle()
        app.tick()
    return app.record(NAME)


def finish_after_grace(app: App) -> None:
    """Check that the request is not repeated during the grace period; then finish the import."""
    calls = app.hub.requests["createJob"]
    record = ticks(app)
    assert (record.state, record.staged.generation) == ("starting", 1)
    assert app.hub.requests["createJob"] == calls
    app.pass_minutes(GRACE)
    app.finish()


def assert_counts_unknown(record: ImportRecord) -> None:
    assert (record.state, record.imported, record.failed) == ("failed", None, None)
    assert "It is not known whether the devices were applied" in record.failure_reason


@any_hub
def test_job_is_identified_after_a_lost_response(app: App) -> None:
    start(app, "before.ndjson", "pump-0")
    app.finish()
    lose_response(app)
    assert "No answer from the hub:" in app.record(NAME).failure_reason
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.imported) == ("completed", 1)
    assert len(app.hub.jobs) == 2
    assert record.job.id == app.hub.jobs[-1]["jobId"]


@any_hub
def test_lost_request_is_sent_again(app: App) -> None:
    lose_request(app)
    finish_after_grace(app)
    record = app.record(NAME)
    assert (record.state, record.imported) == ("completed", 1)
    assert len(app.hub.jobs) == 1
    assert app.hub.requests["createJob"] == 2


@any_hub
def test_lost_request_is_not_repeated_before_its_job_would_have_appeared(app: App) -> None:
    lose_request(app)
    app.tick()
    app.pass_minutes(9)
    record = ticks(app)
    assert (record.state, record.staged.generation) == ("starting", 1)
    assert app.hub.requests["createJob"] == 1
    app.pass_minutes(2)
    app.finish()
    assert app.record(NAME).state == "completed"
    assert len(app.hub.jobs) == 1


def test_unlisted_job_is_identified_by_its_error_log(app: App) -> None:
    lose_response(app)
    app.hub.wait_idle()
    assert len(app.hub.jobs) == 1
    app.hub.faults.add("forgetJob")
    record = ticks(app, 2)
    assert (record.state, record.imported, record.job.id) == ("completed", 1, "")
    assert len(app.hub.jobs) == 0


@any_hub
@pytest.mark.parametrize("moment", ["before", "after"])
def test_process_terminated_before_or_after_the_request(app: App, moment: str) -> None:
    """The process terminates before the request, or before the response is stored."""

    def terminate(request: str) -> None:
        created = any(line.endswith("/jobs/create") for line in app.requests[:-1])
        if request.endswith("/jobs/create") if moment == "before" else created:
            raise KeyboardInterrupt

    app.upload(NAME, device("pump-1"))
    app.before_request = terminate
    with pytest.raises(KeyboardInterrupt):
        app.deliver(NAME)
    app.before_request = lambda _: None
    app.tick()
    assert app.record(NAME).state == "starting"
    app.clock.ahead_minutes(6)
    if moment == "before":
        finish_after_grace(app)
    else:
        app.finish()
    record = app.record(NAME)
    assert (record.state, record.imported) == ("completed", 1)
    assert len(app.hub.jobs) == 1


def test_delayed_request_starts_no_second_job(app: App) -> None:
    """The process is suspended before the request while another one completes the import."""
    calls: list[str] = []

    def suspend(request: str) -> None:
        if request.endswith("/jobs/create") and not calls:
            calls.append(request)
            app.clock.ahead_hours(1)
            finish_after_grace(app)

    app.before_request = suspend
    start(app)
    assert app.record(NAME).state == "completed"
    assert len(app.hub.jobs) == 1
    assert re.fullmatch(r"devices-1-[0-9a-f]{12}\.txt", app.hub.jobs[0]["inputBlobName"])
    assert app.hub.requests["createJob"] == 2


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "running"])
def test_job_with_another_container_is_not_matched(app: App, status: str) -> None:
    lose_request(app)
    app.hub.jobs.add_foreign(
        status, output_uri="https://account.blob.core.windows.net/theirs?sig=x"
    )
    app.tick()
    app.hub.free_slot()
    finish_after_grace(app)
    record = app.record(NAME)
    assert (record.state, record.imported) == ("completed", 1)
    assert len(app.hub.jobs) == 2
    assert record.job.id == app.hub.jobs[-1]["jobId"]


@no_echo
def test_import_waits_for_an_active_ambiguous_job(app: App) -> None:
    lose_request(app)
    app.hub.jobs.add_foreign("running")
    for _ in range(5):
        app.pass_minutes(60)
        record = ticks(app, 1)
        assert record.state == "starting"
        assert "Waiting" in record.failure_reason
    assert app.hub.requests["createJob"] == 1
    app.hub.free_slot()
    # The job has just completed; if it belongs to this import, its log may still appear.
    assert ticks(app).state == "starting"
    app.pass_minutes(GRACE)
    assert_counts_unknown(ticks(app))
    assert app.hub.requests["createJob"] == 1
    assert len(app.hub.jobs) == 1


@no_echo
@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_failed_ambiguous_job_is_not_repeated(app: App, status: str) -> None:
    app.hub.faults.add("hangJob" if status == "cancelled" else "failJob")
    lose_response(app)
    if status == "cancelled":
        app.hub.jobs.cancel(app.hub.jobs[0]["jobId"])
    assert ticks(app).state == "starting"
    app.pass_minutes(GRACE)
    assert_counts_unknown(ticks(app))
    assert len(app.hub.jobs) == 1
    # An operator can retry the import after comparing the devices.
    app.importer.actions.retry(app.record(NAME))
    app.finish()
    assert [record.state for record in app.records()] == ["completed", "failed"]


@no_echo
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_job_that_ended_before_the_request_is_not_matched(app: App, status: str) -> None:
    before = app.clock() - timedelta(minutes=6)
    app.hub.jobs.add_foreign(status, start=before, end=before)
    lose_request(app)
    finish_after_grace(app)
    assert app.record(NAME).state == "completed"
    assert len(app.hub.jobs) == 2


@no_echo
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_job_that_ended_within_the_clock_tolerance_is_ambiguous(app: App, status: str) -> None:
    """Clocks may differ by five minutes."""
    before = app.clock() - timedelta(minutes=5)
    app.hub.jobs.add_foreign(status, start=before, end=before)
    lose_request(app)
    assert ticks(app).state == "starting"
    app.pass_minutes(GRACE)
    assert_counts_unknown(ticks(app))
    assert app.hub.requests["createJob"] == 1


@no_echo
def test_foreign_job_that_completes_is_ambiguous(app: App) -> None:
    """It started after the request; without a log in the container its owner is unknown."""
    lose_request(app)
    app.start_foreign_import(device("theirs"))
    assert ticks(app).state == "starting"
    app.pass_minutes(GRACE)
    record = ticks(app)
    assert_counts_unknown(record)
    assert record.job.id == ""
    assert app.hub.registry.get("pump-1") is None
    assert len(app.hub.jobs) == 1


@pytest.mark.parametrize("hub", [{"choices": NO_ECHO, "job_seconds": 0.5}], indirect=True)
def test_job_that_ended_shortly_before_is_not_matched(app: App) -> None:
    """The import's own job is in the list too, and still runs."""
    app.start_foreign_import(device("theirs"))
    app.hub.wait_idle()
    lose_response(app)
    app.tick()
    # Only the log identifies the import's own job.
    assert app.record(NAME).state == "starting"
    app.hub.wait_idle()
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.imported) == ("completed", 1)
    assert len(app.hub.jobs) == 2


@no_echo
def test_job_of_another_import_is_not_matched(app: App) -> None:
    start(app, "before.ndjson", "pump-0")
    app.finish()
    lose_request(app)
    finish_after_grace(app)
    assert [record.state for record in app.records()] == ["completed"] * 2
    assert len(app.hub.jobs) == 2


@no_echo
def test_late_error_log_identifies_the_job(app: App) -> None:
    app.hub.faults.add("lateLog")
    lose_response(app)
    assert ticks(app).state == "starting"
    app.pass_minutes(9)
    assert ticks(app).state == "starting"
    app.hub.write_late_logs()
    record = ticks(app)
    assert (record.state, record.imported) == ("completed", 1)
    assert len(app.hub.jobs) == 1


def start_with_an_error_response(app: App) -> None:
    """Start the job, but respond with an error."""

    def fail(response: Any) -> None:
        if response.request.url.partition("?")[0].endswith("/jobs/create"):
            response.status_code = 503

    app.alter_response = fail
    start(app)
    app.alter_response = lambda _: None
    record = app.record(NAME)
    assert (record.state, record.staged.generation) == ("starting", 1)


@no_echo
def test_late_error_log_identifies_the_job_after_an_error_response(app: App) -> None:
    app.hub.faults.add("lateLog")
    start_with_an_error_response(app)
    assert ticks(app).state == "starting"
    app.pass_minutes(9)
    assert ticks(app).state == "starting"
    app.hub.write_late_logs()
    record = ticks(app)
    assert (record.state, record.imported) == ("completed", 1)
    assert app.hub.requests["createJob"] == 1


@no_echo
def test_job_without_an_error_log_is_ambiguous_after_an_error_response(app: App) -> None:
    app.hub.faults.add("lateLog")
    start_with_an_error_response(app)
    assert ticks(app).state == "starting"
    app.pass_minutes(GRACE)
    assert_counts_unknown(ticks(app))
    assert app.hub.requests["createJob"] == 1


@any_hub
@pytest.mark.parametrize("minutes", [-3, 3])
@pytest.mark.parametrize("end", ["completed", "failed"])
def test_hub_with_a_wrong_clock(app: App, minutes: float, end: str) -> None:
    app.hub.clock.ahead = timedelta(minutes=minutes)
    if end == "failed":
        app.hub.faults.add("failJob")
    lose_response(app)
    record = ticks(app)
    if not record.state.is_final:
        app.pass_minutes(GRACE)
        record = ticks(app)
    assert record.state == end
    assert len(app.hub.jobs) == 1


@pytest.mark.parametrize("hub", [{"job_rate": 10}], indirect=True)
def test_delayed_job_list_starts_no_second_job(app: App) -> None:
    """The job has opened its file before the list contains it, so renaming the file does not
    stop it; the app checks for its log until the request is repeated."""
    app.hub.job_answers.list_lag = timedelta(hours=1)
    app.hub.faults.add("dropReply", operation="createJob")
    app.upload(NAME, *(device(f"pump-{number}") for number in range(15)))
    app.deliver(NAME)
    while not len(app.hub.registry):
        time.sleep(0.02)
    for _ in range(2):
        app.tick()
    assert app.record(NAME).staged.generation == 1
    record = ticks(app, 4)
    assert (record.state, record.imported) == ("completed", 15)
    assert app.hub.requests["createJob"] == 1
    assert [job["status"] for job in app.hub.jobs] == ["completed"]


def test_import_waits_for_a_job_that_the_hub_does_not_return_yet(app: App) -> None:
    app.hub.job_answers.get_lag = timedelta(minutes=1)
    app.hub.faults.add("hangJob")
    start(app)
    app.tick()
    record = app.record(NAME)
    assert record.state == "running"
    assert "does not know the job" in record.failure_reason
    app.pass_minutes(2)
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.failure_reason, record.back_off.unresolved_since) == (
        "running",
        "",
        None,
    )


def test_next_import_waits_after_a_lost_response(app: App) -> None:
    app.hub.faults.add("hangJob")
    lose_response(app)
    start(app, "next.ndjson")
    for _ in range(2):
        app.tick()
    assert app.record("next.ndjson").state == "queued"
    app.hub.jobs.cancel(app.hub.jobs[0]["jobId"])
    app.finish()
    assert app.record("next.ndjson").state == "completed"
