"""The queue of a hub as operators see it: what runs, what waits, and for how long."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import islice

from azure.core.exceptions import ResourceNotFoundError

from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.expected_start import Pace, pace_of, position_behind
from shared.imports.services import Services
from shared.imports.store.queue_rows import QueueRow
from shared.imports.store.rows import NewerRowError, UnreadableRowError, to_job

__all__ = [
    "MAX_COUNTED",
    "HubQueueView",
    "OpenQueue",
    "pace_of_queue",
    "read_queue",
    "view_of",
    "with_expected_start",
]

#: The longest queue that is counted: the rows of one request.
MAX_COUNTED = 1000

#: Rows at the head of a queue whose records are read until one is open.
MAX_HEADS = 3


@dataclass(frozen=True)
class HubQueueView:
    """The queue of a hub."""

    hub: str
    #: Imports that are not final, `MAX_COUNTED` at most.
    length: int
    #: Of these, those whose jobs run or are being ended.
    running: int
    #: The others, without `head`.
    waiting: int
    #: The first of them, which uses the hub's job slot or waits for it.
    head: ImportRecord | None
    #: When all of them may have ended, by the hub's recent pace; None if nothing can be told.
    expected_end: datetime | None = None
    #: How many of the hub's last jobs that is by.
    pace_jobs: int = 0


@dataclass(frozen=True)
class OpenQueue:
    """The open imports of a hub by one request, and the records of some that were read later."""

    hub: str
    #: In the order of the queue; those whose jobs have ended are last.
    rows: Sequence[QueueRow] = ()
    jobs: Sequence[JobRecord] = ()
    #: By row key, as they are shown.
    records: Mapping[str, ImportRecord] = field(default_factory=dict)

    @cached_property
    def job_of(self) -> Mapping[str, JobRecord]:
        """The job of each import that had one when the queue was read, by its record's row key."""
        return {key: job for job in self.jobs for key in job.members}

    @cached_property
    def job_ids(self) -> Mapping[str, str]:
        """The id of the job of each import that has one, by the row key of its record."""
        by_queue = {key: job.id for key, job in self.job_of.items()}
        by_record = {key: record.job_record for key, record in self.records.items()}
        ids = {**by_queue, **by_record}
        rows = (row.record_key for row in self.rows)
        return {key: ids[key] for key in rows if ids.get(key)}

    @cached_property
    def occupying(self) -> frozenset[str]:
        """Ids of the jobs that use the hub's slot, or wait for it."""
        ended = {job.id for job in self.jobs if job.state is JobState.ENDED}
        return frozenset(self.job_ids.values()) - ended

    def with_records(self, records: Iterable[ImportRecord]) -> OpenQueue:
        """The queue as it is by records that were read after it.

        What has ended or is held since has left it, and what was uploaded since has entered it.
        """
        known = {record.row_key: record for record in records if record.hub == self.hub}
        is_open = {
            key: not record.state.is_final and record.state is not ImportState.HELD
            for key, record in known.items()
        }
        rows = [row for row in self.rows if is_open.get(row.record_key, True)]
        if len(self.rows) < MAX_COUNTED:
            present = {row.record_key for row in rows}
            rows += sorted(
                (
                    QueueRow(record.queue_key, key)
                    for key, record in known.items()
                    if is_open[key] and record.queue_key and key not in present
                ),
                key=lambda row: row.row_key,
            )
        return replace(self, rows=rows, records=known)

    @cached_property
    def rows_to_come(self) -> Sequence[QueueRow]:
        """Those of imports whose jobs have not ended."""
        return [
            row
            for row in self.rows
            if row.record_key not in self.job_ids or self.job_ids[row.record_key] in self.occupying
        ]

    @cached_property
    def running(self) -> frozenset[str]:
        """Row keys of the records of the imports that run."""
        # The members of a job are in one state, which may have been read later of one of them.
        states = {job.id: job.import_state for job in self.jobs}
        states |= {record.job_record: record.state for record in self.records.values()}
        return frozenset(
            key for key, job_id in self.job_ids.items() if states[job_id] is ImportState.RUNNING
        )

    def position_of(self, record: ImportRecord) -> int | None:
        """Which of the hub's jobs, from 1, is to take a waiting import; None if not known."""
        if record.job_record:
            # Its job was not accepted yet.
            return 1
        if record.row_key not in self._waiting_ahead:
            return record.queue_position
        ahead = self._waiting_ahead[record.row_key]
        return position_behind(record, len(self.occupying), ahead)

    def expected_start(self, record: ImportRecord, pace: Pace) -> datetime | None:
        """When the job of a queued import may start.

        Returns:
            None where nothing can be told: it waits for something else than its turn, it is next,
            its position is not counted yet, or the hub is in trouble.
        """
        position = self.position_of(record)
        return pace.start(position) if position and not record.failure_reason else None

    @cached_property
    def _waiting_ahead(self) -> Mapping[str, int]:
        """How many imports wait for a job ahead of each one that does, by row key."""
        waiting = (row.record_key for row in self.rows if row.record_key not in self.job_ids)
        return {key: number for number, key in enumerate(waiting)}


