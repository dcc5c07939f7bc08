"""Incomplete blobs, and blobs that are folders."""

from __future__ import annotations

import json

import pytest

from tests.app import App, device

NAME = "pumps.ndjson"

by_event_or_sweep = pytest.mark.parametrize("how", ["event", "sweep"])


def line(device_id: str) -> bytes:
    return json.dumps(device(device_id)).encode() + b"\n"


def process_upload(app: App, how: str, name: str = NAME) -> None:
    if how == "event":
        app.deliver(name)
    else:
        app.sweep()


def append(app: App, data: bytes, *, create: bool = False) -> None:
    blob = app.blobs.get_blob_client(app.container, NAME)
    if create:
        blob.create_append_blob()
    if data:
        blob.append_block(data)


@by_event_or_sweep
def test_empty_blob_is_read_after_a_minute(app: App, how: str) -> None:
    app.upload(NAME)
    process_upload(app, how)
    for _ in range(2):
        app.tick()
        app.sweep()
    record = app.record(NAME)
    assert (record.state, record.validation_attempts) == ("validating", 0)
    assert "Waiting" in record.failure_reason
    app.clock.ahead_minutes(2)
    app.tick()
    record = app.record(NAME)
    assert (record.state, record.imported) == ("rejected", 0)


@by_event_or_sweep
def test_blob_that_is_created_empty_and_then_written(app: App, how: str) -> None:
    """Clients of a mounted container write files this way."""
    app.upload(NAME)
    process_upload(app, how)
    app.upload(NAME, device("pump-1"))
    process_upload(app, how)
    assert app.hub.requests["createJob"] == 0
    app.clock.ahead_minutes(2)
    app.finish()
    assert sorted(record.state for record in app.records()) == ["completed", "superseded"]
    assert len(app.hub.jobs) == 1


@by_event_or_sweep
def test_append_blob_is_read_after_its_last_append(app: App, how: str) -> None:
    append(app, line("pump-1"), create=True)
    process_upload(app, how)
    assert app.record(NAME).state == "validating"
    append(app, line("pump-2"))
    process_upload(app, how)
    app.clock.ahead_minutes(0.5)
    app.tick()
    assert {record.state for record in app.records()} == {"validating"}
    app.clock.ahead_minutes(2)
    app.finish()
    assert sorted(record.state for record in app.records()) == ["completed", "superseded"]
    assert (len(app.hub.jobs), len(app.hub.registry)) == (1, 2)


@by_event_or_sweep
def test_page_blob_is_read_after_its_last_write(app: App, how: str) -> None:
    """It has its size, full of NUL bytes, before it has its content."""
    blob = app.blobs.get_blob_client(app.container, NAME)
    blob.create_page_blob(512)
    process_upload(app, how)
    assert app.record(NAME).state == "validating"
    blob.upload_page(line("pump-1").ljust(512, b"\0"), 0, 512)
    process_upload(app, how)
    app.clock.ahead_minutes(2)
    app.finish()
    assert sorted(record.state for record in app.records()) == ["completed", "superseded"]
    assert (len(app.hub.jobs), len(app.hub.registry)) == (1, 1)


def test_append_blob_is_imported_again_after_another_append(app: App) -> None:
    append(app, line("pump-1"), create=True)
    app.deliver(NAME)
    app.clock.ahead_minutes(2)
    app.finish()
    append(app, line("pump-2"))
    app.deliver(NAME)
    app.clock.ahead_minutes(4)
    app.finish()
    assert [record.state for record in app.records()] == ["completed"] * 2
    assert sorted(record.devices or 0 for record in app.records()) == [1, 2]


def test_later_uploads_wait_for_an_incomplete_upload(app: App) -> None:
    """It keeps its queue position: it may contain an older version of the same devices."""
    append(app, line("pump-1"), create=True)
    app.deliver(NAME)
    app.upload("next.ndjson", device("pump-1", tags={"n": 2}))
    app.deliver("next.ndjson")
    app.tick()
    assert app.record("next.ndjson").state == "queued"
    app.clock.ahead_minutes(2)
    app.finish()
    assert [record.state for record in app.records()] == ["completed"] * 2
    stored = app.hub.registry.get("pump-1")
    assert stored is not None
    assert stored["tags"] == {"n": 2}


@by_event_or_sweep
@pytest.mark.parametrize("name", ["hdi_isfolder", "Hdi_isfolder", "HDI_ISFOLDER"])
@pytest.mark.parametrize("value", ["true", "True"])
def test_folders_are_not_imported(app: App, how: str, name: str, value: str) -> None:
    folder = app.blobs.get_blob_client(app.container, "site")
    folder.upload_blob(b"", metadata={name: value})
    process_upload(app, how, "site")
    app.upload("site/pumps.ndjson", device("pump-1"))
    process_upload(app, how, "site/pumps.ndjson")
    app.finish()
    assert [record.file for record in app.records()] == ["site/pumps.ndjson"]


def test_file_with_folder_metadata_set_to_false_is_imported(app: App) -> None:
    app.upload(NAME, device("pump-1"), metadata={"hdi_isfolder": "false"})
    app.deliver(NAME)
    app.finish()
    assert app.record(NAME).state == "completed"
