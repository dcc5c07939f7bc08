"""Requests to storage and hub in each phase of an import.

The limits are requirements; raising one affects cost and throttling.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

import pytest

from shared.imports.model.states import ImportState
from shared.imports.operate.device_history import DeviceHistory
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.workflow import upload_scan as uploads
from tests.app import App, device
from tests.imports.plans import pump, put_pumps, send, use_lookups

NAME = "pumps.ndjson"


@pytest.mark.parametrize("hub", [{"job_seconds": 1.0}], indirect=True)
def test_request_count_of_an_import(app: App) -> None:
    # The first import creates the table.
    app.upload("first.ndjson", device("pump-0"))
    app.deliver("first.ndjson")
    app.finish()

    with app.counting() as idle:
        app.tick()
    app.upload(NAME, device("pump-1", authentication={"type": "certificateAuthority"}))
    with app.counting() as started:
        app.deliver(NAME)
    assert app.record(NAME).state == "running"
    with app.counting() as running:
        app.tick()
    app.hub.wait_idle()
    with app.counting() as ended:
        app.tick()
    assert app.record(NAME).state == "completed"

    for moment, requests in zip(
        ("event to job started", "tick while it runs", "its end", "idle tick"),
        (started, running, ended, idle),
        strict=True,
    ):
        print(f"{moment}: {len(requests)}", *requests, sep="\n  ")
    assert len(started) <= 16
    assert len(running) <= 3
    assert len(ended) <= 7
    assert len(idle) == 1


def test_queued_imports_add_no_requests_to_a_tick(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick checks only the first import of the queue."""
    # Uploads appear a few seconds old.
    monkeypatch.setattr(uploads, "MARGIN", timedelta(seconds=-60))
    app.hub.occupy_slot()
    # The first tick of a minute stores its timestamp.
    app.tick()
    costs = []
    for waiting in range(3):
        app.upload(f"{waiting}.ndjson", device(f"pump-{waiting}"))
        app.deliver(f"{waiting}.ndjson")
        with app.counting() as requests:
            app.tick()
        costs.append(len(requests))
    assert costs[0] == costs[1] == costs[2]


def upload_all(app: App, names: list[str]) -> None:
    for name in names:
        # Without warnings, which are in a report of the validation.
        app.upload(name, device(name, authentication={"type": "certificateAuthority"}))
        app.deliver(name)


def print_counts(moment: str, requests: list[str]) -> None:
    kinds = Counter(re.sub(r"[0-9a-f]{12,}|queue-[-0-9]+", "…", line) for line in requests)
    print(f"{moment}: {len(requests)}")
    for line, count in kinds.most_common():
        print(f"  {count} {line}")


@pytest.mark.parametrize("count", [2, 3, 10, 96])
def test_request_count_of_a_shared_job(app: App, count: int) -> None:
    """At most ten, and two for each file, in a queue of any length."""
    app.hub.occupy_slot()
    names = [f"{number:02}.ndjson" for number in range(count)]
    upload_all(app, ["first.ndjson", *names])
    app.hub.free_slot()
    app.tick()
    app.hub.wait_idle()
    app.hub.occupy_slot()
    with app.counting() as requests:
        app.tick()
    # With the transaction before, the first ended.
    after = next(number for number, request in enumerate(requests) if "$batch" in request) + 1
    first_end, started = requests[:after], requests[after:]
    assert app.record(names[-1]).job_files == count
    app.hub.free_slot()
    with app.counting() as again:
        app.tick()
    assert app.record(names[-1]).state == "running"
    app.hub.wait_idle()
    with app.counting() as ended:
        app.tick()
    assert {app.record(name).state.value for name in (names[0], names[-1])} == {"completed"}
    with app.counting() as idle:
        app.tick()
    moments = ("end of another job", "start", "asked again", "end", "idle tick")
    for moment, requests in zip(moments, (first_end, started, again, ended, idle), strict=True):
        print_counts(f"{count} files: {moment}", requests)
    assert len(first_end) <= 7
    assert len(started) <= 10 + 2 * count
    assert len(again) <= 6
    assert len(ended) <= 10 + 2 * count
    assert len(idle) == 1


def test_idle_tick_costs_one_request_after_many_jobs(app: App) -> None:
    upload_all(app, ["first.ndjson"])
    app.finish()
    for start in range(0, 1200, 100):
        rows = [
            {"PartitionKey": app.hub.address, "RowKey": f"ended-job-{number:024x}", "schema": 2}
            for number in range(start, start + 100)
        ]
        app.table.submit_transaction([("create", row) for row in rows])
    with app.counting() as idle:
        app.tick()
    assert len(idle) == 1


def test_tick_while_a_shared_job_runs(app: App) -> None:
    """The number of its files does not matter."""
    app.hub.occupy_slot()
    upload_all(app, ["first.ndjson", *(f"{number}.ndjson" for number in range(12))])
    app.hub.free_slot()
    app.tick()
    app.hub.wait_idle()
    app.hub.faults.add("hangJob")
    app.tick()
    app.tick()
    with app.counting() as running:
        app.tick()
    print_counts("tick while a job of 12 files runs", running)
    assert len(running) <= 3


