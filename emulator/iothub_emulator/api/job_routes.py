"""The import and export jobs of the data plane (service swagger 2021-04-12)."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from aiohttp import web

from iothub_emulator.api.guard import Guard
from iothub_emulator.api.job_answers import JobAnswers, JobDocument
from iothub_emulator.api.requests import Handler, body_of
from iothub_emulator.api.versions import FIRST, since, version_of
from iothub_emulator.auth.permissions import DELETE_JOBS, READ_JOBS, WRITE_JOBS
from iothub_emulator.choices import Choices
from iothub_emulator.clock import Clock
from iothub_emulator.faults import Operation
from iothub_emulator.jobs.job import Job
from iothub_emulator.jobs.jobs import Jobs, job_not_found
from iothub_emulator.jobs.request import JobRequest

LOG = logging.getLogger(__name__)


class JobRoutes:
    def __init__(self, jobs: Jobs, choices: Choices, clock: Clock, answers: JobAnswers) -> None:
        self._jobs = jobs
        self._choices = choices
        self._clock = clock
        self._answers = answers

    def add_to(self, app: web.Application, guard: Guard) -> None:
        def creating(handler: Handler) -> Handler:
            return guard.wrap(Operation.CREATE_JOB, WRITE_JOBS, handler)

        list_ = guard.wrap(Operation.LIST_JOBS, READ_JOBS, self._list)
        get = guard.wrap(Operation.GET_JOB, READ_JOBS, self._get)
        scheduled = guard.wrap(Operation.GET_JOB, READ_JOBS, self._get_scheduled)
        cancel = guard.wrap(Operation.CANCEL_JOB, DELETE_JOBS, self._cancel)
        app.router.add_post("/jobs/create", creating(self._create))
        app.router.add_get("/jobs", list_, allow_head=False)
        app.router.add_get("/jobs/{job_id}", get, allow_head=False)
        app.router.add_get("/jobs/v2/{job_id}", scheduled, allow_head=False)
        app.router.add_delete("/jobs/{job_id}", cancel)
        # The page of 2016 has a GET with a body, which some clients cannot send.
        historic = creating(since(FIRST, self._create_historic, until=FIRST))
        app.router.add_get("/importdevices", historic, allow_head=False)
        app.router.add_post("/importdevices", historic)

    async def _create(self, request: web.Request) -> web.Response:
        return await self._start(
            request, JobRequest.read(await body_of(request), version_of(request))
        )

    async def _create_historic(self, request: web.Request) -> web.Response:
        return await self._start(request, JobRequest.read_historic(await body_of(request)))

    async def _start(self, request: web.Request, wanted: JobRequest) -> web.Response:
        # Storage is checked within the request, by blocking calls.
        job = await asyncio.to_thread(self._jobs.create, wanted)
        logged = wanted.without_signatures()
        LOG.info(
            "%s job %s reads %s/%s and writes to %s",
            logged.type,
            job.id,
            logged.input_uri,
            logged.input_blob_name,
            logged.output_uri,
        )
        return web.json_response(self._shown(request, job, is_creation=True))

    async def _list(self, request: web.Request) -> web.Response:
        jobs = (job for job in self._jobs.all() if self._is_seen(job, self._answers.list_lag))
        return web.json_response([self._shown(request, job) for job in jobs])

    async def _get(self, request: web.Request) -> web.Response:
        job = self._jobs.find(request.match_info["job_id"])
        if not self._is_seen(job, self._answers.get_lag):
            raise job_not_found(job.id)
        return self._answer(request, job)

    async def _get_scheduled(self, request: web.Request) -> web.Response:
        """There are no scheduled jobs here; an unknown one is told like this (live hub)."""
        unknown = {
            "jobId": request.match_info["job_id"],
            "type": "unknown",
            "status": "unknown",
        }
        return web.json_response(unknown)

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._jobs.cancel(request.match_info["job_id"])
        if self._choices.cancel_answer == "200":
            return self._answer(request, job)
        return web.Response(status=204)

    def _answer(self, request: web.Request, job: Job) -> web.Response:
        return web.json_response(self._shown(request, job))

    def _is_seen(self, job: Job, lag: timedelta) -> bool:
        """Without a lag always: a job may begin in the future of a clock that was put back."""
        return not lag or self._clock.now() - job.start_time >= lag

    def _shown(self, request: web.Request, job: Job, *, is_creation: bool = False) -> JobDocument:
        """Members without a value are absent (live hub)."""
        document = job.to_json(
            version=version_of(request), echo=self._choices.uri_echo, is_creation=is_creation
        )
        shown = {name: value for name, value in document.items() if value is not None}
        return self._answers.alter(shown)
