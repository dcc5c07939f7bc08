"""Cancelling imports that share a job: one that waits alone, a job at the hub only if it is meant.

A cancel hits what was shown, or nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from iothub_emulator import HubEmulator
from shared.errors import NotPossibleError, SharedJobError
from shared.imports.model.job import JobState
from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.imports.shared_jobs import (
    containers_at_hub,
    gather,
    is_imported,
    members,
    results,
    shared_job,
    shared_jobs,
    start,
    states,
)

COMPLETED = ("completed", 1, 0)
CANCELLED = ("cancelled", 0, 0)


def cancel(app: App, name: str, job: str = "") -> ImportRecord:
    return app.importer.actions.cancel(app.record(name), job)


def test_cancel_of_a_job_that_the_hub_refused_for_now(app: App) -> None:
    gather(app)
    start(app, is_busy=True)
    record = cancel(app, "b.ndjson", shared_job(app).id)
    assert (record.state, record.imported, record.failed) == CANCELLED
    assert results(app) == [CANCELLED] * 3
    assert shared_jobs(app) == []
    app.hub.free_slot()
    app.finish()
    assert not is_imported(app, "a.ndjson")
    assert [state for state, _ in record.history] == ["validating", "queued", "cancelled"]


def test_cancel_of_a_job_whose_hub_was_removed(app: App, other_hub: HubEmulator) -> None:
    gather(app)
    start(app, "hangJob")
    job, hub = shared_job(app), app.hub.address
    app.configure(IOTHUB=other_hub.connection_string())
    record = next(item for item in app.records(hub) if item.file == "b.ndjson")
    with pytest.raises(SharedJobError):
        app.importer.actions.cancel(record)
    app.importer.actions.cancel(record, job.id)
    ended = app.records(hub)
    assert {record.state.value for record in ended if record.shares_job} == {"cancelled"}
    assert {record.imported for record in ended if record.shares_job} == {None}


def test_cancel_of_one_file_of_a_job_that_was_not_requested(app: App) -> None:
    gather(app)
    start(app, is_busy=True)
    job = shared_job(app)
    assert job.state is JobState.REFUSED
    assert states(app) == ["queued"] * 3
    record = cancel(app, "b.ndjson")
    assert (record.state, record.imported, record.failed) == CANCELLED
    assert shared_jobs(app) == []
    assert [record.job_record for record in members(app)] == [""] * 3
    app.hub.free_slot()
    app.finish()
    assert results(app) == [COMPLETED, CANCELLED, COMPLETED]
    assert not is_imported(app, "b.ndjson")
    assert app.record("a.ndjson").job_record == app.record("c.ndjson").job_record


@pytest.mark.parametrize("joins", [False, True])
def test_cancel_of_one_file_keeps_the_deadline_of_the_others(app: App, joins: bool) -> None:
    """Unless a file joins them, which has its own."""
    gather(app)
    code = "IotHubUnauthorizedAccess"
    start(app, "error", operation="createJob", status=401, code=code, times=999)
    app.clock.ahead_minutes(20)
    cancel(app, "b.ndjson")
    if joins:
        app.upload("later.ndjson", device("later"))
        app.deliver("later.ndjson")
    app.tick()
    assert shared_job(app).state is JobState.REFUSED
    app.clock.ahead_minutes(31)
    app.tick()
    expected = ("queued", None, None) if joins else ("failed", 0, 0)
    assert results(app) == [expected, CANCELLED, expected]
    app.hub.faults.clear()
    app.finish()


def test_cancel_of_a_file_in_a_running_job(app: App) -> None:
    gather(app)
    start(app, "hangJob")
    job = shared_job(app)
    with pytest.raises(SharedJobError) as error:
        cancel(app, "b.ndjson")
    assert error.value.job_record == job.id
    assert error.value.imports == [record.id for record in members(app)]
    with pytest.raises(NotPossibleError) as stale:
        cancel(app, "b.ndjson", "6" * 24)
    assert not isinstance(stale.value, SharedJobError)
    app.tick()
    assert states(app) == ["running"] * 3
    assert cancel(app, "b.ndjson", job.id).cancel_reason == "operator"
    # Again, from another of its files.
    assert cancel(app, "c.ndjson", job.id).is_being_cancelled
    app.tick()
    app.finish()
    assert results(app) == [("cancelled", None, None)] * 3
    with pytest.raises(NotPossibleError):
        cancel(app, "b.ndjson", job.id)


def test_cancel_of_a_shared_job_whose_request_was_lost(app: App) -> None:
    gather(app)
    start(app, "refuse", operation="createJob")
    job = shared_job(app)
    assert (job.state, states(app)) == (JobState.ASKED, ["starting"] * 3)
    with pytest.raises(SharedJobError):
        cancel(app, "b.ndjson")
    cancel(app, "b.ndjson", job.id)
    app.tick()
    app.pass_minutes(11)
    app.finish()
    assert results(app) == [("cancelled", None, None)] * 3
    assert not is_imported(app, "a.ndjson")


def test_cancel_of_a_shared_job_that_completes_meanwhile(app: App) -> None:
    gather(app)
    start(app)
    app.hub.wait_idle()
    cancel(app, "a.ndjson", shared_job(app).id)
    app.finish()
    assert results(app) == [COMPLETED] * 3


@pytest.mark.parametrize("name", ["a.ndjson", "b.ndjson"])
def test_cancel_of_a_queued_file_leaves_the_job_of_others(app: App, name: str) -> None:
    """It waits behind a shared job, or has left it."""
    gather(
        app,
        {"a.ndjson": [device("x")], "b.ndjson": [device("y")], "c.ndjson": [device("y")]},
    )
    start(app)
    assert states(app) == ["running", "running", "queued"]
    record = cancel(app, "c.ndjson")
    assert (record.state, record.imported) == ("cancelled", 0)
    with pytest.raises(NotPossibleError):
        cancel(app, name, record.id)
    app.finish()
    assert results(app) == [COMPLETED, COMPLETED, CANCELLED]


def at_request(app: App, number: int, act: Callable[[], None]) -> list[str]:
    """Act once, before the request with that number, whose thread waits for it."""
    lock, seen, done = threading.Lock(), [0], list[str]()

    def hook(request: str) -> None:
        with lock:
            seen[0] += 1
            is_due = seen[0] == number + 1
            if is_due:
                app.before_request = lambda _: None
        if is_due:
            done.append(request)
            act()

    app.before_request = hook
    return done


def test_cancel_at_any_request_hits_what_was_shown(app: App) -> None:
    """At each request of the tick that starts the job, and of the one that ends it."""
    for number in range(100):
        names = tuple(f"{letter}-{number}" for letter in "abc")
        app.hub.occupy_slot()
        for name in (f"first-{number}", *names):
            app.upload(name, device(name))
            app.deliver(name)
        app.hub.free_slot()
        app.tick()
        app.hub.wait_idle()
        outcomes: list[str] = []

        def act(name: str = names[1], outcomes: list[str] = outcomes) -> None:
            try:
                outcomes.append(cancel(app, name).state.value)
            except Exception as error:
                outcomes.append(type(error).__name__)

        done = at_request(app, number, act)
        app.tick()
        app.before_request = lambda _: None
        # Its lease ends, if the cancel came between.
        app.pass_minutes(6)
        app.finish()
        if not done:
            assert number > 10
            break
        case = f"{number}: {done[0]}: {outcomes}"
        others = results(app, (names[0], names[2]))
        assert others == [COMPLETED, COMPLETED], case
        if outcomes == ["cancelled"]:
            assert results(app, names[1:2]) == [CANCELLED], case
            assert not is_imported(app, names[1]), case
        else:
            assert outcomes == ["SharedJobError"], case
            assert results(app, names[1:2]) == [COMPLETED], case
        assert shared_jobs(app) == [], case
    assert len(containers_at_hub(app)) == len(set(containers_at_hub(app)))


def test_cancel_that_is_overtaken_by_a_new_job_hits_nothing(app: App) -> None:
    """The job that was shown is dissolved by the cancel; a tick starts the next one meanwhile."""
    gather(app)
    start(app, is_busy=True)
    job = shared_job(app)
    app.hub.free_slot()
    overtaken: list[str] = []

    def overtake(request: str) -> None:
        overtaken.append(request)
        app.before_request = lambda _: None
        app.hub.faults.add("hangJob")
        app.tick()

    def after(request: str) -> None:
        if "$batch" in request:
            # The job is dissolved; the cancel reads the record again.
            app.after_request = lambda _: None
            app.before_request = overtake

    app.after_request = after
    with pytest.raises(SharedJobError):
        cancel(app, "b.ndjson")
    assert overtaken
    assert shared_job(app).id != job.id
    assert states(app) == ["running"] * 3
    app.hub.jobs.cancel(shared_job(app).job.id)
    app.finish()
    assert results(app) == [("cancelled", None, None)] * 3
