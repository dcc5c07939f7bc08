"""Twins of devices and modules."""

from __future__ import annotations

from aiohttp import web

from local.hub.api.documents import twin_document
from local.hub.api.guard import Guard
from local.hub.api.requests import (
    Handler,
    answer,
    device_key,
    expect,
    expect_device_of_module,
    if_match,
    malformed_is_refused,
    module_key,
)
from local.hub.api.versions import MODULES, TWINS, since
from local.hub.auth.permissions import READ_TWINS, WRITE_TWINS, Permission
from local.hub.faults import Operation
from local.hub.json_net import JsonObject, parse_object
from local.hub.registry.entry import Entry
from local.hub.registry.identity import Key
from local.hub.registry.registry import ANY_ETAG, Registry
from local.hub.registry.twin import TwinChange

_DOTNET_TYPE = "Microsoft.Azure.Devices.Shared.Twin"


class TwinRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def add_to(self, app: web.Application, guard: Guard) -> None:
        self._add_path("/twins/{device_id}", TWINS, app, guard)
        self._add_path("/twins/{device_id}/modules/{module_id}", MODULES, app, guard)

    def _add_path(self, path: str, version: str, app: web.Application, guard: Guard) -> None:
        def guarded(permission: Permission, handler: Handler) -> Handler:
            return guard.wrap(Operation.REGISTRY, permission, since(version, handler))

        app.router.add_get(path, guarded(READ_TWINS, self._get), allow_head=False)
        app.router.add_patch(path, guarded(WRITE_TWINS, self._patch))
        app.router.add_put(path, guarded(WRITE_TWINS, self._replace))

    async def _get(self, request: web.Request) -> web.Response:
        return _answer(expect(self._registry, self._key(request)))

    async def _patch(self, request: web.Request) -> web.Response:
        with malformed_is_refused():
            change = _read_patch(parse_object(await request.text(), dotnet_type=_DOTNET_TYPE))
        etag = if_match(request) or ANY_ETAG
        return _answer(self._registry.update_twin(self._key(request), change, if_match=etag))

    async def _replace(self, request: web.Request) -> web.Response:
        """Tags and desired properties that are absent are gone (live hub)."""
        with malformed_is_refused():
            body = parse_object(await request.text(), dotnet_type=_DOTNET_TYPE)
            twin = TwinChange(
                tags=body.document("tags") or {},
                desired=body.child("properties").document("desired") or {},
            )
        etag = if_match(request) or ANY_ETAG
        return _answer(self._registry.replace_twin(self._key(request), twin, if_match=etag))

    def _key(self, request: web.Request) -> Key:
        if "module_id" not in request.match_info:
            return device_key(request)
        expect_device_of_module(request, self._registry)
        return module_key(request)


def _read_patch(body: JsonObject) -> TwinChange:
    return TwinChange(
        tags=body.document("tags"), desired=body.child("properties").document("desired")
    )


def _answer(entry: Entry) -> web.Response:
    return answer(twin_document(entry), entry.twin.etag)
