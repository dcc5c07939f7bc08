"""Modules of the data plane; they follow the rules of devices (live hub)."""

from __future__ import annotations

from aiohttp import web

from iothub_emulator.api.documents import module_document
from iothub_emulator.api.guard import Guard
from iothub_emulator.api.requests import (
    Handler,
    answer,
    body_of,
    expect,
    expect_device_of_module,
    if_match,
    malformed_is_refused,
    module_key,
    required_if_match,
)
from iothub_emulator.api.versions import MODULES, since
from iothub_emulator.auth.permissions import DELETE_DEVICES, READ_DEVICES, WRITE_DEVICES, Permission
from iothub_emulator.faults import Operation
from iothub_emulator.json_net import parse_object
from iothub_emulator.registry.entry import Entry
from iothub_emulator.registry.identity import DeviceStatus, Identity, Key, invalid
from iothub_emulator.registry.registry import Registry

_ALL = "/devices/{device_id}/modules"
_ONE = "/devices/{device_id}/modules/{module_id}"


class ModuleRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def add_to(self, app: web.Application, guard: Guard) -> None:
        def guarded(permission: Permission, handler: Handler) -> Handler:
            return guard.wrap(Operation.REGISTRY, permission, since(MODULES, handler))

        app.router.add_get(_ALL, guarded(READ_DEVICES, self._list), allow_head=False)
        app.router.add_get(_ONE, guarded(READ_DEVICES, self._get), allow_head=False)
        app.router.add_put(_ONE, guarded(WRITE_DEVICES, self._put))
        app.router.add_delete(_ONE, guarded(DELETE_DEVICES, self._delete))

    async def _list(self, request: web.Request) -> web.Response:
        device = expect_device_of_module(request, self._registry)
        modules = self._registry.modules(device.identity.key.device_id)
        return web.json_response([module_document(module) for module in modules])

    async def _get(self, request: web.Request) -> web.Response:
        expect_device_of_module(request, self._registry)
        return _answer(expect(self._registry, module_key(request)))

    async def _put(self, request: web.Request) -> web.Response:
        expect_device_of_module(request, self._registry)
        identity = _read_module(module_key(request), await body_of(request))
        etag = if_match(request)
        if etag is None:
            return _answer(self._registry.create(identity))
        return _answer(self._registry.update(identity, if_match=etag))

    async def _delete(self, request: web.Request) -> web.Response:
        expect_device_of_module(request, self._registry)
        self._registry.delete(module_key(request), if_match=required_if_match(request))
        return web.Response(status=204)


def _read_module(key: Key, text: str) -> Identity:
    with malformed_is_refused():
        body = parse_object(text, dotnet_type="Microsoft.Azure.Devices.Module")
        ids = (body.string("deviceId"), body.string("moduleId"))
        if ids[0] not in (None, key.device_id) or ids[1] not in (None, key.module_id):
            raise invalid("The ids of the body are not those of the path.")
        return Identity.read(body)(key=key, status=DeviceStatus.ENABLED)


def _answer(entry: Entry) -> web.Response:
    return answer(module_document(entry), entry.etag)
