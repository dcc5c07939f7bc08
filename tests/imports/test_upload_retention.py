"""Uploads are deleted only if fully imported, and moves are abandoned after repeated errors."""

from __future__ import annotations

import gzip
import json
import os
import uuid
from datetime import timedelta

import pytest
from azure.data.tables import UpdateMode
from azure.storage.blob import BlobLeaseClient, ContentSettings

from tests.app import App, device

NAME = "pumps.ndjson"


def has_upload(app: App, name: str = NAME) -> bool:
    return app.blobs.get_blob_client(app.container, name).exists()


def run(app: App, *lines: object) -> None:
    app.upload(NAME, *(lines or (device("pump-1"),)))
    app.deliver(NAME)
    app.finish()


def lines_left_out(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    run(app, device("pump-1"), b"broken")


def devices_refused(app: App) -> None:
    run(app, device("pump-1"), device("gone", importMode="delete"))


def job_failed(app: App) -> None:
    app.hub.faults.add("failJob")
    run(app)


def rejected(app: App) -> None:
    run(app, b"broken")


def cancelled(app: App) -> None:
    app.hub.occupy_slot()
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.importer.actions.cancel(app.record(NAME))


def log_missing(app: App) -> None:
    app.hub.faults.add("noLog")
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    for _ in range(2):
        app.hub.wait_idle()
        app.tick()
        app.clock.ahead += timedelta(minutes=11)


@pytest.mark.parametrize(
    "end", [lines_left_out, devices_refused, job_failed, rejected, cancelled, log_missing]
)
@pytest.mark.parametrize("retention", ["delete", "move"])
def test_upload_not_proven_to_be_fully_imported_is_kept(
    app: App, end: object, retention: str
) -> None:
    """Moving loses no data, so every final import's upload is moved."""
    app.configure(
        UPLOAD_RETENTION=retention, UPLOAD_ARCHIVE_CONTAINER=f"processed-{uuid.uuid4().hex[:12]}"
    )
    assert callable(end)
    end(app)
    assert app.record(NAME).state.is_final
    for _ in range(2):
        app.sweep()
    assert has_upload(app) == (retention == "delete")


def test_upload_is_kept_if_the_record_contradicts_the_report(app: App) -> None:
    """A completed import with an edited or missing count."""
    app.configure(UPLOAD_RETENTION="delete")
    run(app)
    record = app.record(NAME)
    row = app.table.get_entity(record.hub, record.row_key)
    del row["failed"]
    app.table.update_entity(row, mode=UpdateMode.REPLACE)
    app.sweep()
    assert has_upload(app)


@pytest.mark.parametrize("retention", ["delete", "move"])
def test_deletion_of_an_upload_is_abandoned_after_repeated_errors(app: App, retention: str) -> None:
    archive = f"processed-{uuid.uuid4().hex[:12]}"
    app.configure(UPLOAD_RETENTION=retention, UPLOAD_ARCHIVE_CONTAINER=archive)
    run(app)
    lease = BlobLeaseClient(app.blobs.get_blob_client(app.container, NAME))
    lease.acquire(-1)
    deletions = []
    for _ in range(7):
        with app.counting() as requests:
            app.sweep()
        path = f"DELETE /devstoreaccount1/{app.container}/{NAME}"
        deletions.append(sum(request == path for request in requests))
    assert deletions == [1, 1, 1, 1, 1, 0, 0]
    assert has_upload(app)
    lease.release()
    app.upload(NAME, device("pump-2"))
    app.deliver(NAME)
    app.finish()
    app.sweep()
    assert not has_upload(app), "another upload under that name has tries of its own"


def test_record_is_pruned_if_its_claim_is_deleted(app: App) -> None:
    app.configure(RECORD_RETENTION_DAYS="30")
    for number in range(3):
        app.upload(f"{number}.ndjson", device(f"pump-{number}"))
        app.deliver(f"{number}.ndjson")
        app.finish()
        app.blobs.get_blob_client(app.container, f"{number}.ndjson").delete_blob()
    app.table.delete_entity("(claims)", app.record("1.ndjson").id)
    app.clock.ahead_hours(24 * 31)
    app.sweep()
    assert app.records() == []
    assert list(app.table.query_entities("PartitionKey eq '(claims)'")) == []


def test_upload_is_moved_without_decoding(app: App) -> None:
    """Compressed content is not decompressed, and its properties are kept."""
    archive = f"processed-{uuid.uuid4().hex[:12]}"
    app.configure(UPLOAD_RETENTION="move", UPLOAD_ARCHIVE_CONTAINER=archive)
    line = json.dumps(device("pump-1", tags={"random": os.urandom(3_000_000).hex()})).encode()
    compressed = gzip.compress(json.dumps(device("pump-2")).encode() + b"\n" + line, 1)
    assert len(compressed) > 3_000_000
    settings = ContentSettings(
        content_type="application/x-ndjson", content_encoding="gzip", cache_control="no-store"
    )
    app.configure(MAX_LINE_BYTES="16777216")
    app.blobs.get_blob_client(app.container, NAME).upload_blob(
        compressed, content_settings=settings, metadata={"site": "east"}
    )
    app.deliver(NAME)
    app.sweep()
    record = app.record(NAME)
    assert record.state.is_final
    assert not has_upload(app)
    moved = app.blobs.get_blob_client(archive, f"{record.id}/{NAME}")
    assert moved.download_blob(decompress=False).readall() == compressed
    properties = moved.get_blob_properties()
    assert properties.metadata == {"site": "east"}
    content_settings = properties.content_settings
    assert (
        content_settings.content_type,
        content_settings.content_encoding,
        content_settings.cache_control,
    ) == (
        *("application/x-ndjson", "gzip"),
        "no-store",
    )
