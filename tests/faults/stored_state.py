"""The stored state of a simulation: table, containers and hubs."""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableEntity, TableServiceClient
from azure.storage.blob import BlobServiceClient, ContainerClient

from iothub_emulator import HubEmulator
from iothub_emulator.choices import Choices
from shared.device_files.mapping.file_mapping import is_mapping_name
from shared.imports.model.job import JobRecord
from shared.imports.model.keys import import_id_of
from shared.imports.model.record import ImportRecord, upload_id
from shared.imports.store.rows import (
    NewerRowError,
    UnreadableRowError,
    is_newer,
    to_job,
    to_record,
)

#: The container of an import or of a job of several, with the number of the validation's attempt;
#: or that of the second job of an undo.
_CONTAINER = re.compile(r"import-([0-9a-f]{24})(-\d+|-modules)?")
JOB_ROWS = ("job-", "ended-job-")


@dataclass(frozen=True)
class StorageAccount:
    """A storage account, shared by simulations one after another."""

    connection_string: str
    blobs: BlobServiceClient
    tables: TableServiceClient


class StoredState:
    """A table and containers of the account, and two hubs."""

    def __init__(self, account: StorageAccount, choices: Choices) -> None:
        self._account = account
        self._name = uuid.uuid4().hex[:12]
        self.container = account.blobs.get_container_client(f"uploads-{self._name}")
        self.table = account.tables.get_table_client(f"Faults{self._name}")
        self.blobs = account.blobs
        #: The hub of every upload, and another one.
        self.hub, self.west = (HubEmulator(choices=choices) for _ in range(2))
        self._jobs: dict[str, tuple[HubEmulator, dict[str, Any]]] = {}
        #: Ids of the imports of each job of several, by the job's id.
        self._members: dict[str, list[str]] = {}
        #: The lines of each upload, by the id of its import.
        self.contents: dict[str, list[dict[str, Any]]] = {}
        #: Ids of all imports seen so far, and of those with manually edited rows or blobs.
        self.seen: set[str] = set()
        self.edited: set[str] = set()
        #: Whether the counts of a day were edited, which cannot be detected.
        self.are_counts_edited = False
        #: Whether a row required for registration was edited: newer uploads wait for older ones
        #: for only a few minutes.
        self.are_app_rows_edited = False
        #: Whether retention deletes records.
        self.are_records_pruned = False

    def records(self, rows: Iterable[TableEntity] | None = None) -> list[ImportRecord]:
        """All readable imports of all hubs as they are shown, newest upload first."""
        rows = self.rows() if rows is None else list(rows)
        jobs = {(job.hub, job.id): job for job in self.job_records(rows)}
        records = []
        for row in rows:
            if row["RowKey"].startswith("import-"):
                with contextlib.suppress(UnreadableRowError, NewerRowError):
                    record = to_record(row)
                    job = jobs.get((record.hub, record.job_record))
                    is_in_job = job and record.row_key in job.members and not record.state.is_final
                    records.append(job.member(record) if job and is_in_job else record)
        return sorted(records, key=lambda record: record.row_key)

    def job_records(self, rows: Iterable[TableEntity]) -> list[JobRecord]:
        """The jobs that are not over and can be read."""
        jobs = []
        for row in rows:
            if row["RowKey"].startswith("job-"):
                with contextlib.suppress(UnreadableRowError, NewerRowError):
                    jobs.append(to_job(row))
        return jobs

    def rows(self) -> list[TableEntity]:
        """All rows of the table; also record the ids of the imports, and who shares a job."""
        try:
            rows = list(self.table.list_entities())
        except ResourceNotFoundError:
            # The app creates it.
            return []
        keys = [row["RowKey"] for row in rows]
        self.seen |= {import_id_of(key) for key in keys if key.startswith("import-")}
        for row in rows:
            if row["RowKey"].startswith(JOB_ROWS):
                self._note_members(row)
        return sorted(rows, key=lambda row: (row["RowKey"], row["PartitionKey"]))

    def id_of(self, file: str, etag: str) -> str:
        """The id of an upload's import, independent of its hub."""
        return upload_id(self.table.table_name, self.container.container_name, file, etag)

    def versions(self) -> list[tuple[str, str]]:
        """Name and ETag of each blob in the upload container that is to have a record."""
        return [
            (blob.name, blob.etag.strip('"'))
            for blob in self.container.list_blobs()
            # Those of the scenarios are valid.
            if not is_mapping_name(blob.name)
        ]

    def report(self, record: ImportRecord) -> dict[str, Any]:
        container, _, name = record.report.partition("/")
        blob = self.blobs.get_blob_client(container, name)
        report: dict[str, Any] = json.loads(blob.download_blob().readall())
        return report

    def note_imports(self) -> None:
        """Record the ids of the imports before they are deleted."""
        self.rows()

    def jobs(self) -> list[tuple[HubEmulator, dict[str, Any]]]:
        """The import jobs of both hubs, oldest first per hub; hubs delete them after some time."""
        for hub in (self.hub, self.west):
            for job in hub.jobs:
                if "/import-" in job.get("inputBlobContainerUri", ""):
                    self._jobs[job["jobId"]] = (hub, job)
        return list(self._jobs.values())

    def _note_members(self, row: TableEntity) -> None:
        """Record who is in a job of several, before the row is edited or deleted."""
        job_id = import_id_of(row["RowKey"])
        with contextlib.suppress(KeyError, TypeError, ValueError):
            members = [import_id_of(key) for key in json.loads(row["members"])]
            if members != [job_id]:
                # A row that was deleted is written again without the imports that have ended.
                known = self._members.get(job_id, [])
                self._members[job_id] = members if len(members) > len(known) else known

    def imports_of_job(self, job: dict[str, Any]) -> Sequence[str]:
        """The ids of the imports of a job at the hub, in queue order."""
        match = _CONTAINER.fullmatch(container_of_job(job))
        assert match, job
        return self.members_of(match[1])

    def members_of(self, job_record: str) -> Sequence[str]:
        """The ids of the imports of a job."""
        return self._members.get(job_record, [job_record])

    def shared_jobs(self) -> dict[str, list[str]]:
        """The jobs of several imports so far, by id, with the ids of their imports."""
        self.rows()
        return self._members

    def jobs_of(self, record: ImportRecord) -> list[tuple[HubEmulator, dict[str, Any]]]:
        """The jobs that were given the lines of the import."""
        return [(hub, job) for hub, job in self.jobs() if record.id in self.imports_of_job(job)]

    def lines_of_job(self, job: dict[str, Any]) -> list[dict[str, Any]] | None:
        """The lines that the hub was given; None if they were deleted since.

        The file may have been renamed after the job had opened it.
        """
        container = self.blobs.get_container_client(container_of_job(job))
        return _lines_at(container, "devices")

    def staged_lines(self, record: ImportRecord) -> list[dict[str, Any]] | None:
        """The validated lines of an import; None if they were deleted."""
        container = self.blobs.get_container_client(record.staged.container)
        return _lines_at(container, "devices") if record.staged.container else None

    def retry_lines(self, record: ImportRecord) -> list[dict[str, Any]] | None:
        """The lines for a retry; None if there are none or they were deleted."""
        container, _, name = record.retry.partition("/")
        return _lines_at(self.blobs.get_container_client(container), name) if name else None

    def must_have_record(self, import_id: str) -> bool:
        """Whether an upload must have a record: unless deleted manually or by retention."""
        return not (
            import_id in self.seen and (self.are_records_pruned or import_id in self.edited)
        )

    def is_settled(self) -> bool:
        """Whether no import is open. An unreadable row may remain, but not in the queue."""
        rows = self.rows()
        keys = [row["RowKey"] for row in rows]
        records = self.records(rows)
        ids = {import_id_of(key) for key in keys if key.startswith("import-")}
        return (
            not any(key.startswith("queue-") for key in keys)
            and not any(row["RowKey"].startswith("job-") and not is_newer(row) for row in rows)
            and all(record.state.is_final for record in records)
            and all(
                id_ in ids or not self.must_have_record(id_)
                for id_ in (self.id_of(*version) for version in self.versions())
            )
        )


def container_of_job(job: dict[str, Any]) -> str:
    path: str = urlsplit(job["inputBlobContainerUri"]).path
    return path.rpartition("/")[2]


def _lines_at(container: ContainerClient, prefix: str) -> list[dict[str, Any]] | None:
    try:
        names = list(container.list_blob_names(name_starts_with=prefix))
        if not names:
            return None
        # By its number, the newest name.
        data = container.download_blob(max(names, key=lambda name: (len(name), name))).readall()
    except ResourceNotFoundError:
        return None
    try:
        return [json.loads(line) for line in data.splitlines()]
    except ValueError:
        # Overwritten by hand.
        return None
