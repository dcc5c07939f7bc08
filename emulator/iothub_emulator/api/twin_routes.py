"""Twins of devices and modules."""

from __future__ import annotations

from aiohttp import web

from iothub_emulator.api.documents import twin_document
from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import (
    MODULES_VERSION,
    TWINS_VERSION,
    bad_request_if_malformed,
    body_of,
    device_key,
    if_match,
    json_answer,
    version_of,
)
from iothub_emulator.auth.access import READ_TWINS, WRITE_TWINS
from iothub_emulator.json_net import DOCUMENT, Contract, JsonObject, parse_object
from iothub_emulator.registry.entries import Entry
from iothub_emulator.registry.identity import ANY_ETAG, Key, not_registered
from iothub_emulator.registry.registry import Registry
from iothub_emulator.registry.twin import TwinChange

_TWIN = Contract(
    "Microsoft.Azure.Devices.Shared.Twin",
    {
        "tags": DOCUMENT,
        "properties": Contract(
            "Microsoft.Azure.Devices.Shared.TwinProperties", {"desired": DOCUMENT}
        ),
    },
)
#: The paths and the api-version that added each.
_PATHS = {
    "/twins/{device_id}": TWINS_VERSION,
    "/twins/{device_id}/modules/{module_id}": MODULES_VERSION,
}


class TwinRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[Route]:
        return [
            route
            for path, since in _PATHS.items()
            for route in (
                Route("GET", path, READ_TWINS, self._get, since=since),
                Route("PATCH", path, WRITE_TWINS, self._patch, since=since),
                Route("PUT", path, WRITE_TWINS, self._replace, since=since),
            )
        ]

    async def _get(self, request: web.Request) -> web.Response:
        return _answer(request, self._existing(request))

    async def _patch(self, request: web.Request) -> web.Response:
        with bad_request_if_malformed():
            change = _read_patch(parse_object(await body_of(request), _TWIN))
        key, etag = self._existing(request).identity.key, if_match(request) or ANY_ETAG
        return _answer(request, self._registry.update_twin(key, change, if_match=etag))

    async def _replace(self, request: web.Request) -> web.Response:
        """Absent tags and desired properties are deleted (live hub)."""
        with bad_request_if_malformed():
            patch = _read_patch(parse_object(await body_of(request), _TWIN))
        twin = TwinChange(tags=patch.tags or {}, desired=patch.desired or {})
        key, etag = self._existing(request).identity.key, if_match(request) or ANY_ETAG
        return _answer(request, self._registry.replace_twin(key, twin, if_match=etag))

    def _existing(self, request: web.Request) -> Entry:
        """The answer to a missing module names its device as missing (live hub)."""
        device = device_key(request)
        entry = self._registry.find(Key(device.device_id, request.match_info.get("module_id")))
        if entry is None:
            raise not_registered(device)
        return entry


def _read_patch(body: JsonObject) -> TwinChange:
    return TwinChange(
        tags=body.document("tags"), desired=body.child("properties").document("desired")
    )


def _answer(request: web.Request, entry: Entry) -> web.Response:
    return json_answer(twin_document(entry, version_of(request)))
