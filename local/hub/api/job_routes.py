"""The import and export jobs of the data plane (service swagger 2021-04-12)."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from local.hub.api.guard import Guard
from local.hub.auth.permissions import DELETE_JOBS, READ_JOBS, WRITE_JOBS
from local.hub.faults import Operation
from local.hub.jobs.job import Job, JobRequest
from local.hub.jobs.jobs import Jobs

LOG = logging.getLogger(__name__)


class JobRoutes:
    def __init__(self, jobs: Jobs, *, echo_uris: bool) -> None:
        self._jobs = jobs
        self._echo_uris = echo_uris

    def add_to(self, app: web.Application, guard: Guard) -> None:
        create = guard.wrap(Operation.CREATE_JOB, WRITE_JOBS, self._create)
        list_ = guard.wrap(Operation.LIST_JOBS, READ_JOBS, self._list)
        get = guard.wrap(Operation.GET_JOB, READ_JOBS, self._get)
        cancel = guard.wrap(Operation.CANCEL_JOB, DELETE_JOBS, self._cancel)
        app.router.add_post("/jobs/create", create)
        app.router.add_get("/jobs", list_, allow_head=False)
        app.router.add_get("/jobs/{job_id}", get, allow_head=False)
        app.router.add_delete("/jobs/{job_id}", cancel)

    async def _create(self, request: web.Request) -> web.Response:
        wanted = JobRequest.read(await request.text())
        # Storage is checked within the request, by blocking calls.
        job = await asyncio.to_thread(self._jobs.create, wanted)
        LOG.info(
            "job %s reads %s/%s and writes to %s",
            job.id,
            _without_query(wanted.input_uri),
            wanted.input_blob_name,
            _without_query(wanted.output_uri),
        )
        return self._answer(job)

    async def _list(self, request: web.Request) -> web.Response:
        shown = [job.to_json(echo_uris=self._echo_uris) for job in self._jobs.all()]
        return web.json_response(shown)

    async def _get(self, request: web.Request) -> web.Response:
        return self._answer(self._jobs.find(request.match_info["job_id"]))

    async def _cancel(self, request: web.Request) -> web.Response:
        self._jobs.cancel(request.match_info["job_id"])
        return web.Response(status=204)

    def _answer(self, job: Job) -> web.Response:
        return web.json_response(job.to_json(echo_uris=self._echo_uris))


def _without_query(uri: str) -> str:
    """A container URI without its signature, for the log."""
    return uri.partition("?")[0]
