"""Invariants of table, hub and containers, shared by both tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from azure.data.tables import TableClient
from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.keys import import_id_of, record_key_of
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.daily_counts import DailyCounts
from shared.imports.store.rows import to_job, to_record

__all__ = [
    "FOREIGN",
    "Stored",
    "at_most_one_job_uses_the_hub",
    "container_of_job",
    "export_jobs",
    "finished_imports_are_counted_once",
    "histories_follow_the_transitions",
    "import_jobs",
    "jobs_ran_once",
    "lines_of_job",
    "members_agree",
    "queue_rows_match_open_imports",
    "read_table",
]

#: Prefix of the containers of foreign jobs.
FOREIGN = "foreign-"
#: The hub's job slot is in use, or may be.
WITH_HUB = (JobState.ASKED, JobState.ACCEPTED)
_FIRST = {ImportState.VALIDATING}


@dataclass
class Stored:
    """What the table has."""

    #: As they are shown, by id.
    records: dict[str, ImportRecord] = field(default_factory=dict)
    #: The RowKeys of all queue rows with those of their records, oldest first.
    queue_rows: dict[str, str] = field(default_factory=dict)
    #: The jobs that are not over.
    jobs: list[JobRecord] = field(default_factory=list)
    #: Ids of the imports of each job of several, by its container.
    members: dict[str, list[str]] = field(default_factory=dict)

    def imports_of(self, job: dict[str, Any]) -> list[ImportRecord]:
        """The imports of a job at the hub, in queue order."""
        container = container_of_job(job)
        members = self.members.get(container)
        if members is not None:
            return [self.records[id_] for id_ in members]
        records = self.records.values()
        return [record for record in records if record.staged.container == container]


def read_table(table: TableClient) -> Stored:
    stored = Stored()
    records = []
    for row in table.list_entities():
        if row["RowKey"].startswith("import-"):
            records.append(to_record(row))
        elif row["RowKey"].startswith("queue-"):
            stored.queue_rows[row["RowKey"]] = record_key_of(row["RowKey"])
        elif row["RowKey"].startswith("job-"):
            stored.jobs.append(to_job(row))
        if row["RowKey"].startswith(("job-", "ended-job-")):
            members = [import_id_of(key) for key in json.loads(row["members"])]
            if members != [import_id_of(row["RowKey"])]:
                stored.members[f"import-{import_id_of(row['RowKey'])}"] = members
    jobs = {job.id: job for job in stored.jobs}
    for record in records:
        assert record.id not in stored.records, f"two records of {record.file}"
        job = jobs.get(record.job_record)
        is_shown_with_job = job is not None and not record.state.is_final
        stored.records[record.id] = job.member(record) if job and is_shown_with_job else record
    stored.queue_rows = dict(sorted(stored.queue_rows.items()))
    return stored


def finished_imports_are_counted_once(
    records: Iterable[ImportRecord], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Each final import is counted on its day, and each claim refers to its record.

    Claims without a record are possible if the upload was overwritten before registration.
    """
    rows = list(rows)
    wanted: dict[date, DailyCounts] = {}
    claims = {}
    for record in records:
        claims[record.id] = (record.hub, record.row_key)
        if record.finished_at:
            counts = DailyCounts.of_record(record)
            wanted[counts.date] = wanted.get(counts.date, DailyCounts(counts.date)) + counts
    stored: dict[date, DailyCounts] = {}
    for row in rows:
        if row["RowKey"].startswith("day-"):
            counts = DailyCounts.of_row(row)
            stored[counts.date] = stored.get(counts.date, DailyCounts(counts.date)) + counts
    assert stored == wanted
    made = {
        row["RowKey"]: (row["hub"], row["record"])
        for row in rows
        if row["PartitionKey"] == "(claims)"
    }
    assert claims.items() <= made.items()


def queue_rows_match_open_imports(
    records: Iterable[ImportRecord], queue_rows: dict[str, str]
) -> None:
    """Each open import has one queue row, and there are no other queue rows."""
    wanted = {record.queue_key: record.row_key for record in records if not record.state.is_final}
    assert wanted == queue_rows


def at_most_one_job_uses_the_hub(jobs: Iterable[JobRecord]) -> None:
    busy = [(job.id, job.state) for job in jobs if job.state in WITH_HUB]
    assert len(busy) <= 1, busy


def members_agree(stored: Stored) -> None:
    """Each import that is in a job is a member of it, and each open job has its members."""
    jobs = {job.id: job for job in stored.jobs}
    in_job = {
        record.row_key: record.job_record
        for record in stored.records.values()
        if record.job_record and not record.state.is_final
    }
    assert all(key in jobs[job].members for key, job in in_job.items())
    for job in stored.jobs:
        is_final = {record.row_key: record.state.is_final for record in stored.records.values()}
        assert all(is_final[key] or in_job[key] == job.id for key in job.members), job


def histories_follow_the_transitions(records: Iterable[ImportRecord]) -> None:
    for record in records:
        states = [state for state, _ in record.history]
        # A retry starts in the queue if its lines were validated before.
        first = {ImportState.VALIDATING, ImportState.QUEUED} if record.retry_of else _FIRST
        assert states[0] in first, record.file
        assert states[-1] is record.state, record.file
        assert all(before.may_become(after) for before, after in pairwise(states)), states
        times = [time for _, time in record.history]
        assert times == sorted(times), times


def import_jobs(hub: HubEmulator) -> list[dict[str, Any]]:
    """The app's jobs in start order."""
    return [
        job
        for job in hub.jobs
        if job["type"] == "import" and not container_of_job(job).startswith(FOREIGN)
    ]


def export_jobs(hub: HubEmulator) -> list[dict[str, Any]]:
    """The app's exports."""
    return [
        job
        for job in hub.jobs
        if job["type"] == "export" and "/import-" in job["outputBlobContainerUri"]
    ]


def container_of_job(job: dict[str, Any]) -> str:
    path: str = urlsplit(job["inputBlobContainerUri"]).path
    return path.rpartition("/")[2]


def lines_of_job(
    job: dict[str, Any], blobs: BlobServiceClient, planned: str = ""
) -> list[dict[str, Any]]:
    """The content that the hub received: the job's blob, which a later request cannot change.

    The blob may have been renamed after the job had opened it.

    Args:
        planned: the name of the file that the plan of the import sends.
    """
    container = blobs.get_container_client(container_of_job(job))
    [name] = container.list_blob_names(name_starts_with=planned or "devices")
    given = container.download_blob(name).readall()
    return [json.loads(line) for line in given.splitlines()]


def jobs_ran_once(stored: Stored, jobs: list[dict[str, Any]]) -> None:
    """Every job belongs to imports, and no import has two executed jobs.

    A validation that was taken over leaves a container; the valid one is in the
    record, and jobs may use no other.
    """
    assert all(stored.imports_of(job) for job in jobs)
    completed = Counter(
        record.id
        for job in jobs
        if job["status"] == "completed"
        for record in stored.imports_of(job)
    )
    assert all(count == 1 for count in completed.values()), completed
    for record in stored.records.values():
        if record.state in (ImportState.COMPLETED, ImportState.COMPLETED_WITH_ERRORS):
            # A plan may have left nothing to send.
            assert completed[record.id] == int(record.plan.sent != 0), record
