"""What is to be done for a hub: its jobs, and the imports that wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from shared.imports.model.job import JobRecord, JobState
from shared.imports.store.queue_rows import QueueRow

__all__ = ["HubWork"]


@dataclass
class HubWork:
    """What is to be done for a hub, as it was read."""

    jobs: list[JobRecord]
    #: The oldest rows of the queue, and how many were asked for.
    rows: list[QueueRow]
    limit: int
    #: All uploads until then had their records before the queue was read.
    registered_until: datetime
    #: Whether a job whose row cannot be used may occupy the hub's slot.
    is_blocked: bool = False
    #: Row keys of queue rows that are passed over, and of the records of imports that have ended.
    passed: set[str] = field(default_factory=set)
    #: Row key of the queue row before which everything older is known to be in the queue.
    checked: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether `rows` is the whole queue."""
        return len(self.rows) < self.limit

    @property
    def occupying(self) -> JobRecord | None:
        """The job that uses the hub's slot, or waits for it."""
        return next((job for job in self.jobs if job.state is not JobState.ENDED), None)

    def waiting(self) -> list[QueueRow]:
        """Those of the rows that stand for imports without a job."""
        left_out = self.passed.union(*(job.members for job in self.jobs))
        return [row for row in self.rows if left_out.isdisjoint((row.row_key, row.record_key))]
