"""The stored state of a simulation: table, containers and hubs."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableEntity, TableServiceClient
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from iothub_emulator.choices import Choices
from shared.imports.model.keys import import_id_of
from shared.imports.model.record import ImportRecord, upload_id
from shared.imports.store.rows import NewerRowError, UnreadableRowError, to_record


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
        """All readable imports of all hubs, newest upload first."""
        records = []
        for row in self.rows() if rows is None else rows:
            if row["RowKey"].startswith("import-"):
                with contextlib.suppress(UnreadableRowError, NewerRowError):
                    records.append(to_record(row))
        return sorted(records, key=lambda record: record.row_key)

    def rows(self) -> list[TableEntity]:
        """All rows of the table; also record the ids of the imports."""
        try:
            rows = list(self.table.list_entities())
        except ResourceNotFoundError:
            # The app creates it.
            return []
        keys = [row["RowKey"] for row in rows]
        self.seen |= {import_id_of(key) for key in keys if key.startswith("import-")}
        return sorted(rows, key=lambda row: (row["RowKey"], row["PartitionKey"]))

    def id_of(self, file: str, etag: str) -> str:
        """The id of an upload's import, independent of its hub."""
        return upload_id(self.table.table_name, self.container.container_name, file, etag)

    def versions(self) -> list[tuple[str, str]]:
        """Name and ETag of each blob in the upload container."""
        return [(blob.name, blob.etag.strip('"')) for blob in self.container.list_blobs()]

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

    def jobs_of(self, record: ImportRecord) -> list[tuple[HubEmulator, dict[str, Any]]]:
        """The jobs that use any of the import's containers."""
        return [
            (hub, job)
            for hub, job in self.jobs()
            if f"/import-{record.id}" in job["inputBlobContainerUri"]
        ]

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
            and all(record.state.is_final for record in records)
            and all(
                id_ in ids or not self.must_have_record(id_)
                for id_ in (self.id_of(*version) for version in self.versions())
            )
        )
