"""Configurations of the data plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import (
    MODULES_VERSION,
    answer,
    bad_request_if_malformed,
    body_of,
    device_key,
    existing,
    if_match,
    json_answer,
)
from iothub_emulator.api.search import Search
from iothub_emulator.auth.access import (
    APPLY_CONFIGURATIONS,
    DELETE_CONFIGURATIONS,
    READ_CONFIGURATIONS,
    TEST_QUERIES,
    WRITE_CONFIGURATIONS,
)
from iothub_emulator.errors import HubError, invalid
from iothub_emulator.json_net import DOCUMENT, STRING, Contract, parse_object
from iothub_emulator.query import ALL_DEVICES, parse_query, targets_query
from iothub_emulator.registry.configurations import (
    CONFIGURATION,
    DEVICE,
    EDGE,
    MODULE,
    Configurations,
    check_metrics,
    read_configuration,
)
from iothub_emulator.registry.deployment import apply_content
from iothub_emulator.registry.identity import ANY_ETAG
from iothub_emulator.registry.registry import Registry

_CONFIGURATION = "/configurations/{id}"
_TEST_INPUT = Contract(
    "Microsoft.Azure.Devices.ConfigurationQueriesTestInput",
    {"targetCondition": STRING, "customMetricQueries": DOCUMENT},
)
_CONTENT = Contract(
    "Microsoft.Azure.Devices.ConfigurationContent",
    dict.fromkeys((DEVICE, MODULE, EDGE), DOCUMENT),
)


class ConfigurationRoutes:
    def __init__(self, configurations: Configurations, registry: Registry, search: Search) -> None:
        self._configurations = configurations
        self._registry = registry
        self._search = search

    def routes(self) -> list[Route]:
        modules = MODULES_VERSION
        apply = "/devices/{device_id}/applyConfigurationContent"
        return [
            Route("POST", "/configurations/testQueries", TEST_QUERIES, self._test, since=modules),
            Route("POST", apply, APPLY_CONFIGURATIONS, self._apply, since=modules),
            Route("GET", "/configurations", READ_CONFIGURATIONS, self._list, since=modules),
            Route("GET", _CONFIGURATION, READ_CONFIGURATIONS, self._get, since=modules),
            Route("PUT", _CONFIGURATION, WRITE_CONFIGURATIONS, self._put, since=modules),
            Route("DELETE", _CONFIGURATION, DELETE_CONFIGURATIONS, self._delete, since=modules),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        """List all; ``top`` has no effect (live hub)."""
        return json_answer(await self._with_results(self._configurations.all()))

    async def _get(self, request: web.Request) -> web.Response:
        configuration = self._configurations.find(request.match_info["id"])
        await self._with_results([configuration])
        return _answer(configuration)

    async def _with_results(self, configurations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Fill in the number of rows of all metrics."""
        metrics = [
            (metrics["results"], name, parse_query(text))
            for configuration in configurations
            for metrics in (configuration["systemMetrics"], configuration["metrics"])
            for name, text in metrics["queries"].items()
        ]
        counts = await asyncio.to_thread(self._search.count, [query for _, _, query in metrics])
        for results, name, query in metrics:
            results[name] = counts[query]
        return configurations

    async def _put(self, request: web.Request) -> web.Response:
        """An empty If-Match, or one without quotes, has no effect (live hub)."""
        id_ = request.match_info["id"]
        with bad_request_if_malformed():
            body = parse_object(await body_of(request), CONFIGURATION)
            declared = read_configuration(body)
        if body["id"] not in (None, id_):
            raise invalid("The id of the body is not that of the path.")
        header = request.headers.get("If-Match", "")
        if header != ANY_ETAG and (header == '""' or not header.startswith('"')):
            create = partial(self._configurations.create, id_, declared)
            return _answer(await asyncio.to_thread(create))
        update = partial(self._configurations.update, id_, declared, header.strip('"'))
        return _answer(await asyncio.to_thread(update))

    async def _delete(self, request: web.Request) -> web.Response:
        """Unlike for a device, If-Match is optional (live hub)."""
        id_, etag = request.match_info["id"], if_match(request) or ANY_ETAG
        await asyncio.to_thread(self._configurations.delete, id_, etag)
        return web.Response(status=204)

    async def _test(self, request: web.Request) -> web.Response:
        """Report errors in the answer; ``*`` is one, although a PUT accepts it (live hub)."""
        with bad_request_if_malformed():
            body = parse_object(await body_of(request), _TEST_INPUT)
            condition = body.string("targetCondition") or ""
            queries = body.document("customMetricQueries") or {}
        target = f"({ALL_DEVICES})" if condition == ALL_DEVICES else condition
        return json_answer(
            {
                "targetConditionError": _message(partial(targets_query, target)),
                "customMetricQueryErrors": {
                    name: message
                    for name, text in queries.items()
                    if (message := _message(partial(check_metrics, {name: text})))
                },
            }
        )

    async def _apply(self, request: web.Request) -> web.Response:
        with bad_request_if_malformed():
            body = parse_object(await body_of(request), _CONTENT)
            content = {kind: body.document(kind) for kind in (DEVICE, MODULE, EDGE)}
        apply_content(self._registry, existing(self._registry, device_key(request)), content)
        return web.Response(status=204)


def _message(check: Callable[[], object]) -> str | None:
    try:
        check()
    except HubError as error:
        return error.message
    return None


def _answer(configuration: dict[str, Any]) -> web.Response:
    return answer(configuration, configuration["etag"])
