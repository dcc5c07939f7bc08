"""Carrying out one import job, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from azure.core.exceptions import AzureError

from local.hub.faults import Fault, FaultKind
from local.hub.jobs.history import JobHistory
from local.hub.jobs.importing import blame, import_line
from local.hub.jobs.job import Job, JobStatus
from local.hub.jobs.storage import JobStorage
from local.hub.registry.registry import Registry

LOG = logging.getLogger(__name__)

#: The part of a job's time that it waits before it runs.
ENQUEUED_SHARE = 0.25


class _Stopped(Exception):
    """The job is not to go on: it was cancelled or forgotten, or the hub goes down."""


class Run(threading.Thread):
    """From ``enqueued`` to the end; ``seconds`` is the least time that this takes."""

    def __init__(
        self,
        job: Job,
        fault: Fault | None,
        history: JobHistory,
        registry: Registry,
        identity_connection_string: str | None,
        seconds: float,
    ) -> None:
        super().__init__(name=f"job {job.id}", daemon=True)
        self._job = job
        self._fault = fault
        self._history = history
        self._registry = registry
        self._identity_connection_string = identity_connection_string
        self._seconds = seconds
        self._created = time.monotonic()
        self._stop_requested = threading.Event()

    def stop(self) -> None:
        self._stop_requested.set()

    def run(self) -> None:
        try:
            self._run()
        except _Stopped:
            LOG.info("job %s stops", self._job.id)
        except AzureError:
            # Storage was fine when the job was created: the SAS expired or a container is gone.
            self._fail("The job lost access to its storage.")
        except Exception:
            LOG.exception("job %s", self._job.id)
            self._fail("An internal error occurred.")

    def _run(self) -> None:
        self._wait_until(ENQUEUED_SHARE)
        self._advance(JobStatus.RUNNING)
        if self._fault is None or self._fault.kind is FaultKind.BLAME_DEVICES:
            self._import()
        elif self._fault.kind is FaultKind.HANG_JOB:
            self._stop_requested.wait()
        else:
            self._wait_until(1)
            self._fail(self._fault.reason)

    def _import(self) -> None:
        with JobStorage(self._job.request, self._identity_connection_string) as storage:
            refused = self._import_lines(storage)
            self._wait_until(1)
            storage.write_log(refused)
        self._advance(JobStatus.COMPLETED, progress=100, end_time=datetime.now(UTC))

    def _import_lines(self, storage: JobStorage) -> list[str]:
        """Lines are imported at the pace of the job, so a cancelled one leaves a part behind."""
        refused = []
        progress = 0
        for percent, text in storage.lines():
            if self._stop_requested.is_set():
                raise _Stopped
            error = import_line(self._registry, text)
            if error is None and self._fault is not None:
                error = blame(text)
            if error is not None:
                refused.append(error)
            if percent > progress:
                progress = percent
                self._advance(JobStatus.RUNNING, progress=progress)
                self._wait_until(ENQUEUED_SHARE + (1 - ENQUEUED_SHARE) * progress / 100)
        return refused

    def _wait_until(self, share: float) -> None:
        left = self._created + share * self._seconds - time.monotonic()
        if self._stop_requested.wait(max(0, left)):
            raise _Stopped

    def _advance(self, status: JobStatus, **changes: object) -> None:
        if not self._history.advance(self._job.id, status, **changes):
            raise _Stopped

    def _fail(self, reason: str) -> None:
        self._history.advance(
            self._job.id, JobStatus.FAILED, failure_reason=reason, end_time=datetime.now(UTC)
        )
