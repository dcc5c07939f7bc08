"""What every step of the workflow works with: clients, stores and settings."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from azure.core.exceptions import ResourceNotFoundError

from shared.hub.client import HubClient
from shared.imports.model.job import JobRecord
from shared.imports.model.parts import BackOff
from shared.imports.model.record import ImportRecord
from shared.imports.store.claims import Claim, Claims, KnownHubs
from shared.imports.store.cursors import Cursors
from shared.imports.store.daily_counts import DailyCountsStore
from shared.imports.store.held_rows import HeldRows
from shared.imports.store.import_container import ImportContainer, container_name
from shared.imports.store.import_store import ImportStore
from shared.imports.store.job_store import JobStore
from shared.imports.store.outbox import Outbox
from shared.imports.store.queries import Queries
from shared.imports.store.queue_rows import QueueRows
from shared.imports.store.rows import UnreadableRowError
from shared.imports.store.table import ImportsTable
from shared.imports.store.tickets import UploadTickets
from shared.settings import Settings
from shared.storage.blobs import UploadedFile
from shared.storage.client import Storage

__all__ = ["Services"]


class Services:
    """Created once in a process; safe to use from several threads."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        hubs: Mapping[str, HubClient],
        clock: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.storage = storage
        #: By name.
        self.hubs = hubs
        self.clock = clock
        table = ImportsTable(storage.table(settings.storage.imports_table))
        self.outbox = Outbox(table, is_used=settings.events.url is not None)
        self.store = ImportStore(table, self.outbox, clock)
        self.jobs = JobStore(table, self.outbox, clock)
        self.queue_rows = QueueRows(table, self.outbox)
        self.held_rows = HeldRows(table)
        self.claims = Claims(table)
        self.known_hubs = KnownHubs(table)
        self.queries = Queries(table)
        self.cursors = Cursors(table)
        self.daily_counts = DailyCountsStore(table)
        self.tickets = UploadTickets(table)

    def container(self, name: str) -> ImportContainer:
        return ImportContainer(self.storage.container(name))

    def container_of(self, record: ImportRecord | JobRecord) -> ImportContainer:
        return self.container(record.staged.container)

    def check_files(self, record: ImportRecord) -> None:
        """Check that the hub will read what was validated or planned, and that its backup is there.

        Raises:
            StagedFileChangedError: one of them was deleted or changed.
        """
        for file in (record.file_for_hub, record.second, record.backup):
            if file.container:
                self.container(file.container).check_staged(file)

    def uploaded_file(self, record: ImportRecord) -> UploadedFile:
        container = self.storage.container(self.settings.uploads.container)
        blob = container.get_blob_client(record.file)
        return UploadedFile(blob, record.upload_etag, record.size)

    def owner_of(self, record: ImportRecord) -> dict[str, str]:
        """Metadata of a container that lead to its record: several apps may share an account."""
        table = self.settings.storage.imports_table
        return {"table": table, "hub": record.hub, "record": record.row_key}

    def owner_of_job(self, job: JobRecord) -> dict[str, str]:
        """As `owner_of`, for the container of a job of several imports."""
        table = self.settings.storage.imports_table
        return {"table": table, "hub": job.hub, "job": job.id}

    def owner_of_snapshot(self, record: ImportRecord) -> dict[str, str]:
        """As `owner_of`, for the container of an export."""
        return {**self.owner_of(record), "snapshot": "true"}

    def with_jobs(self, records: Iterable[ImportRecord]) -> Iterator[ImportRecord]:
        """Records of one hub with what their jobs add: one query if any of them has a job."""
        jobs: dict[str, JobRecord] | None = None
        for record in records:
            if record.job_record and not record.state.is_final:
                if jobs is None:
                    jobs = self.jobs.all(record.hub)
                job = jobs.get(record.job_record)
                if job is not None and record.row_key in job.members:
                    record = job.member(record)
            yield record

    def owner_by_container(self, import_id: str) -> Claim | None:
        """What the metadata of an import's container say of its record: one list request.

        They prove that the import existed when its claim or its record was deleted.
        """
        for container in self.storage.containers(container_name(import_id)):
            owner = container.metadata or {}
            if owner.get("table") == self.settings.storage.imports_table and "record" in owner:
                return Claim(import_id, owner.get("hub", ""), owner["record"])
        return None

    def find_record(self, import_id: str) -> ImportRecord | None:
        """The record of an import by its claim, or by its container if that leads to none.

        Raises:
            UnreadableRowError, NewerRowError: the record cannot be used.
        """
        for find in (self.claims.find, self.owner_by_container):
            try:
                claim = find(import_id)
            except UnreadableRowError:
                continue
            if claim is not None:
                with contextlib.suppress(ResourceNotFoundError):
                    return self.store.get(claim.hub, claim.record_key)
        return None

    def all_hubs(self) -> frozenset[str]:
        """The configured hubs, and all that an upload was ever claimed for, as of a minute ago."""
        return self.known_hubs.all() | self.hubs.keys()

    def held(self) -> dict[str, list[str]]:
        """Row keys of the records of imports that wait for approval, by hub: one query for each hub
        that ever had one.
        """
        return {hub: self.held_rows.record_keys(hub) for hub in self.known_hubs.guarded()}

    def storage_time(self) -> datetime:
        """The time by the clock that uploads have their times from: one request."""
        return self.storage.time_of(self.settings.uploads.container) or self.clock()

    def backing_off(self, back_off: BackOff) -> BackOff:
        """The back-off after one more failed call: twice as long each time, with jitter."""
        retries = back_off.hub_retries
        return replace(back_off, hub_retries=retries + 1, next_try_at=self.next_try_at(retries))

    def next_try_at(self, failures: int) -> datetime:
        """When to try something again that failed so often before."""
        longest = self.settings.retries.max_backoff_seconds
        seconds = min(longest, self.settings.retries.backoff_seconds * 2 ** min(failures, 20))
        return self.clock() + timedelta(seconds=seconds * random.uniform(0.5, 1))  # nosec B311
