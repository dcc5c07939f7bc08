"""Four processes of the app over one storage account and one hub, while requests fail.

Files are uploaded while the processes run; some overwrite earlier ones. Events are spread over the
processes in shuffled order, some of them several times. One request in twenty is refused, loses its
answer or is answered with 429, 500 or 503. Processes are killed and replaced; the events that they
held are lost. In the end the faults stop, and every upload must have been applied once, in order.

Storage gives upload times in whole seconds; within a second, uploads enter the queue in the order
in which the app first sees them, which the shuffled events may reverse. So (1) the hub's jobs began
in the order of the queue keys, without exception; (2) the queue keys are in the order of upload
where upload times differ; (3) each device has what its last upload gave it, which is in a later
second than all others of the device. Versions of one blob are in upload order even within a second,
since an older one cannot be read any more.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient, ContainerClient

from iothub_emulator import HubEmulator
from shared.imports.model.record import ImportRecord, upload_id
from shared.imports.model.states import ImportState
from tests.races.faulty_transport import RequestCounts
from tests.races.invariants import (
    Stored,
    finished_imports_are_counted_once,
    histories_follow_the_transitions,
    import_jobs,
    jobs_ran_once,
    lines_of_job,
    read_table,
)
from tests.races.worker_processes import WorkerProcesses

#: RACE_UPLOADS sets the length of the run, RACE_SEED its random seed.
UPLOADS = int(os.environ.get("RACE_UPLOADS", "120"))
SEED = int(os.environ.get("RACE_SEED", "1"))
#: Share of uploads that overwrite, and of those that are announced three times.
OVERWRITES, REPEATS = 0.1, 0.1
DEVICES = [f"pump-{number}" for number in range(12)]
#: Number of the process that is killed and replaced, by share of uploads.
KILLS = {0.3: 0, 0.5: 2, 0.7: 1, 0.8: 3}
#: Share of the uploads that are applied before the faults end.
FAULTS_END_AT = 0.8
#: Seconds of uploading, and seconds from then until all imports must be final.
UPLOAD_TIME, DEADLINE = 4.0, 600.0

SETTINGS = {
    "BACKOFF_SECONDS": "0",
    "TICK_SECONDS": "2",
    "JOB_POLL_SECONDS": "0.05",
    "MAX_ATTEMPTS": "100",
}


@dataclass(frozen=True)
class Upload:
    """One version of a blob, as the test wrote it."""

    number: int
    name: str
    devices: tuple[str, ...]
    content: bytes
    etag: str
    uploaded_at: datetime
    #: That of its import.
    id: str


def test_every_upload_is_applied_once_and_in_order(
    storage_connection_string: str, tmp_path: Path
) -> None:
    container, table = f"uploads-{uuid.uuid4().hex[:12]}", f"Imports{uuid.uuid4().hex[:12]}"
    counts_file = tmp_path / "counts_file"
    with (
        HubEmulator() as hub,
        BlobServiceClient.from_connection_string(storage_connection_string) as blobs,
        TableServiceClient.from_connection_string(storage_connection_string) as tables,
    ):
        environment = {
            **SETTINGS,
            "ImporterStorage": storage_connection_string,
            "IOTHUB": hub.connection_string("registryReadWrite"),
            "UPLOAD_CONTAINER": container,
            "IMPORTS_TABLE": table,
        }
        upload_container = blobs.create_container(container)
        with WorkerProcesses(environment, (container, str(counts_file)), tmp_path, SEED) as workers:
            began = time.monotonic()
            uploads = upload_and_announce(upload_container, table, workers)
            uploaded = time.monotonic()
            # On a busy machine, no worker has created it yet.
            tables.create_table_if_not_exists(table)
            are_faults_over = False
            while not everything_is_final(
                records := read_table(tables.get_table_client(table)).records, upload_container
            ):
                states = Counter(record.state.value for record in records.values())
                assert time.monotonic() < uploaded + DEADLINE, states
                if not are_faults_over and states["completed"] > FAULTS_END_AT * UPLOADS:
                    are_faults_over = True
                    workers.stop_faults()
                time.sleep(0.5)
            finished = time.monotonic()
            workers.finish()
        print(
            f"{UPLOADS} uploads in {uploaded - began:.1f} s, final after {finished - began:.1f} s; "
            f"{len(KILLS)} kills; {dict(RequestCounts.read(counts_file))}; hub: {hub.requests}"
        )
        assert workers.unexpected() == []
        stored = read_table(tables.get_table_client(table))
        records = stored.records
        assert stored.queue_rows == {}
        assert stored.jobs == []
        rows = tables.get_table_client(table).list_entities()
        finished_imports_are_counted_once(records.values(), rows)
        histories_follow_the_transitions(records.values())
        every_upload_has_its_end(uploads, records, upload_container)
        jobs = import_jobs(hub)
        jobs_ran_once(stored, jobs)
        print(f"files in each job: {[len(stored.imports_of(job)) for job in jobs]}")
        applied = jobs_began_in_order(uploads, stored, hub)
        devices_have_what_came_last(applied, hub)
        by_id = {upload.id: upload for upload in uploads}
        for job in jobs:
            members = [by_id[record.id] for record in stored.imports_of(job)]
            wanted = [json.loads(line) for it in members for line in it.content.splitlines()]
            assert lines_of_job(job, blobs) == wanted, members
            devices = [device for upload in members for device in upload.devices]
            assert len(devices) == len(set(devices)), members


def upload_and_announce(
    container: ContainerClient, table: str, workers: WorkerProcesses
) -> list[Upload]:
    """Write the files one after the other; send their events slightly later in another order."""
    rng = random.Random(SEED)
    uploads: list[Upload] = []
    waiting: list[str] = []
    kills = {int(fraction * UPLOADS): number for fraction, number in KILLS.items()}
    began = time.monotonic()
    for number in range(UPLOADS):
        upload = make_upload(container, table, rng, number, uploads)
        uploads.append(upload)
        waiting += [upload.name] * (3 if rng.random() < REPEATS else 1)
        if number in kills:
            workers.kill_and_replace(kills[number])
        rng.shuffle(waiting)
        while len(waiting) > 20 or (waiting and number == UPLOADS - 1):
            workers.announce(waiting.pop())
        due = began + UPLOAD_TIME * (number + 1) / UPLOADS
        time.sleep(max(0, due - time.monotonic()))
    # In a later second, so that the last upload of each device is unambiguous.
    time.sleep(1)
    for number, device in enumerate(DEVICES, UPLOADS):
        uploads.append(write(container, table, f"{number}.ndjson", number, (device,)))
        workers.announce(uploads[-1].name)
    return uploads


def make_upload(
    container: ContainerClient, table: str, rng: random.Random, number: int, before: list[Upload]
) -> Upload:
    is_overwrite = before and rng.random() < OVERWRITES
    name = rng.choice(before).name if is_overwrite else f"{number}.ndjson"
    return write(container, table, name, number, tuple(rng.sample(DEVICES, rng.randint(1, 3))))


def write(
    container: ContainerClient, table: str, name: str, number: int, devices: tuple[str, ...]
) -> Upload:
    content = "\n".join(
        json.dumps(
            {
                "id": device,
                "status": "enabled",
                "importMode": "createOrUpdate",
                # Without it each line causes a warning, and each file a report.
                "authentication": {"type": "certificateAuthority"},
                "tags": {"n": number},
            }
        )
        for device in devices
    ).encode()
    answer = container.get_blob_client(name).upload_blob(content, overwrite=True)
    etag, uploaded_at = answer["etag"].strip('"'), answer["last_modified"]
    import_id = upload_id(table, container.container_name, name, etag)
    return Upload(number, name, devices, content, etag, uploaded_at, import_id)


def versions(container: ContainerClient) -> set[tuple[str, str]]:
    """Names and ETags of the current blobs in the container."""
    return {(blob.name, blob.etag.strip('"')) for blob in container.list_blobs()}


def everything_is_final(records: Mapping[str, ImportRecord], container: ContainerClient) -> bool:
    found = {(record.file, record.upload_etag) for record in records.values()}
    return versions(container) <= found and all(
        record.state.is_final for record in records.values()
    )


def every_upload_has_its_end(
    uploads: list[Upload], records: Mapping[str, ImportRecord], container: ContainerClient
) -> None:
    """Existing uploads were imported; overwritten ones were imported, superseded or never seen."""
    by_id = {upload.id: upload for upload in uploads}
    assert records.keys() <= by_id.keys()
    existing = versions(container)
    for upload in uploads:
        record = records.get(upload.id)
        if (upload.name, upload.etag) in existing:
            assert record is not None, upload
            assert record.state is ImportState.COMPLETED, record.failure_reason
        elif record is not None:
            assert record.state in (ImportState.COMPLETED, ImportState.SUPERSEDED), record


def jobs_began_in_order(uploads: list[Upload], stored: Stored, hub: HubEmulator) -> list[Upload]:
    """Return the applied uploads in queue order."""
    by_id = {upload.id: upload for upload in uploads}
    records = stored.records.values()
    completed = [record for record in records if record.state is ImportState.COMPLETED]
    completed.sort(key=lambda record: record.queue_key)
    jobs = import_jobs(hub)
    assert [record for job in jobs for record in stored.imports_of(job)] == completed
    applied = [by_id[record.id] for record in completed]
    times = [upload.uploaded_at for upload in applied]
    assert times == sorted(times)
    for name in {upload.name for upload in applied}:
        numbers = [upload.number for upload in applied if upload.name == name]
        assert all(before < after for before, after in pairwise(numbers)), name
    return applied


def devices_have_what_came_last(applied: list[Upload], hub: HubEmulator) -> None:
    for device in DEVICES:
        mine = [upload for upload in applied if device in upload.devices]
        last = max(mine, key=lambda upload: upload.number)
        assert all(upload is last or upload.uploaded_at < last.uploaded_at for upload in mine)
        assert mine[-1] is last
        stored = hub.registry.get(device)
        assert stored is not None
        assert stored["tags"] == {"n": last.number}, device
