"""The jobs that the hub remembers, and the rule that what is over stays over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from iothub_emulator.clock import Clock
from iothub_emulator.documents import Documents
from iothub_emulator.jobs.job import Job, JobStatus

LOG = logging.getLogger(__name__)

#: How long the hub remembers a job (learn page on quotas and throttling).
RETENTION = timedelta(days=30)

_JOB = TypeAdapter(Job)


class JobHistory:
    """Jobs in the order of their creation; every change is seen by those who wait for it."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._changed = threading.Condition()
        self._documents = documents
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        for _, content in documents.all():
            self._restore(_JOB.validate_python(content))

    def all(self) -> list[Job]:
        with self._changed:
            self._drop_old()
            return list(self._jobs.values())

    def find(self, job_id: str) -> Job | None:
        with self._changed:
            self._drop_old()
            return self._jobs.get(job_id)

    def is_idle(self) -> bool:
        """Whether the slot is free: the hub runs one import or export job at a time."""
        return all(job.status.is_terminal for job in self.all())

    def add(self, job: Job) -> None:
        with self._changed:
            LOG.info("job %s %s", job.id, job.status)
            self._keep(job)

    def advance(self, job_id: str, status: JobStatus, **changes: Any) -> bool:
        """Change a job that is not over; False if it is, or is not known."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.status.is_terminal:
                return False
            if status is not job.status:
                LOG.info("job %s %s -> %s", job_id, job.status, status)
            self._keep(replace(job, status=status, **changes))
        return True

    def end(self, job_id: str, status: JobStatus, **changes: Any) -> bool:
        """As ``advance``, to a status that is final."""
        return self.advance(job_id, status, end_time=self._clock.now(), **changes)

    def forget(self) -> None:
        with self._changed:
            for job_id in list(self._jobs):
                self._drop(job_id)
            self._changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(predicate, timeout)

    def _keep(self, job: Job) -> None:
        """Progress alone is not written to the store: it would be lost with the job anyway."""
        old = self._jobs.get(job.id)
        self._jobs[job.id] = job
        if old is None or old.status is not job.status:
            kept = replace(job, request=job.request.without_signatures())
            self._documents.put(job.id, _JOB.dump_python(kept, mode="json"))
        self._changed.notify_all()

    def _restore(self, job: Job) -> None:
        self._jobs[job.id] = job
        self.end(job.id, JobStatus.FAILED, failure_reason="The hub was restarted during the job.")

    def _drop_old(self) -> None:
        oldest = self._clock.now() - RETENTION
        old = [job.id for job in self._jobs.values() if job.end_time and job.end_time < oldest]
        for job_id in old:
            self._drop(job_id)

    def _drop(self, job_id: str) -> None:
        del self._jobs[job_id]
        self._documents.delete(job_id)
