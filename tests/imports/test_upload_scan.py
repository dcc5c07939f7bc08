"""Uploads without an event or with a late event, found by scanning the container."""

from __future__ import annotations

import functools
import time
from datetime import timedelta

import pytest
from azure.storage.blob import ContainerClient

from iothub_emulator import HubEmulator
from shared.imports.workflow import upload_scan as uploads
from tests.app import App, device


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads appear a few seconds old when the container is scanned."""
    monkeypatch.setattr(uploads, "MARGIN", timedelta(seconds=-60))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch, aged: None) -> None:
    """A scan of the container reads two blobs."""
    monkeypatch.setattr(uploads, "MAX_PAGES", 1)
    two_per_page = functools.partialmethod(ContainerClient.list_blobs, results_per_page=2)
    monkeypatch.setattr(ContainerClient, "list_blobs", two_per_page)


def next_second() -> None:
    """Wait for the next second: storage returns upload times in whole seconds."""
    time.sleep(1 - time.time() % 1 + 0.01)


def tags(app: App, device_id: str) -> object:
    stored = app.hub.registry.get(device_id)
    assert stored is not None
    return stored["tags"]


def listed_pages(app: App, requests: list[str]) -> int:
    """The number of pages of the upload container that were listed."""
    return requests.count(f"GET /devstoreaccount1/{app.container}")


def in_order_of_start(app: App) -> list[str]:
    starts = [
        (record.job.start_time_utc, record.file)
        for record in app.records()
        if record.job.start_time_utc
    ]
    return [file for _, file in sorted(starts)]


def test_uploads_without_events_are_imported_in_order(app: App) -> None:
    app.upload("2.ndjson", device("pump-1", tags={"n": 1}))
    next_second()
    app.upload("1.ndjson", device("pump-1", tags={"n": 2}))
    app.upload("site/3.ndjson", device("pump-2"))
    app.sweep()
    app.finish()
    assert [record.state for record in app.records()] == ["completed"] * 3
    assert in_order_of_start(app) == ["2.ndjson", "1.ndjson", "site/3.ndjson"]
    assert tags(app, "pump-1") == {"n": 2}
    app.sweep()
    assert len(app.records()) == 3
    # The last two may be in one job.
    assert len(app.hub.jobs) == 2


def test_older_upload_with_a_late_event_is_applied_first(app: App) -> None:
    app.upload("old.ndjson", device("pump-1", tags={"n": 1}))
    next_second()
    app.upload("new.ndjson", device("pump-1", tags={"n": 2}))
    app.deliver("new.ndjson")
    assert app.record("old.ndjson").state == "validating"
    assert app.record("new.ndjson").state == "queued"
    assert app.record("new.ndjson").queue_position == 2
    assert len(app.hub.jobs) == 0
    app.deliver("old.ndjson")
    app.finish()
    assert in_order_of_start(app) == ["old.ndjson", "new.ndjson"]
    assert tags(app, "pump-1") == {"n": 2}


def test_older_upload_with_a_lost_event_is_applied_first(app: App) -> None:
    app.upload("old.ndjson", device("pump-1", tags={"n": 1}))
    next_second()
    app.upload("new.ndjson", device("pump-1", tags={"n": 2}))
    app.deliver("new.ndjson")
    app.sweep()
    app.finish()
    assert in_order_of_start(app) == ["old.ndjson", "new.ndjson"]
    assert tags(app, "pump-1") == {"n": 2}


def test_overwrite_without_an_event_is_queued_last(app: App) -> None:
    """A blob is overwritten before the first import of the queue has started."""
    app.hub.occupy_slot()
    app.upload("old.ndjson", device("pump-1", tags={"n": 1}))
    blob = app.blobs.get_blob_client(app.container, "old.ndjson")
    content = blob.download_blob().readall()
    app.upload("new.ndjson", device("pump-1", tags={"n": 2}))
    app.deliver("old.ndjson")
    app.deliver("new.ndjson")
    next_second()
    blob.upload_blob(content.replace(b"1}", b"3}"), overwrite=True)
    app.hub.free_slot()
    app.sweep()
    app.finish()
    assert in_order_of_start(app) == ["old.ndjson", "new.ndjson", "old.ndjson"]
    assert tags(app, "pump-1") == {"n": 3}


def test_uploads_for_no_hub_are_rejected(app: App, other_hub: HubEmulator) -> None:
    app.route(east=app.hub, west=other_hub)
    for name in ("east/pumps.ndjson", "north/pumps.ndjson", "pumps.ndjson"):
        app.upload(name, device("pump-1"))
    app.sweep()
    app.finish()
    assert [record.state for record in app.records(app.hub.address)] == ["completed"]
    assert app.records(other_hub.address) == []
    rejected = app.records("(none)")
    assert {record.file for record in rejected} == {"north/pumps.ndjson", "pumps.ndjson"}
    assert {record.state for record in rejected} == {"rejected"}
    assert all("these folders: east, west." in record.failure_reason for record in rejected)
    app.sweep()
    assert len(app.records("(none)")) == 2


def test_upload_overwritten_before_it_is_read(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1", tags={"n": 1}))

    def overwrite(request: str) -> None:
        if request == f"HEAD /devstoreaccount1/{app.container}/pumps.ndjson":
            app.before_request = lambda _: None
            app.upload("pumps.ndjson", device("pump-1", tags={"n": 2}))

    app.before_request = overwrite
    app.sweep()
    [record] = app.records()
    assert record.state == "superseded"
    app.sweep()
    app.finish()
    assert sorted(record.state for record in app.records()) == ["completed", "superseded"]
    assert tags(app, "pump-1") == {"n": 2}


def test_upload_deleted_before_it_is_read(app: App) -> None:
    app.upload("first.ndjson", device("pump-1"))
    app.upload("second.ndjson", device("pump-2"))

    def delete(request: str) -> None:
        if request == f"HEAD /devstoreaccount1/{app.container}/first.ndjson":
            app.before_request = lambda _: None
            app.blobs.get_blob_client(app.container, "first.ndjson").delete_blob()

    app.before_request = delete
    app.sweep()
    app.finish()
    assert app.record("first.ndjson").state == "superseded"
    assert app.record("second.ndjson").state == "completed"


@pytest.mark.usefixtures("aged")
def test_uploads_before_a_completed_scan_are_not_checked_again(app: App) -> None:
    for number in range(3):
        app.upload(f"{number}.ndjson", device(f"pump-{number}"))
    app.sweep()
    app.finish()
    with app.counting() as requests:
        app.sweep()
    assert listed_pages(app, requests) == 1
    with app.counting() as requests:
        app.deliver("0.ndjson")
        app.tick()
    assert listed_pages(app, requests) == 0
    # Another process reads the progress of the last scan from the table.
    app.configure()
    app.upload("3.ndjson", device("pump-3"))
    for record in app.records():
        app.table.delete_entity(record.hub, record.row_key)
    with app.counting() as requests:
        app.sweep()
    assert app.records() == []
    assert listed_pages(app, requests) == 1


@pytest.mark.usefixtures("aged")
def test_scan_before_a_start_lists_only_uploads_not_scanned_yet(app: App) -> None:
    app.upload("1.ndjson", device("pump-1"))
    app.upload("2.ndjson", device("pump-2"))
    with app.counting() as requests:
        app.deliver("1.ndjson")
    assert listed_pages(app, requests) == 1
    with app.counting() as requests:
        app.deliver("2.ndjson")
        app.finish()
    assert listed_pages(app, requests) == 0
    assert [record.state for record in app.records()] == ["completed"] * 2


@pytest.mark.usefixtures("small_pages")
def test_scan_continues_where_the_last_one_stopped(app: App) -> None:
    app.hub.occupy_slot()
    for number in range(5):
        app.upload(f"{number}.ndjson", device("pump-1", tags={"n": number}))
    files = []
    service = app.importer._sweeper._upload_scan
    for _ in range(3):
        service.sweep()
        files.append(sorted(record.file for record in app.records()))
    names = [f"{number}.ndjson" for number in range(5)]
    assert files == [names[:2], names[:4], names]
    with app.counting() as requests:
        service.sweep()
    assert listed_pages(app, requests) == 1


@pytest.mark.usefixtures("small_pages")
def test_another_process_continues_the_scan(app: App) -> None:
    for number in range(5):
        app.upload(f"{number}.ndjson", device("pump-1", tags={"n": number}))
    for _ in range(3):
        app.configure()
        app.importer._sweeper._upload_scan.sweep()
    assert len(app.records()) == 5


@pytest.mark.usefixtures("small_pages")
def test_no_upload_in_a_large_container_starts_before_older_uploads(app: App) -> None:
    for number in range(5):
        app.upload(f"{number}.ndjson", device("pump-1", tags={"n": number}))
    next_second()
    app.upload("0.ndjson", device("pump-1", tags={"n": 5}))
    app.deliver("0.ndjson")
    assert len(app.hub.jobs) == 0
    assert app.record("0.ndjson").state == "queued"
    for _ in range(5):
        app.sweep()
        app.hub.wait_idle()
        app.tick()
    app.finish()
    assert sorted(in_order_of_start(app)[:-1]) == [f"{number}.ndjson" for number in range(1, 5)]
    assert in_order_of_start(app)[-1] == "0.ndjson"
    assert tags(app, "pump-1") == {"n": 5}


def test_folders_are_not_uploads(app: App) -> None:
    folder = app.blobs.get_blob_client(app.container, "site")
    folder.upload_blob(b"", metadata={"hdi_isfolder": "true"})
    app.upload("site/pumps.ndjson", device("pump-1"))
    app.sweep()
    app.finish()
    assert [record.file for record in app.records()] == ["site/pumps.ndjson"]


def test_scan_without_an_upload_container_is_empty(app: App) -> None:
    app.configure(UPLOAD_CONTAINER=f"{app.container}-later")
    app.sweep()
    assert app.records() == []
    app.blobs.create_container(app.settings["UPLOAD_CONTAINER"])
    blob = app.blobs.get_blob_client(app.settings["UPLOAD_CONTAINER"], "pumps.ndjson")
    blob.upload_blob(b'{"id": "pump-1", "status": "enabled"}')
    app.sweep()
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"
