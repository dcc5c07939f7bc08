"""A job as the hub shows it (JobProperties of the service swagger 2021-04-12)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from iothub_emulator.choices import UriEcho
from iothub_emulator.jobs.request import JobRequest
from iothub_emulator.times import shown_time


class JobStatus(StrEnum):
    """The states of import and export jobs; scheduled jobs have others."""

    ENQUEUED = "enqueued"
    RUNNING = "running"
    #: Also when every line of the file was refused: those are in importErrors.log alone.
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self not in (JobStatus.ENQUEUED, JobStatus.RUNNING)


@dataclass(frozen=True)
class Job:
    """One moment of a job's life."""

    id: str
    request: JobRequest
    start_time: datetime
    status: JobStatus = JobStatus.ENQUEUED
    #: Percent.
    progress: int = 0
    end_time: datetime | None = None
    failure_reason: str | None = None

    def to_json(self, *, version: str, echo: UriEcho, is_creation: bool = False) -> dict[str, Any]:
        """What a client of a version sees; None is a member that answers do not have.

        Captures disagree on the echo: a recording of 2021 and the az CLI's tests see both URIs in
        the answer to the creation; later answers have the output's alone, or empty ones.
        """
        return {
            "jobId": self.id,
            "type": self.request.type.value,
            "status": self.status.value,
            "startTimeUtc": shown_time(self.start_time),
            "endTimeUtc": self.end_time and shown_time(self.end_time),
            "progress": self.progress,
            "failureReason": self.failure_reason,
            **self.request.to_json(version=version, echo=echo, is_creation=is_creation),
        }
