"""Imports that are there already, with nothing uploaded: histories, queues and what runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from azure.data.tables import TableServiceClient

from bench.stage import Scene
from shared.hub.jobs import ImportJobRequest
from shared.imports.app import utc_now
from shared.imports.model.record import ImportRecord, ImportState
from shared.imports.store.import_container import container_name
from shared.imports.store.rows import to_entity

__all__ = [
    "LINE",
    "add_import",
    "add_staged_import",
    "fill_history",
    "job_request",
    "start_job",
]

LINE = b'{"id":"pump-%07d","status":"enabled","authentication":{"type":"certificateAuthority"}}'

#: The most rows of one transaction.
_BATCH = 100
#: The storage has one thread.
_THREADS = 2

_WAY = (
    ImportState.VALIDATING,
    ImportState.QUEUED,
    ImportState.STARTING,
    ImportState.RUNNING,
    ImportState.COMPLETED,
)


def fill_history(scene: Scene, count: int) -> None:
    """Write so many imports that ended, a second apart, up to a day ago."""
    storage = scene.settings.storage.connection.connection_string
    assert storage
    with TableServiceClient.from_connection_string(storage.get_secret_value()) as tables:
        table = tables.create_table_if_not_exists(scene.settings.storage.imports_table)
        rows = _history(scene, scene.hub, count)
        batches = iter(lambda: [("upsert", row) for row in itertools.islice(rows, _BATCH)], [])
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(table.submit_transaction, batches):
                pass


def add_import(scene: Scene, hub: str, number: int, **members: Any) -> ImportRecord:
    """Write an open import with its marker; the higher the number the later."""
    now = utc_now()
    uploaded_at = now - timedelta(hours=1) + timedelta(seconds=number)
    record = _record(scene, hub, f"{number:07}.ndjson", uploaded_at)
    record = record.model_copy(update={"last_start_at": now, **members})
    return scene.importer.services.store.create(record)[0]


def add_staged_import(scene: Scene, hub: str, number: int) -> ImportRecord:
    """Write an import that waits in the queue, with its staged file: it can be started."""
    line = LINE % number + b"\n"
    uploaded_at = utc_now() - timedelta(hours=1) + timedelta(seconds=number)
    container = _record(scene, hub, f"{number:07}.ndjson", uploaded_at).container
    staged = scene.blobs.create_container(container).upload_blob("devices.txt", line)
    return add_import(
        scene,
        hub,
        number,
        state=ImportState.QUEUED,
        staged_etag=staged.get_blob_properties().etag,
        staged_bytes=len(line),
    )


def start_job(scene: Scene, request: ImportJobRequest) -> str:
    """Start a job past the importer; returns its id."""
    return scene.importer.services.hubs[scene.hub].create_import_job(request).job_id


def job_request(scene: Scene) -> ImportJobRequest:
    """What asks for a job of one device, in a container that is made for it."""
    name = f"by-hand-{scene.container}"
    storage = scene.importer.services.storage
    uri = storage.container_uri_with_sas(name, timedelta(hours=1), utc_now())
    request = ImportJobRequest(input_blob_container_uri=uri, output_blob_container_uri=uri)
    scene.blobs.create_container(name).upload_blob(request.input_blob_name, LINE % 0 + b"\n")
    return request


def _history(scene: Scene, hub: str, count: int) -> Iterator[dict[str, Any]]:
    newest = utc_now() - timedelta(days=1)
    for number in range(count):
        at = newest - timedelta(seconds=number)
        record = _record(scene, hub, f"{number:07}.ndjson", at)
        yield to_entity(
            record.model_copy(
                update={
                    "state": ImportState.COMPLETED,
                    "finished_at": at,
                    "history": tuple((state, at) for state in _WAY),
                    "imported": 1,
                    "failed": 0,
                    "report": f"{record.container}/report.json",
                    "job_id": record.id,
                    "job_status": "completed",
                    "progress": 100,
                    "marker": record.marker_key(),
                    "stamp": record.id,
                }
            )
        )


def _record(scene: Scene, hub: str, file: str, uploaded_at: datetime) -> ImportRecord:
    record = ImportRecord.of_upload(
        hub,
        scene.settings.storage.imports_table,
        scene.container,
        file,
        f"{hub}/{file}",
        uploaded_at,
        created_at=uploaded_at,
        updated_at=uploaded_at,
        size=len(LINE),
        lines=1,
        invalid_lines=0,
        devices=1,
        attempts=1,
    )
    return record.model_copy(update={"container": container_name(record.id)})
