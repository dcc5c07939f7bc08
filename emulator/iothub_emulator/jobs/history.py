"""Jobs, and the history of those that the hub remembers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from iothub_emulator.choices import UriEcho
from iothub_emulator.clock import Clock, format_time
from iothub_emulator.jobs.request import JobRequest
from iothub_emulator.store import Documents

LOG = logging.getLogger(__name__)

#: How long the hub remembers a job (learn page on quotas and throttling).
RETENTION = timedelta(days=30)


class JobStatus(StrEnum):
    """The states of import and export jobs; scheduled jobs have others."""

    ENQUEUED = "enqueued"
    RUNNING = "running"
    #: Also when every line of the file was refused: only importErrors.log contains errors.
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self not in (JobStatus.ENQUEUED, JobStatus.RUNNING)


@dataclass(frozen=True)
class Job:
    """The state of a job at one moment (JobProperties of the service swagger 2021-04-12)."""

    id: str
    request: JobRequest
    start_time: datetime
    status: JobStatus = JobStatus.ENQUEUED
    #: Percent.
    progress: int = 0
    end_time: datetime | None = None
    failure_reason: str | None = None

    def to_json(self, *, version: str, echo: UriEcho, is_creation: bool = False) -> dict[str, Any]:
        """The job as a client of an api-version sees it; answers omit properties that are None.

        Captures disagree on the URIs: a recording of 2021 and the tests of the az CLI have both in
        the answer to the creation; later answers have only the output URI, or empty ones.
        """
        return {
            "jobId": self.id,
            "type": self.request.type.value,
            "status": self.status.value,
            "startTimeUtc": format_time(self.start_time),
            "endTimeUtc": self.end_time and format_time(self.end_time),
            "progress": self.progress,
            "failureReason": self.failure_reason,
            **self.request.to_json(version=version, echo=echo, is_creation=is_creation),
        }

    def to_document(self) -> dict[str, Any]:
        """The form for the store, without the signatures of URIs."""
        return {
            "id": self.id,
            "request": self.request.without_signatures().to_document(),
            "start_time": self.start_time.isoformat(),
            "status": self.status.value,
            "progress": self.progress,
            "end_time": self.end_time and self.end_time.isoformat(),
            "failure_reason": self.failure_reason,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        end_time = document["end_time"]
        parsed = {
            "request": JobRequest.from_document(document["request"]),
            "start_time": datetime.fromisoformat(document["start_time"]),
            "status": JobStatus(document["status"]),
            "end_time": end_time and datetime.fromisoformat(end_time),
        }
        return cls(**document | parsed)


class JobHistory:
    """Jobs in the order of their creation; a job that has ended does not change any more."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._changed = threading.Condition()
        self._documents = documents
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        for _, document in documents.all():
            self._restore(Job.from_document(document))

    def all(self) -> list[Job]:
        with self._changed:
            self._delete_expired()
            return list(self._jobs.values())

    def find(self, job_id: str) -> Job | None:
        with self._changed:
            self._delete_expired()
            return self._jobs.get(job_id)

    def is_idle(self) -> bool:
        """Whether the slot is free: the hub runs one import or export job at a time."""
        return all(job.status.is_terminal for job in self.all())

    def add(self, job: Job) -> None:
        with self._changed:
            LOG.info("job %s %s", job.id, job.status)
            self._keep(job)

    def advance(self, job_id: str, status: JobStatus, **changes: Any) -> bool:
        """Change an active job; return False if it has ended or does not exist."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.status.is_terminal:
                return False
            if status is not job.status:
                LOG.info("job %s %s -> %s", job_id, job.status, status)
            self._keep(replace(job, status=status, **changes))
        return True

    def end(self, job_id: str, status: JobStatus, **changes: Any) -> bool:
        """As ``advance``, to a terminal status."""
        return self.advance(job_id, status, end_time=self._clock.now(), **changes)

    def forget(self) -> None:
        """Delete all jobs."""
        with self._changed:
            for job_id in list(self._jobs):
                self._delete(job_id)
            self._changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Evaluate the predicate after each change; return False after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(predicate, timeout)

    def _keep(self, job: Job) -> None:
        """Progress alone is not stored: no restart of the emulator continues a job."""
        old = self._jobs.get(job.id)
        if old is None or old.status is not job.status:
            self._documents.put(job.id, job.to_document())
        self._jobs[job.id] = job
        self._changed.notify_all()

    def _restore(self, job: Job) -> None:
        self._jobs[job.id] = job
        self.end(job.id, JobStatus.FAILED, failure_reason="The hub was restarted during the job.")

    def _delete_expired(self) -> None:
        oldest = self._clock.now() - RETENTION
        expired = [job.id for job in self._jobs.values() if job.end_time and job.end_time < oldest]
        for job_id in expired:
            self._delete(job_id)

    def _delete(self, job_id: str) -> None:
        del self._jobs[job_id]
        self._documents.delete(job_id)
