"""The jobs that the hub remembers, and the rule that what is over stays over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from local.hub.jobs.job import Job, JobStatus

LOG = logging.getLogger(__name__)


class JobHistory:
    """Jobs in the order of their creation; every change is seen by those who wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}

    def all(self) -> list[Job]:
        with self._changed:
            return list(self._jobs.values())

    def find(self, job_id: str) -> Job | None:
        with self._changed:
            return self._jobs.get(job_id)

    def is_idle(self) -> bool:
        """Whether the slot is free: the hub runs one import or export job at a time."""
        return all(job.status.is_terminal for job in self.all())

    def add(self, job: Job) -> None:
        with self._changed:
            self._jobs[job.id] = job
            LOG.info("job %s %s", job.id, job.status)
            self._changed.notify_all()

    def advance(self, job_id: str, status: JobStatus, **changes: Any) -> bool:
        """Change a job that is not over; False if it is, or is not known."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.status.is_terminal:
                return False
            self._jobs[job_id] = replace(job, status=status, **changes)
            if status is not job.status:
                LOG.info("job %s %s -> %s", job_id, job.status, status)
            self._changed.notify_all()
        return True

    def forget(self) -> None:
        with self._changed:
            self._jobs.clear()
            self._changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(predicate, timeout)
