"""The job service: one slot, checks before creation, cancelling, and foreign jobs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from iothub_emulator.choices import Choices
from iothub_emulator.clock import Clock
from iothub_emulator.errors import ErrorCode, HubError, Shape, server_error
from iothub_emulator.faults import JOB_FAULTS, Faults, Operation
from iothub_emulator.jobs.history import Job, JobHistory, JobStatus
from iothub_emulator.jobs.pace import Pace
from iothub_emulator.jobs.request import LATEST_VERSION, JobRequest, JobType
from iothub_emulator.jobs.runner import Run
from iothub_emulator.jobs.storage import JobStorage
from iothub_emulator.registry.configurations import Configurations
from iothub_emulator.registry.lagging import LaggingRegistry
from iothub_emulator.registry.registry import Registry


@dataclass(frozen=True)
class JobOptions:
    """How jobs run in this emulator."""

    #: Minimum time in seconds from a job's creation to its end.
    seconds: float = 0.0
    #: Upper limit of identities per second; 0 for no limit.
    rate: float = 0.0
    #: Storage that the hub's managed identity can access; None for a hub without identity.
    identity_connection_string: str | None = None


class Jobs:
    """The hub's jobs; iteration yields them as JSON with all URIs, oldest first."""

    def __init__(
        self,
        registry: Registry,
        exported: LaggingRegistry,
        configurations: Configurations,
        history: JobHistory,
        faults: Faults,
        clock: Clock,
        options: JobOptions,
        choices: Choices,
    ) -> None:
        self._registry = registry
        self._exported = exported
        self._configurations = configurations
        self._history = history
        self._faults = faults
        self._clock = clock
        self._options = options
        self._choices = choices
        #: Held during the creation of a job, so that two requests cannot take the free slot.
        self._slot = threading.Lock()
        #: Replaced instead of changed, as other threads iterate over it.
        self._runs: Mapping[str, Run] = {}
        #: Ids of jobs of other clients, which no thread of the emulator runs.
        self._foreign: set[str] = set()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (_full_document(job) for job in self._history.all())

    def __len__(self) -> int:
        return len(self._history.all())

    def __getitem__(self, index: int) -> dict[str, Any]:
        return _full_document(self._history.all()[index])

    def all(self) -> list[Job]:
        return self._history.all()

    def find(self, job_id: str) -> Job:
        job = self._history.find(job_id)
        if job is None:
            raise job_not_found(job_id)
        return job

    def create(self, request: JobRequest) -> Job:
        """Start a job; HubError if the hub refuses it."""
        with self._slot, ExitStack() as on_refusal:
            if self._choices.first_check == "slot":
                self._check_slot()
            storage = self._storage(request)
            on_refusal.callback(storage.close)
            storage.check()
            self._check_slot()
            job = Job(str(uuid.uuid4()), request, self._clock.now())
            run = Run(
                job,
                self._faults.take(Operation.CREATE_JOB, JOB_FAULTS),
                self._history,
                self._registry,
                self._exported,
                self._configurations,
                storage,
                Pace(self._options.seconds, self._options.rate),
                self._choices,
            )
            self._history.add(job)
            on_refusal.pop_all()
            alive = {id_: run for id_, run in self._runs.items() if run.is_alive() or run.held_logs}
            self._runs = {**alive, job.id: run}
            run.start()
            return job

    def cancel(self, job_id: str) -> Job:
        """Cancel a job immediately; lines that are already imported stay.

        A live hub answers 500 when the job has ended or does not exist.
        """
        if not self._history.end(job_id, JobStatus.CANCELLED):
            if self._choices.cancel_of_ended_job == "404":
                raise job_not_found(job_id)
            raise server_error()
        if job_id in self._runs:
            self._runs[job_id].stop()
        return self.find(job_id)

    def occupy_slot(self) -> None:
        """Add an export job of another client, which runs until ``free_slot``."""
        with self._slot:
            if not any(
                job.id in self._foreign and not job.status.is_terminal for job in self.all()
            ):
                self._add_foreign(JobRequest(JobType.EXPORT, output_uri=""), JobStatus.RUNNING)

    def free_slot(self) -> None:
        """Complete the active jobs of other clients."""
        with self._slot:
            for job_id in self._foreign:
                self._history.end(job_id, JobStatus.COMPLETED, progress=100)

    def add_foreign(
        self,
        status: str = "running",
        *,
        type: str = "import",
        start: datetime | None = None,
        end: datetime | None = None,
        input_uri: str = "",
        output_uri: str = "",
        failure_reason: str | None = None,
    ) -> str:
        """Add a job of another client, which imports nothing and keeps its status.

        An active job occupies the slot until it is cancelled or ``free_slot`` is called.

        Parameters
        ----------
        start, end
            The default is the time of the hub's clock; an active job has no end.
        input_uri, output_uri
            URIs of the request that created it; the switch ``uri_echo`` decides what answers show.

        Returns
        -------
        str
            The job's id.

        Raises
        ------
        ValueError
            Unknown status or type.
        """
        request = JobRequest(JobType(type), output_uri=output_uri, input_uri=input_uri)
        with self._slot:
            return self._add_foreign(request, JobStatus(status), start, end, failure_reason)

    def write_late_logs(self) -> None:
        """Write the logs that the fault ``lateLog`` held back."""
        for run in self._runs.values():
            if run.held_logs:
                run.write_held_logs(self._storage)

    def forget(self) -> None:
        """Stop and delete all jobs, as a hub deletes them after 30 days."""
        self._history.forget()
        for run in self._runs.values():
            run.stop()

    def wait_idle(self, timeout: float) -> None:
        """Wait until no job is active, except foreign ones.

        Raises
        ------
        TimeoutError
            A job is still active after ``timeout`` seconds.
        """
        if not self._history.wait_for(self._is_idle, timeout):
            raise TimeoutError(f"a job is still active after {timeout} s")

    def stop(self) -> None:
        """Cancel running jobs and wait for their threads."""
        for job_id, run in self._runs.items():
            self._history.end(job_id, JobStatus.CANCELLED)
            run.stop()
            run.join()

    def _check_slot(self) -> None:
        if not self._history.is_idle():
            message = "Job quota has been exceeded"
            raise HubError(ErrorCode.JobQuotaExceeded, message, Shape.E4)

    def _is_idle(self) -> bool:
        return all(job.id in self._foreign or job.status.is_terminal for job in self._history.all())

    def _storage(self, request: JobRequest) -> JobStorage:
        return JobStorage(request, self._options.identity_connection_string, self._choices)

    def _add_foreign(
        self,
        request: JobRequest,
        status: JobStatus,
        start: datetime | None = None,
        end: datetime | None = None,
        failure_reason: str | None = None,
    ) -> str:
        now = self._clock.now()
        job = Job(
            str(uuid.uuid4()),
            request,
            start or now,
            status,
            progress=100 if status is JobStatus.COMPLETED else 0,
            end_time=(end or now) if status.is_terminal else None,
            failure_reason=failure_reason,
        )
        self._foreign.add(job.id)
        self._history.add(job)
        return job.id


def _full_document(job: Job) -> dict[str, Any]:
    return job.to_json(version=LATEST_VERSION, echo="full")


def job_not_found(job_id: str) -> HubError:
    return HubError(ErrorCode.JobNotFound, f"Job {job_id} does not exist.", Shape.E4)
