"""Configurations of the data plane."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from iothub_emulator.api.guard import Guard
from iothub_emulator.api.requests import Handler, answer, body_of, if_match, malformed_is_refused
from iothub_emulator.api.versions import MODULES, since
from iothub_emulator.auth.permissions import (
    DELETE_CONFIGURATIONS,
    READ_CONFIGURATIONS,
    WRITE_CONFIGURATIONS,
    Permission,
)
from iothub_emulator.faults import Operation
from iothub_emulator.json_net import parse_object
from iothub_emulator.registry.configurations import ANY_ETAG, Configurations, read_configuration


class ConfigurationRoutes:
    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations

    def add_to(self, app: web.Application, guard: Guard) -> None:
        def guarded(permission: Permission, handler: Handler) -> Handler:
            return guard.wrap(Operation.REGISTRY, permission, since(MODULES, handler))

        one = "/configurations/{id}"
        app.router.add_get(
            "/configurations", guarded(READ_CONFIGURATIONS, self._list), allow_head=False
        )
        app.router.add_get(one, guarded(READ_CONFIGURATIONS, self._get), allow_head=False)
        app.router.add_put(one, guarded(WRITE_CONFIGURATIONS, self._put))
        app.router.add_delete(one, guarded(DELETE_CONFIGURATIONS, self._delete))

    async def _list(self, request: web.Request) -> web.Response:
        """All of them: ``top`` is ignored (live hub)."""
        return web.json_response(self._configurations.all())

    async def _get(self, request: web.Request) -> web.Response:
        return _answer(self._configurations.find(request.match_info["id"]))

    async def _put(self, request: web.Request) -> web.Response:
        """An If-Match without quotes is as none, so the answer is 409 (live hub)."""
        id_ = request.match_info["id"]
        with malformed_is_refused():
            body = parse_object(
                await body_of(request), dotnet_type="Microsoft.Azure.Devices.Configuration"
            )
            declared = read_configuration(body)
        header = request.headers.get("If-Match", "")
        if header != ANY_ETAG and not header.startswith('"'):
            return _answer(self._configurations.create(id_, declared))
        return _answer(self._configurations.update(id_, declared, header.strip('"')))

    async def _delete(self, request: web.Request) -> web.Response:
        """Needs no If-Match, unlike a device (live hub)."""
        self._configurations.delete(request.match_info["id"], if_match(request) or ANY_ETAG)
        return web.Response(status=204)


def _answer(configuration: dict[str, Any]) -> web.Response:
    return answer(configuration, configuration["etag"])