def import_first(app: App) -> None:
    """The first import creates the table."""
    app.upload("first.ndjson", device("other", authentication={"type": "certificateAuthority"}))
    app.deliver("first.ndjson")
    app.finish()


@pytest.mark.parametrize("count", [1, 5, 8])
def test_request_count_of_lookups(app: App, count: int) -> None:
    """Two for each device, and what a file without a plan costs, and at most 15 in all."""
    app.configure(APPLY="changes")
    use_lookups(app)
    import_first(app)
    put_pumps(app, count)
    app.upload(NAME, *(pump(number, "b") for number in range(count)))
    with app.counting() as started:
        app.deliver(NAME)
    assert app.record(NAME).state == "running"
    print_counts(f"{count} lines: event to job started, with lookups", started)
    lookups = [line for line in started if "/devices/" in line or "/twins/" in line]
    assert len(lookups) == 2 * count
    assert len(started) <= 16 + 15 + 2 * count


def test_request_count_of_an_export(app: App) -> None:
    app.configure(APPLY="changes")
    import_first(app)
    put_pumps(app, 30)
    app.hub.faults.add("hangJob")
    app.upload(NAME, *(pump(number, "b" if number == 3 else "a") for number in range(30)))
    with app.counting() as asked:
        app.deliver(NAME)
    assert app.record(NAME).state == "planning"
    app.tick()
    with app.counting() as running:
        app.tick()
    app.hub.jobs.cancel(app.hub.jobs[-1]["jobId"])
    app.tick()
    app.tick()
    app.hub.wait_idle()
    with app.counting() as compared:
        app.tick()
    assert app.record(NAME).state == "running"
    app.hub.wait_idle()
    with app.counting() as ended:
        app.tick()
    assert app.record(NAME).state == "completed"
    with app.counting() as idle:
        app.tick()
    moments = ("event to export", "export runs", "compared", "end", "idle tick")
    for moment, requests in zip(moments, (asked, running, compared, ended, idle), strict=True):
        print_counts(moment, requests)
    assert len(asked) <= 19
    assert len(running) <= 2
    assert len(compared) <= 28
    assert len(ended) <= 7
    assert len(idle) == 1


def test_request_count_of_a_file_that_changes_nothing(app: App) -> None:
    app.configure(APPLY="changes")
    import_first(app)
    put_pumps(app, 30)
    send(app, *map(pump, range(30)))
    app.hub.wait_idle()
    with app.counting() as compared:
        app.tick()
    assert app.record(NAME).state == "completed"
    print_counts("compared, nothing to send", compared)
    assert len(compared) <= 19


def test_comparison_at_a_busy_hub(app: App) -> None:
    """Each time that the slot is asked for; a back-off is between."""
    app.configure(APPLY="changes")
    import_first(app)
    put_pumps(app, 30)
    app.hub.occupy_slot()
    send(app, *map(pump, range(30)))
    app.tick()
    with app.counting() as asked:
        app.tick()
    print_counts("asked again for an export", asked)
    assert len(asked) <= 7


def test_request_count_of_lists(app: App) -> None:
    """One for each hub, one more where imports have jobs, and one for what a search finds."""
    app.hub.occupy_slot()
    upload_all(app, [f"{number}.ndjson" for number in range(5)])
    reader = app.importer.reader
    reader.page(ImportFilter(), 50)
    costs = {}
    for name, wanted in (
        ("a page", ImportFilter()),
        ("a search by state", ImportFilter(states=frozenset({ImportState.FAILED}))),
        ("a search by name", ImportFilter(file="3")),
        ("a search that finds nothing", ImportFilter(file="no", who="body")),
    ):
        with app.counting() as requests:
            reader.page(wanted, 50)
        print_counts(name, requests)
        costs[name] = len(requests)
    # The app's hub, and the uploads that lead to none; the first import has a job.
    assert list(costs.values()) == [2 + 1, 2, 2 + 1, 2]


def test_request_count_of_a_search_for_a_device(app: App) -> None:
    """Two for each import that does not have it, and four for one that does, besides the list."""
    for number in range(3):
        app.upload(f"{number}.ndjson", device(f"pump-{number}"))
        app.deliver(f"{number}.ndjson")
        app.finish()
    importer = app.importer
    importer.services.known_hubs.guarded()
    costs = []
    for name in ("other", "pump-1"):
        history = DeviceHistory(
            importer.services, importer.reader, name, wanted=ImportFilter(), limit=10
        )
        with app.counting() as requests:
            searched = [record.file for record in history.run()]
        print_counts(f"a search for {name}", requests)
        costs.append(len(requests))
        assert len(searched) == 3
    # The list of the app's hub, and that of uploads that lead to none.
    lists = 2
    assert costs == [lists + 3 * 2, lists + 2 * 2 + 7]


def test_request_count_of_an_abbreviated_id(app: App) -> None:
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    import_id = app.record(NAME).id
    reader = app.importer.reader
    with app.counting() as whole:
        assert reader.get(import_id).id == import_id
    with app.counting() as abbreviated:
        assert reader.get(import_id[:8]).id == import_id
    assert len(abbreviated) == len(whole) + 1
