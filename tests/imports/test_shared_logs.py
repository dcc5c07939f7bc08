"""The hub's log of a shared job: late, lost, edited, or about devices of nobody."""

from __future__ import annotations

import json

import pytest
from azure.storage.blob import ContainerClient

from shared.imports.app import Importer
from shared.imports.model.job import JobState
from shared.settings import load_settings
from tests.app import App, ObservedTransport, device
from tests.imports.shared_jobs import (
    NAMES,
    containers_at_hub,
    gather,
    members,
    results,
    shared_job,
    shared_jobs,
    start,
    states,
)

LOG = "importErrors.log"
COMPLETED = ("completed", 1, 0)
UNKNOWN = ("completedWithErrors", None, None)


def run(app: App, *faults: str) -> ContainerClient:
    """Let the shared job end at the hub; returns its container."""
    gather(
        app,
        {
            "a.ndjson": [device("Pump-A")],
            "b.ndjson": [device("b-1"), device("b-1", moduleId="meter")],
            "c.ndjson": [device("gateway", moduleId="meter", importMode="update")],
        },
    )
    start(app, *faults)
    container = app.blobs.get_container_client(shared_job(app).staged.container)
    app.hub.wait_idle()
    return container


def write_log(container: ContainerClient, *entries: dict[str, object] | bytes) -> None:
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in entries]
    container.upload_blob(LOG, b"\n".join(lines), overwrite=True)


def entry(device_id: str, **members: object) -> dict[str, object]:
    return {"deviceId": device_id, "errorCode": "1", "errorStatus": "No.", **members}


def failed_lines(app: App, name: str) -> list[tuple[int | None, str]]:
    failures = app.report(app.record(name))["failures"]
    return [(item["line"], item["id"]) for item in failures["devices"]]


def test_entries_are_told_to_their_files(app: App) -> None:
    """In another letter case, repeated, or by the device of a module alone."""
    container = run(app)
    write_log(
        container,
        entry("PUMP-A"),
        entry("pump-a"),
        entry("b-1", moduleId="meter"),
        entry("GATEWAY"),
    )
    app.finish()
    assert results(app) == [
        ("completedWithErrors", 0, 1),
        ("completedWithErrors", 1, 1),
        ("completedWithErrors", 0, 1),
    ]
    assert failed_lines(app, "a.ndjson") == [(1, "Pump-A")]
    assert failed_lines(app, "b.ndjson") == [(2, "b-1")]
    assert failed_lines(app, "c.ndjson") == [(1, "gateway")]
    for record in members(app):
        [code] = app.report(record)["failures"]["codes"]
        assert code["count"] == 1
        assert "unattributed" not in app.report(record)["failures"]


def test_quoted_line_is_told_to_its_file(app: App) -> None:
    container = run(app)
    [line] = (
        app.container_of(app.record("c.ndjson"))
        .get_blob_client("devices.txt")
        .download_blob()
        .readall()
        .splitlines()
    )
    text = f"Could not parse in line: {line.decode()}. It is bad."
    write_log(container, {"deviceId": "", "errorCode": 1, "errorStatus": text})
    app.finish()
    assert results(app) == [COMPLETED, ("completed", 2, 0), ("completedWithErrors", 0, 1)]


def test_entries_of_nobody_may_be_anybodys(app: App) -> None:
    """The hub may have spelt an id in a way of its own."""
    container = run(app)
    write_log(container, entry("nobody"), entry("nobody else"), entry("Pump-A"))
    app.finish()
    assert results(app) == [UNKNOWN] * 3
    for record in members(app):
        assert app.report(record)["failures"]["unattributed"] == 2
        assert "nobody" not in json.dumps(app.report(record))
    assert app.record("a.ndjson").retry
    assert not app.record("b.ndjson").retry


