"""Configurations of the data plane."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import (
    MODULES_VERSION,
    answer,
    bad_request_if_malformed,
    body_of,
    if_match,
)
from iothub_emulator.auth.access import (
    DELETE_CONFIGURATIONS,
    READ_CONFIGURATIONS,
    WRITE_CONFIGURATIONS,
)
from iothub_emulator.json_net import parse_object
from iothub_emulator.registry.configurations import (
    CONFIGURATION,
    Configurations,
    read_configuration,
)
from iothub_emulator.registry.identity import ANY_ETAG

_CONFIGURATION = "/configurations/{id}"


class ConfigurationRoutes:
    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations

    def routes(self) -> list[Route]:
        modules = MODULES_VERSION
        return [
            Route("GET", "/configurations", READ_CONFIGURATIONS, self._list, since=modules),
            Route("GET", _CONFIGURATION, READ_CONFIGURATIONS, self._get, since=modules),
            Route("PUT", _CONFIGURATION, WRITE_CONFIGURATIONS, self._put, since=modules),
            Route("DELETE", _CONFIGURATION, DELETE_CONFIGURATIONS, self._delete, since=modules),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        """List all; ``top`` has no effect (live hub)."""
        return web.json_response(self._configurations.all())

    async def _get(self, request: web.Request) -> web.Response:
        return _answer(self._configurations.find(request.match_info["id"]))

    async def _put(self, request: web.Request) -> web.Response:
        """An If-Match without quotes has no effect, so the answer is 409 (live hub)."""
        id_ = request.match_info["id"]
        with bad_request_if_malformed():
            body = parse_object(await body_of(request), CONFIGURATION)
            declared = read_configuration(body)
        header = request.headers.get("If-Match", "")
        if header != ANY_ETAG and not header.startswith('"'):
            return _answer(self._configurations.create(id_, declared))
        return _answer(self._configurations.update(id_, declared, header.strip('"')))

    async def _delete(self, request: web.Request) -> web.Response:
        """Unlike for a device, If-Match is optional (live hub)."""
        self._configurations.delete(request.match_info["id"], if_match(request) or ANY_ETAG)
        return web.Response(status=204)


def _answer(configuration: dict[str, Any]) -> web.Response:
    return answer(configuration, configuration["etag"])
