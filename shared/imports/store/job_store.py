"""The records of jobs that are not over: one row each, written under the ETag that was read.

The list of members in a job's row decides who is a member; the records of the members lead to it.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableEntity, UpdateMode

from shared.imports.model.job import JobKind, JobRecord, JobState
from shared.imports.model.keys import ended_job_key, is_record_key, job_key
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.held_rows import held_row
from shared.imports.store.import_store import ConflictError, entering
from shared.imports.store.outbox import Outbox
from shared.imports.store.queue_rows import queue_row
from shared.imports.store.rows import (
    SCHEMA,
    NewerRowError,
    UnreadableRowError,
    changed_columns,
    is_newer,
    job_row,
    table_values,
    to_job,
)
from shared.imports.store.table import MAX_OPERATIONS, ImportsTable, guarded, unchanged

__all__ = ["MAX_MEMBERS", "JobStore"]

#: One transaction writes the job and all of its members.
MAX_MEMBERS = 96


class JobStore:
    """Reads and writes the records of jobs."""

    def __init__(self, table: ImportsTable, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._outbox = outbox
        self._clock = clock

    def seal(self, job: JobRecord, members: Sequence[ImportRecord]) -> JobRecord:
        """Write a new job, and make queued imports its members; all or nothing.

        Args:
            members: the records of the job's members, in the same order.

        Raises:
            ConflictError: one of them changed since it was read.
        """
        now = self._clock()
        is_plan = job.kind is JobKind.PLAN
        state = ImportState.PLANNING if is_plan else ImportState.STARTING
        job = replace(
            job,
            created_at=now,
            updated_at=now,
            history=((job.state, now),),
            write_id=uuid.uuid4().hex,
        )
        operations = [("create", job_row(job))]
        for record in members:
            # Of a job that is restored, the members are past that.
            is_queued = record.state is ImportState.QUEUED
            sealed = entering(record, state, now) if is_queued else record
            sealed = replace(
                sealed, job_record=job.id, failure_reason="", updated_at=now, write_id=job.write_id
            )
            operations.append(_merged(record, sealed))
        try:
            results = self._table.transact(operations)
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
            existing = self.find(job.hub, job.id)
            if existing is not None and existing.write_id == job.write_id:
                return existing
            raise ConflictError("An import changed before it got its job.") from error
        return replace(job, etag=results[0]["etag"])

    def find(self, hub: str, job_record: str) -> JobRecord | None:
        """The job with this id; None if it is over.

        Raises:
            UnreadableRowError, NewerRowError: its row was edited, or written by a newer version.
        """
        row = self._table.get(hub, job_key(job_record)) if job_record else None
        return None if row is None else to_job(row)

    def all(self, hub: str) -> dict[str, JobRecord]:
        """By id: the jobs of a hub that are not over and can be read."""
        jobs = {}
        for row in self._table.range(hub, "job-", "job."):
            with contextlib.suppress(UnreadableRowError, NewerRowError):
                job = to_job(row)
                jobs[job.id] = job
        return jobs

    def update(self, job: JobRecord) -> JobRecord:
        """Write a changed job that stays in its state.

        Raises:
            ConflictError: another process changed it since it was read.
        """
        job = replace(job, updated_at=self._clock(), write_id=uuid.uuid4().hex)
        try:
            return replace(job, etag=self._table.update(job_row(job), job.etag))
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            existing = self.find(job.hub, job.id)
            if existing is not None and existing.write_id == job.write_id:
                return existing
            what = f"changed to {existing.state}" if existing else "is over"
            raise ConflictError(f"The job {what}.") from error

    def transition(self, job: JobRecord, state: JobState) -> JobRecord:
        """Write a changed job and move it to another state.

        Raises:
            ConflictError: another process changed it since it was read.
            ValueError: that state may not follow.
        """
        return self.update(entering(job, state, self._clock()))

    def dissolve(
        self, job: JobRecord, members: Iterable[tuple[ImportRecord, ImportRecord]]
    ) -> None:
        """Delete a job that the hub does not have; its members are queued again.

        Args:
            members: their records as they were read, and with what else is to be changed. Those
                that are left out have ended or cannot be read.

        Raises:
            ConflictError: another process changed the job or one of them.
        """
        operations = [_deleted(job)]
        for former, record in members:
            left = self._leaving(record, ImportState.QUEUED)
            operations.append(_merged(former, left))
            if left.queue_key != former.queue_key:
                operations += [("upsert", queue_row(left)), *self._without_queue_row(former)]
        self._transact(operations)

    def hold(
        self,
        job: JobRecord,
        former: ImportRecord,
        record: ImportRecord,
        event_of: Callable[[ImportRecord], Mapping[str, Any]],
    ) -> None:
        """Delete a job of kind plan, whose member leaves the queue until somebody decides.

        Args:
            record: the former one with what else is to be changed.
            event_of: the event of the record as it is written.

        Raises:
            ConflictError: another process changed the job or its member.
        """
        held = replace(self._leaving(record, ImportState.HELD), queue_key="", queue_position=None)
        operations = [
            _deleted(job),
            _merged(former, held),
            *(("upsert", row) for row in self._outbox.rows_of(held, event_of(held))),
            ("upsert", held_row(held)),
        ]
        operations += self._without_queue_row(former)
        self._transact(operations)

    def _without_queue_row(self, record: ImportRecord) -> list[tuple[Any, ...]]:
        is_there = self._table.get(record.hub, record.queue_key) is not None
        return [("delete", queue_row(record))] if is_there else []

    def _leaving(self, record: ImportRecord, state: ImportState) -> ImportRecord:
        """The record of a member whose job is dissolved."""
        now = self._clock()
        return replace(
            entering(record, state, now),
            job_record="",
            updated_at=now,
            write_id=uuid.uuid4().hex,
        )

    def close(self, job: JobRecord) -> None:
        """Delete the row of a job whose members are final; that of several files is kept apart.

        Raises:
            ConflictError: another process changed the job.
        """
        operations: list[tuple[Any, ...]] = [_deleted(job)]
        if job.is_shared:
            kept = {
                "PartitionKey": job.hub,
                "RowKey": ended_job_key(job.id),
                "members": json.dumps(job.members),
                "finishedAt": self._clock(),
                "schema": SCHEMA,
            }
            operations.append(("upsert", kept))
        self._transact(operations)

    def discard(self, row: TableEntity) -> None:
        """Delete the row of a job that cannot be read, unless it changed since then."""
        keys = {"PartitionKey": row["PartitionKey"], "RowKey": row["RowKey"]}
        self._transact([("delete", keys, unchanged(str(row.metadata["etag"])))])

    def members_of(self, hub: str, job_record: str) -> Sequence[str]:
        """Row keys of the imports of a job, which may be over; none if they are not known."""
        for key in (job_key(job_record), ended_job_key(job_record)):
            row = self._table.get(hub, key)
            if row is not None:
                return _members(row)
        return []

    def ended_before(self, hub: str, time: datetime) -> list[str]:
        """Row keys of the jobs of several imports that were over by then."""
        prefix = ended_job_key("")
        rows = self._table.query(
            "PartitionKey eq @hub and RowKey ge @first and RowKey lt @last and finishedAt lt @time",
            {"hub": hub, "first": prefix, "last": f"{prefix}~", "time": time},
            columns=(),
        )
        return [row["RowKey"] for row in islice(rows, MAX_OPERATIONS) if not is_newer(row)]

    def forget(self, hub: str, row_keys: Iterable[str]) -> None:
        """Delete the rows of jobs that are over."""
        for row_key in row_keys:
            self._table.delete(hub, row_key)

    def _transact(self, operations: Sequence[tuple[Any, ...]]) -> None:
        try:
            self._table.transact(operations)
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise ConflictError("The job or one of its imports changed.") from error


def _members(row: Mapping[str, Any]) -> list[str]:
    """The row keys in the row of a job, which may have been edited."""
    try:
        members = json.loads(row["members"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return [key for key in members if is_record_key(key)] if isinstance(members, list) else []


def _deleted(job: JobRecord) -> tuple[Any, ...]:
    keys = {"PartitionKey": job.hub, "RowKey": job.row_key}
    return "delete", keys, unchanged(job.etag)


def _merged(former: ImportRecord, record: ImportRecord) -> tuple[Any, ...]:
    return (
        "update",
        table_values(changed_columns(record, former)),
        guarded(former.etag, UpdateMode.MERGE),
    )
