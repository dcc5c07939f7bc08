"""The control API of the emulator: faults, job slot, clock, roles, request counts.

Real hubs have no such API. It requires no token; README.md describes it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from iothub_emulator.api.request_checks import RequestChecks
from iothub_emulator.auth.access import Roles
from iothub_emulator.clock import Clock, format_time
from iothub_emulator.faults import Faults
from iothub_emulator.jobs.jobs import Jobs


class ControlRoutes:
    def __init__(
        self, faults: Faults, jobs: Jobs, clock: Clock, roles: Roles, checks: RequestChecks
    ) -> None:
        self._faults = faults
        self._jobs = jobs
        self._clock = clock
        self._roles = roles
        self._checks = checks

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/emulator/faults", self._list_faults)
        app.router.add_post("/emulator/faults", self._add_fault)
        app.router.add_delete("/emulator/faults", self._clear_faults)
        app.router.add_post("/emulator/slot", self._set_slot)
        app.router.add_post("/emulator/late-logs", self._write_late_logs)
        app.router.add_post("/emulator/clock", self._advance_clock)
        app.router.add_post("/emulator/roles", self._assign_role)
        app.router.add_get("/emulator/requests", self._count_requests)

    async def _list_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._faults.to_json())

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            rule = await _read_object(request)
            self._faults.add(str(rule.pop("kind", "")), **rule)
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.Response(status=204)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._faults.clear()
        return web.Response(status=204)

    async def _set_slot(self, request: web.Request) -> web.Response:
        # In a thread, as the slot is locked during the storage checks of a new job.
        occupied = (await _read_object(request)).get("occupied")
        if occupied is True:
            await asyncio.to_thread(self._jobs.occupy_slot)
        elif occupied is False:
            await asyncio.to_thread(self._jobs.free_slot)
        else:
            raise web.HTTPBadRequest(text="occupied must be true or false")
        return web.Response(status=204)

    async def _write_late_logs(self, request: web.Request) -> web.Response:
        await asyncio.to_thread(self._jobs.write_late_logs)
        return web.Response(status=204)

    async def _advance_clock(self, request: web.Request) -> web.Response:
        try:
            self._clock.advance(float((await _read_object(request)).get("seconds", "")))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text="seconds must be a number and at least 0") from error
        return web.json_response({"now": format_time(self._clock.now())})

    async def _assign_role(self, request: web.Request) -> web.Response:
        assignment = await _read_object(request)
        try:
            self._roles.assign(str(assignment["principal"]), assignment["role"])
        except KeyError as error:
            raise web.HTTPBadRequest(text=f"{error} is required") from error
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.Response(status=204)

    async def _count_requests(self, request: web.Request) -> web.Response:
        return web.json_response(self._checks.requests)


async def _read_object(request: web.Request) -> dict[str, Any]:
    try:
        value = json.loads(await request.text())
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"the body must be JSON: {error}") from error
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return value