@pytest.mark.parametrize("nameless", [b"not JSON", b'{"errorStatus": "Broken."}', b'{"a"'])
def test_entry_that_names_nothing_may_be_anybodys(app: App, nameless: bytes) -> None:
    container = run(app)
    write_log(container, nameless, entry("Pump-A"))
    app.finish()
    assert results(app) == [UNKNOWN] * 3
    assert app.record("a.ndjson").retry
    assert not app.record("b.ndjson").retry


def test_late_log(app: App) -> None:
    run(app, "lateLog")
    app.tick()
    assert states(app) == ["running"] * 3
    assert len({record.failure_reason for record in members(app)}) == 1
    app.hub.write_late_logs()
    app.finish()
    first, second, _ = results(app)
    assert (first, second) == (COMPLETED, ("completed", 2, 0))


def test_log_that_is_never_written(app: App) -> None:
    run(app, "noLog")
    app.tick()
    app.pass_minutes(9)
    app.tick()
    assert states(app) == ["running"] * 3
    app.pass_minutes(2)
    app.finish()
    assert results(app) == [UNKNOWN] * 3


def test_forgotten_job_is_decided_by_its_log(app: App) -> None:
    container = run(app)
    write_log(container, entry("b-1"))
    app.hub.faults.add("forgetJob")
    app.finish()
    assert results(app) == [COMPLETED, ("completedWithErrors", 1, 1), COMPLETED]


@pytest.mark.parametrize("damage", ["deleted", "edited"])
def test_file_of_the_job_is_damaged_while_it_runs(app: App, damage: str) -> None:
    """Without it, it is not known whose the entries of the log are."""
    container = run(app)
    write_log(container, entry("Pump-A"))
    if damage == "deleted":
        container.delete_blob("devices.txt")
    else:
        container.upload_blob("devices.txt", b"{}\n", overwrite=True)
    app.tick()
    app.pass_minutes(11)
    app.finish()
    assert results(app) == [UNKNOWN] * 3
    assert shared_jobs(app) == []


@pytest.mark.parametrize("damage", ["deleted", "edited"])
def test_log_is_damaged_after_it_was_decided(app: App, damage: str) -> None:
    """Those that have ended stay so; of the others it is not known how many were imported."""
    container = run(app)
    write_log(container, entry("Pump-A"))
    slow = app.record("b.ndjson").staged.container

    def fail(request: str) -> None:
        if slow in request and "/report" in request:
            raise RuntimeError("the disk is on fire")

    app.before_request = fail
    app.tick()
    app.before_request = lambda _: None
    ended = [("completedWithErrors", 0, 1), COMPLETED]
    assert results(app, ("a.ndjson", "c.ndjson")) == ended
    assert shared_job(app).state is JobState.ENDED
    if damage == "deleted":
        container.delete_blob(LOG)
    else:
        write_log(container, entry("b-1"))
    app.tick()
    app.pass_minutes(11)
    app.finish()
    assert results(app, ("a.ndjson", "c.ndjson")) == ended
    assert results(app, ("b.ndjson",)) == [UNKNOWN]


def test_two_processes_start_one_job(app: App) -> None:
    """Each has chosen the same files when the other writes its job."""
    gather(app)
    app.hub.free_slot()
    app.tick()
    app.hub.wait_idle()
    no_hook = lambda _: None  # noqa: E731
    other = Importer(load_settings(), app.clock, lambda: ObservedTransport(no_hook, no_hook))
    batches: list[str] = []

    def overtake(request: str) -> None:
        if "$batch" in request:
            batches.append(request)
            if len(batches) == 2:
                app.hub.faults.add("hangJob")
                other.on_tick()

    app.before_request = overtake
    app.tick()
    app.before_request = no_hook
    other.close()
    assert len(batches) == 2
    assert states(app) == ["running"] * 3
    app.hub.jobs.cancel(shared_job(app).job.id)
    app.finish()
    assert {record.state for record in members(app, NAMES)} == {"cancelled"}
    assert len(containers_at_hub(app)) == 2
