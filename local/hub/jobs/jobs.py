"""The job service: one slot, checks before a job exists, cancelling, and the foreign job."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from local.hub.errors import ErrorCode, HubError, Shape
from local.hub.faults import JOB_FAULTS, Faults, Operation
from local.hub.jobs.history import JobHistory
from local.hub.jobs.job import Job, JobRequest, JobStatus, JobType
from local.hub.jobs.runner import Run
from local.hub.jobs.storage import JobStorage
from local.hub.registry.registry import Registry


class Jobs:
    """The hub's jobs; iterating gives them as JSON, oldest first, their URIs included."""

    def __init__(
        self,
        registry: Registry,
        faults: Faults,
        *,
        job_seconds: float,
        identity_connection_string: str | None,
    ) -> None:
        self._registry = registry
        self._faults = faults
        self._job_seconds = job_seconds
        self._identity_connection_string = identity_connection_string
        self._history = JobHistory()
        #: Held while a job is created, so that two requests cannot both find the slot free.
        self._slot = threading.Lock()
        #: Replaced and never changed, as other threads iterate over it.
        self._runs: Mapping[str, Run] = {}
        self._foreign_job_id: str | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (job.to_json(echo_uris=True) for job in self._history.all())

    def __len__(self) -> int:
        return len(self._history.all())

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._history.all()[index].to_json(echo_uris=True)

    def all(self) -> list[Job]:
        return self._history.all()

    def find(self, job_id: str) -> Job:
        job = self._history.find(job_id)
        if job is None:
            message = f"Job {job_id} does not exist."
            raise HubError(ErrorCode.JobNotFound, message, Shape.E4)
        return job

    def create(self, request: JobRequest) -> Job:
        """Start a job, or refuse it; the slot is checked before the storage."""
        with self._slot:
            if not self._history.is_idle():
                message = "Job quota has been exceeded"
                raise HubError(ErrorCode.JobQuotaExceeded, message, Shape.E4)
            with JobStorage(request, self._identity_connection_string) as storage:
                storage.check()
            job = Job(str(uuid.uuid4()), request, datetime.now(UTC))
            run = Run(
                job,
                self._faults.take(Operation.CREATE_JOB, JOB_FAULTS),
                self._history,
                self._registry,
                self._identity_connection_string,
                self._job_seconds,
            )
            alive = {id_: run for id_, run in self._runs.items() if run.is_alive()}
            self._runs = {**alive, job.id: run}
            self._history.add(job)
            run.start()
            return job

    def cancel(self, job_id: str) -> None:
        """Cancel a job at once; lines that it imported before stay imported.

        A live hub answers 500 when the job is over or was never there.
        """
        if not self._history.advance(job_id, JobStatus.CANCELLED, end_time=datetime.now(UTC)):
            raise HubError(ErrorCode.ServerError, "An error occurred. Please try again.")
        if job_id in self._runs:
            self._runs[job_id].stop()

    def occupy_slot(self) -> None:
        """Somebody else starts an export job that runs until the slot is freed."""
        with self._slot:
            if self._foreign_job_id is None:
                request = JobRequest(JobType.EXPORT, output_uri="")
                job = Job(str(uuid.uuid4()), request, datetime.now(UTC), JobStatus.RUNNING)
                self._history.add(job)
                self._foreign_job_id = job.id

    def free_slot(self) -> None:
        with self._slot:
            if self._foreign_job_id is not None:
                self._history.advance(
                    self._foreign_job_id,
                    JobStatus.COMPLETED,
                    progress=100,
                    end_time=datetime.now(UTC),
                )
                self._foreign_job_id = None

    def forget(self) -> None:
        """Lose all jobs, as the hub does after 30 days; what still runs is stopped."""
        self._history.forget()
        for run in self._runs.values():
            run.stop()

    def wait_idle(self, timeout: float) -> None:
        """Return when no import job is enqueued or running; TimeoutError if that takes longer."""
        if not self._history.wait_for(self._imports_are_over, timeout):
            raise TimeoutError(f"an import job is still active after {timeout} s")

    def stop(self) -> None:
        """Cancel what runs and wait for its thread."""
        for job_id, run in self._runs.items():
            self._history.advance(job_id, JobStatus.CANCELLED, end_time=datetime.now(UTC))
            run.stop()
            run.join()

    def _imports_are_over(self) -> bool:
        return all(
            job.status.is_terminal
            for job in self._history.all()
            if job.request.type is JobType.IMPORT
        )
