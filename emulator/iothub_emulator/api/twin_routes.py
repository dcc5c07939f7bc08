"""Twins of devices and modules."""

from __future__ import annotations

from aiohttp import web

from iothub_emulator.api.documents import twin_document
from iothub_emulator.api.guard import Guard
from iothub_emulator.api.requests import (
    Handler,
    answer,
    body_of,
    device_key,
    if_match,
    malformed_is_refused,
)
from iothub_emulator.api.versions import MODULES, TWINS, since
from iothub_emulator.auth.permissions import READ_TWINS, WRITE_TWINS, Permission
from iothub_emulator.faults import Operation
from iothub_emulator.json_net import JsonObject, parse_object
from iothub_emulator.registry.entry import Entry
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.registry import ANY_ETAG, Registry, not_registered
from iothub_emulator.registry.twin import TwinChange

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
        return _answer(self._expect(request))

    async def _patch(self, request: web.Request) -> web.Response:
        with malformed_is_refused():
            change = _read_patch(parse_object(await body_of(request), dotnet_type=_DOTNET_TYPE))
        key, etag = self._expect(request).identity.key, if_match(request) or ANY_ETAG
        return _answer(self._registry.update_twin(key, change, if_match=etag))

    async def _replace(self, request: web.Request) -> web.Response:
        """Tags and desired properties that are absent are gone (live hub)."""
        with malformed_is_refused():
            body = parse_object(await body_of(request), dotnet_type=_DOTNET_TYPE)
            twin = TwinChange(
                tags=body.document("tags") or {},
                desired=body.child("properties").document("desired") or {},
            )
        key, etag = self._expect(request).identity.key, if_match(request) or ANY_ETAG
        return _answer(self._registry.replace_twin(key, twin, if_match=etag))

    def _expect(self, request: web.Request) -> Entry:
        """A missing module is told as if its device was missing (live hub)."""
        device = device_key(request)
        entry = self._registry.find(Key(device.device_id, request.match_info.get("module_id")))
        if entry is None:
            raise not_registered(device)
        return entry


def _read_patch(body: JsonObject) -> TwinChange:
    return TwinChange(
        tags=body.document("tags"), desired=body.child("properties").document("desired")
    )


def _answer(entry: Entry) -> web.Response:
    return answer(twin_document(entry), entry.twin.etag)