def read_queue(services: Services, hub: str) -> OpenQueue:
    """Read jobs and queue of a hub: one request."""
    work = services.queue_rows.open_work(hub, MAX_COUNTED)
    jobs: list[JobRecord] = []
    for row in work.jobs:
        with contextlib.suppress(UnreadableRowError, NewerRowError):
            jobs.append(to_job(row))
    ended = {key for job in jobs if job.state is JobState.ENDED for key in job.members}
    # What occupies the hub's slot comes before what is being ended.
    rows = sorted(work.queue, key=lambda row: row.record_key in ended)
    return OpenQueue(hub, rows, jobs)


def view_of(
    services: Services, queue: OpenQueue, shown: Callable[[ImportRecord], ImportRecord], pace: Pace
) -> HubQueueView:
    """The queue as it is shown: two requests at most, for records that are not known.

    Args:
        shown: adds the reason if the hub is not configured.
    """
    head = _open_record(services, queue, islice(queue.rows, MAX_HEADS), shown)
    others = queue.running | ({head.row_key} if head else set())
    end = None
    if head and not head.failure_reason and pace.durations and len(queue.rows) < MAX_COUNTED:
        last = _open_record(services, queue, islice(reversed(queue.rows_to_come), 1), shown)
        position = queue.position_of(last) if last else None
        end = pace.end(position) if position else None
    if head and head.state in (ImportState.QUEUED, ImportState.PLANNING):
        # Counted when a job was ahead of it that may have ended since.
        head = replace(head, queue_position=queue.position_of(head))
    return HubQueueView(
        queue.hub,
        len(queue.rows),
        len(queue.running),
        len(queue.rows) - len(others),
        head,
        end,
        len(pace.durations) if end else 0,
    )


def _open_record(
    services: Services,
    queue: OpenQueue,
    rows: Iterable[QueueRow],
    shown: Callable[[ImportRecord], ImportRecord],
) -> ImportRecord | None:
    """The first of them that is open, as it is shown."""
    for row in rows:
        if record := queue.records.get(row.record_key):
            return record
        try:
            record = services.store.get(queue.hub, row.record_key)
        except (ResourceNotFoundError, UnreadableRowError, NewerRowError):
            continue
        if not record.state.is_final:
            job = queue.job_of.get(record.row_key)
            return shown(job.member(record) if job else record)
    return None


def pace_of_queue(services: Services, queue: OpenQueue) -> Pace:
    """The hub's pace: one request, or none if its queue is empty or nothing can be told."""
    jobs = [job for job in queue.jobs if job.id in queue.occupying]
    # Of a job that has just started, nothing is known yet.
    if not queue.rows or len(jobs) < len(queue.occupying):
        return Pace(services.clock())
    return pace_of(services, queue.hub, jobs, queue.rows[0].record_key)


def with_expected_start(
    services: Services, record: ImportRecord
) -> tuple[ImportRecord, datetime | None]:
    """An import with its queue position as of now, and the expected start of its job.

    They are those of an overview. Takes no request, or two if other jobs are ahead of it.

    Args:
        record: as it is shown.
    """
    if record.state is not ImportState.QUEUED or record.job_record or record.queue_position == 1:
        return record, None
    queue = read_queue(services, record.hub).with_records([record])
    record = replace(record, queue_position=queue.position_of(record))
    if record.failure_reason or record.queue_position == 1:
        return record, None
    return record, queue.expected_start(record, pace_of_queue(services, queue))
