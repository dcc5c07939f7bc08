"""Traces of a job whose request was sent and whose answer was lost.

A job is ours if the hub says that it was given the container of the job's record, or if a log is in
that container. A job that names another container is never ours. Of a job that names none it is not
known: an active one is waited for, and where one has ended the imports fail, as their devices may
have been applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from shared.hub.jobs import JobProperties
from shared.imports.model.job import JobRecord
from shared.imports.services import Services

__all__ = ["LOG_GRACE", "JobTraces", "find_traces"]

#: How much the clocks of two processes may differ.
CLOCK_SKEW = timedelta(minutes=5)

#: How long a log may appear after its job has ended, and how long after a request without an answer
#: finding nothing proves nothing: a job list may lag. A live hub always writes a log, empty if
#: nothing failed.
LOG_GRACE = CLOCK_SKEW + timedelta(minutes=5)

#: How exactly the time of a request is known by the hub's clock, whose answers have whole seconds.
CLOCK_MARGIN = CLOCK_SKEW + timedelta(seconds=30)

_NO_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class JobTraces:
    """What was found at the hub and in the job's container."""

    #: The job that was given the container.
    job: JobProperties | None
    #: Whether a job is active that names no container.
    has_unnamed_active: bool
    #: Whether a log is in the container.
    has_log: bool
    #: Jobs that name no container, have ended since the request and may have been ours.
    unnamed_ended: Sequence[JobProperties]

    @property
    def exist(self) -> bool:
        return (
            self.job is not None
            or self.has_unnamed_active
            or self.has_log
            or bool(self.unnamed_ended)
        )


def find_traces(services: Services, ours: JobRecord) -> JobTraces:
    """Ask the hub for its jobs, and look for a log.

    Raises:
        HubError: the jobs cannot be listed.
    """
    listed = services.hubs[ours.hub].list_jobs()
    imports = [job for job in listed.jobs if job.type.lower() == "import"]
    own = [job for job in imports if _was_given(job, ours.staged.container)]
    # The last of them is active, or else the one that began last.
    own.sort(key=lambda job: (not job.status.is_final, job.start_time_utc or _NO_TIME))
    has_log = services.container_of(ours).has_error_log()
    unnamed = [] if own else [job for job in imports if not _names_a_container(job)]
    return JobTraces(
        own[-1] if own else None,
        any(not job.status.is_final for job in unnamed),
        has_log,
        _ended_since_request(services, ours, unnamed, listed.at),
    )


def _ended_since_request(
    services: Services,
    ours: JobRecord,
    jobs: Iterable[JobProperties],
    hub_time: datetime | None,
) -> list[JobProperties]:
    """Those that ended and may have been requested by the last request, by the hub's clock."""
    now = services.clock()
    since = ours.started_at + ((hub_time or now) - now) - CLOCK_MARGIN
    candidates = [
        job for job in jobs if job.status.is_final and (job.start_time_utc or since) >= since
    ]
    if not candidates:
        return []
    # A job that was to be started before that may have been created a little later.
    earliest = ours.started_at - CLOCK_MARGIN - services.settings.retries.lease
    owned = services.queries.jobs_started_since(ours.hub, earliest)
    return [job for job in candidates if job.job_id not in owned]


def _was_given(job: JobProperties, container: str) -> bool:
    uris = (job.input_blob_container_uri, job.output_blob_container_uri)
    return any(urlsplit(uri).path.rstrip("/").endswith(f"/{container}") for uri in uris)


def _names_a_container(job: JobProperties) -> bool:
    return bool(job.input_blob_container_uri or job.output_blob_container_uri)
