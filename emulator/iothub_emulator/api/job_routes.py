"""The import and export jobs of the data plane (service swagger 2021-04-12)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web

from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import FIRST_VERSION, body_of, json_answer, version_of
from iothub_emulator.auth.access import DELETE_JOBS, READ_JOBS, WRITE_JOBS
from iothub_emulator.choices import Choices
from iothub_emulator.clock import Clock
from iothub_emulator.errors import ErrorCode, HubError, invalid
from iothub_emulator.faults import Operation
from iothub_emulator.jobs.history import Job
from iothub_emulator.jobs.jobs import Jobs, job_not_found
from iothub_emulator.jobs.request import JobRequest

LOG = logging.getLogger(__name__)

JobDocument = dict[str, Any]

_SCHEDULED = "/jobs/v2/{job_id}"
#: Of the service swagger, in lower case.
_SCHEDULED_TYPES = {"scheduledevicemethod", "scheduleupdatetwin", "unknown", "export", "import"}
_SCHEDULED_STATUSES = {
    *("unknown", "enqueued", "running", "completed"),
    *("failed", "cancelled", "scheduled", "queued"),
}


def _unaltered(job: JobDocument) -> JobDocument:
    return job


@dataclass
class JobAnswers:
    """Differences between the jobs and what clients see of them; tests may change these any time.

    Ages are by the hub's clock.
    """

    #: GET /jobs omits younger jobs.
    list_lag: timedelta = timedelta(0)
    #: GET /jobs/{id} answers 404 JobNotFound for younger jobs.
    get_lag: timedelta = timedelta(0)
    #: Called with each job in an answer; the result is sent in its place.
    alter: Callable[[JobDocument], JobDocument] = _unaltered


class JobRoutes:
    def __init__(self, jobs: Jobs, choices: Choices, clock: Clock, answers: JobAnswers) -> None:
        self._jobs = jobs
        self._choices = choices
        self._clock = clock
        self._answers = answers

    def routes(self) -> list[Route]:
        create, get, cancel = Operation.CREATE_JOB, Operation.GET_JOB, Operation.CANCEL_JOB
        historic, first = self._create_historic, FIRST_VERSION
        return [
            Route("POST", "/jobs/create", WRITE_JOBS, self._create, create),
            Route("GET", "/jobs", READ_JOBS, self._list, Operation.LIST_JOBS),
            Route("GET", "/jobs/{job_id}", READ_JOBS, self._get, get),
            Route("GET", "/jobs/v2/query", READ_JOBS, self._list_scheduled, Operation.LIST_JOBS),
            Route("GET", _SCHEDULED, READ_JOBS, self._get_scheduled, get),
            Route("PUT", _SCHEDULED, WRITE_JOBS, self._create_scheduled, create),
            Route("POST", f"{_SCHEDULED}/cancel", WRITE_JOBS, self._cancel_scheduled, cancel),
            Route("DELETE", "/jobs/{job_id}", DELETE_JOBS, self._cancel, cancel),
            # The page of 2016 has a GET with a body, which some clients cannot send.
            Route("GET", "/importdevices", WRITE_JOBS, historic, create, until=first),
            Route("POST", "/importdevices", WRITE_JOBS, historic, create, until=first),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        return await self._start(
            request, JobRequest.read(await body_of(request), version_of(request))
        )

    async def _create_historic(self, request: web.Request) -> web.Response:
        return await self._start(request, JobRequest.read_historic(await body_of(request)))

    async def _start(self, request: web.Request, job_request: JobRequest) -> web.Response:
        # In a thread, as the storage checks block.
        job = await asyncio.to_thread(self._jobs.create, job_request)
        logged = job_request.without_signatures()
        LOG.info(
            "%s job %s: input %s/%s, output %s",
            logged.type,
            job.id,
            logged.input_uri,
            logged.input_blob_name,
            logged.output_uri,
        )
        return self._answer(request, job, is_creation=True)

    async def _list(self, request: web.Request) -> web.Response:
        lag = self._answers.list_lag
        jobs = [job for job in self._jobs.all() if self._is_visible(job, lag)]
        return json_answer([self._document(request, job) for job in jobs])

    async def _get(self, request: web.Request) -> web.Response:
        job = self._jobs.find(request.match_info["job_id"])
        if not self._is_visible(job, self._answers.get_lag):
            raise job_not_found(job.id)
        return self._answer(request, job)

    async def _list_scheduled(self, request: web.Request) -> web.Response:
        """There are none; a filter is checked nevertheless."""
        _check_filter(request, "jobType", _SCHEDULED_TYPES)
        _check_filter(request, "jobStatus", _SCHEDULED_STATUSES)
        return json_answer([], headers={"x-ms-item-type": "JobResponse"})

    async def _get_scheduled(self, request: web.Request) -> web.Response:
        """The answer of a live hub for an unknown scheduled job."""
        job_id = request.match_info["job_id"]
        return json_answer({"jobId": job_id, "type": "unknown", "status": "unknown"})

    async def _create_scheduled(self, request: web.Request) -> web.Response:
        """The refusal is that of a hub whose tier has no scheduled jobs."""
        message = "The emulator does not support scheduled jobs."
        raise HubError(ErrorCode.OperationNotAvailableInCurrentTier, message)

    async def _cancel_scheduled(self, request: web.Request) -> web.Response:
        raise job_not_found(request.match_info["job_id"])

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._jobs.cancel(request.match_info["job_id"])
        if self._choices.cancel_answer == "200":
            return self._answer(request, job)
        return web.Response(status=204)

    def _answer(self, request: web.Request, job: Job, *, is_creation: bool = False) -> web.Response:
        return json_answer(self._document(request, job, is_creation=is_creation))

    def _is_visible(self, job: Job, lag: timedelta) -> bool:
        """Always true without a lag, as a job may start later than a clock that was moved back."""
        return not lag or self._clock.now() - job.start_time >= lag

    def _document(
        self, request: web.Request, job: Job, *, is_creation: bool = False
    ) -> JobDocument:
        """The job as JSON; properties without a value are absent (live hub)."""
        document = job.to_json(
            version=version_of(request), echo=self._choices.uri_echo, is_creation=is_creation
        )
        return self._answers.alter(
            {name: value for name, value in document.items() if value is not None}
        )


def _check_filter(request: web.Request, name: str, known: set[str]) -> None:
    """Refuse an unknown value; letter case does not matter."""
    value = request.query.get(name)
    if value and value.lower() not in known:
        raise invalid(f"{name} must be one of {', '.join(sorted(known))}, not {value}.")
