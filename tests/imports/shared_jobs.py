"""Imports that gather behind a busy slot, and the job that they share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord
from tests.app import App, device

#: Files that share a job, unless a test uploads others.
NAMES = ("a.ndjson", "b.ndjson", "c.ndjson")
FIRST = "first.ndjson"


def gather(app: App, files: dict[str, list[object]] | None = None) -> None:
    """Upload files while another client's job runs; the job of `FIRST` waits for the slot."""
    app.hub.occupy_slot()
    deliver(app, FIRST, device("first"))
    for name, lines in (files or {name: [device(name)] for name in NAMES}).items():
        deliver(app, name, *lines)
    assert not shared_jobs(app)


def deliver(app: App, name: str, *lines: object) -> None:
    app.upload(name, *lines)
    app.deliver(name)


def start(app: App, *faults: str, is_busy: bool = False, **fault: Any) -> None:
    """Let the job of `FIRST` run, and the next tick start that of the others.

    Args:
        faults: of their job.
        is_busy: whether the slot is occupied again before that.
    """
    app.hub.free_slot()
    app.tick()
    app.hub.wait_idle()
    for kind in faults:
        app.hub.faults.add(kind, **fault)
    if is_busy:
        app.hub.occupy_slot()
    app.tick()


def shared_jobs(app: App) -> list[JobRecord]:
    jobs = app.importer.services.jobs.all(app.hub.address).values()
    return [job for job in jobs if job.is_shared]


def shared_job(app: App) -> JobRecord:
    [job] = shared_jobs(app)
    return job


def job_row(app: App) -> dict[str, str]:
    """The keys of the row of the shared job."""
    return {"PartitionKey": app.hub.address, "RowKey": shared_job(app).row_key}


def containers_at_hub(app: App) -> list[str]:
    """The containers of all import jobs that the hub had."""
    uris = [job["inputBlobContainerUri"] for job in app.hub.jobs if job["type"] == "import"]
    return [uri.partition("?")[0].rpartition("/")[2] for uri in uris]


def members(app: App, names: Iterable[str] = NAMES) -> list[ImportRecord]:
    return [app.record(name) for name in names]


def states(app: App, names: Iterable[str] = NAMES) -> list[str]:
    return [record.state.value for record in members(app, names)]


def results(app: App, names: Iterable[str] = NAMES) -> list[tuple[str, int | None, int | None]]:
    return [(item.state.value, item.imported, item.failed) for item in members(app, names)]


def is_imported(app: App, device_id: str) -> bool:
    return app.hub.registry.get(device_id) is not None
