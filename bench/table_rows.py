"""Writes rows of imports that are already there: histories, queues and running jobs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from azure.data.tables import TableServiceClient

from bench.environment import Scene
from shared.hub.jobs import ImportJobRequest
from shared.imports.app import utc_now
from shared.imports.model.parts import HubJob, StagedFile
from shared.imports.model.record import ImportRecord, upload_id
from shared.imports.model.states import ImportState
from shared.imports.store.import_container import container_name
from shared.imports.store.rows import to_row

__all__ = [
    "LINE",
    "add_import",
    "add_staged_import",
    "fill_history",
    "job_request",
    "lines",
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
    record = replace(record, **{"last_start_at": now, **members})
    return scene.importer.services.store.create(record)[0]


def add_staged_import(scene: Scene, hub: str, number: int) -> ImportRecord:
    """Write an import that waits in the queue, with its staged file: it can be started."""
    line = LINE % number + b"\n"
    uploaded_at = utc_now() - timedelta(hours=1) + timedelta(seconds=number)
    staged = _record(scene, hub, f"{number:07}.ndjson", uploaded_at).staged
    blob = scene.blobs.create_container(staged.container).upload_blob("devices.txt", line)
    etag = blob.get_blob_properties().etag
    return add_import(
        scene,
        hub,
        number,
        state=ImportState.QUEUED,
        staged=replace(staged, etag=etag, size=len(line)),
    )


def start_job(scene: Scene, request: ImportJobRequest) -> str:
    """Start a job past the importer; returns its id."""
    return scene.importer.services.hubs[scene.hub].create_job(request).job_id


def lines(first: int, count: int) -> bytes:
    """A file of so many devices."""
    return b"".join(LINE % number + b"\n" for number in range(first, first + count))


def job_request(scene: Scene, devices: int = 1) -> ImportJobRequest:
    """What asks for a job of so many devices, in a container that is made for it."""
    name = f"by-hand-{scene.container}"
    storage = scene.importer.services.storage
    uri = storage.container_uri_with_sas(name, timedelta(hours=1), utc_now())
    request = ImportJobRequest(input_blob_container_uri=uri, output_blob_container_uri=uri)
    scene.blobs.create_container(name).upload_blob(request.input_blob_name, lines(0, devices))
    return request


def _history(scene: Scene, hub: str, count: int) -> Iterator[dict[str, Any]]:
    newest = utc_now() - timedelta(days=1)
    for number in range(count):
        at = newest - timedelta(seconds=number)
        record = _record(scene, hub, f"{number:07}.ndjson", at)
        yield to_row(
            replace(
                record,
                state=ImportState.COMPLETED,
                finished_at=at,
                history=tuple((state, at) for state in _WAY),
                imported=1,
                failed=0,
                report=f"{record.staged.container}/report.json",
                job=HubJob(id=record.id, status="completed", progress=100),
                queue_key=record.new_queue_key,
                write_id=record.id,
            )
        )


def _record(scene: Scene, hub: str, file: str, uploaded_at: datetime) -> ImportRecord:
    etag = f"{hub}/{file}"
    import_id = upload_id(scene.settings.storage.imports_table, scene.container, file, etag)
    return ImportRecord(
        hub=hub,
        id=import_id,
        file=file,
        upload_etag=etag,
        uploaded_at=uploaded_at,
        created_at=uploaded_at,
        updated_at=uploaded_at,
        size=len(LINE),
        lines=1,
        invalid_lines=0,
        devices=1,
        validation_attempts=1,
        staged=StagedFile(container=container_name(import_id)),
    )
