"""Devices of the data plane, as recorded from a live hub.

It differs from the published pages: create answers 200 and not 201, an update needs If-Match,
and so does a delete.
"""

from __future__ import annotations

from aiohttp import web

from iothub_emulator.api.documents import device_document
from iothub_emulator.api.guard import Guard
from iothub_emulator.api.requests import (
    answer,
    body_of,
    device_key,
    expect,
    if_match,
    malformed_is_refused,
    required_if_match,
)
from iothub_emulator.api.versions import version_of
from iothub_emulator.auth.permissions import (
    DELETE_DEVICES,
    READ_DEVICES,
    READ_STATISTICS,
    WRITE_DEVICES,
)
from iothub_emulator.faults import Operation
from iothub_emulator.json_net import parse_object
from iothub_emulator.registry.entry import Entry
from iothub_emulator.registry.identity import DeviceStatus, Identity, Key, invalid
from iothub_emulator.registry.registry import Kind, Registry

MAX_TOP = 1000
_BEFORE_ALL = Key("")


class DeviceRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def add_to(self, app: web.Application, guard: Guard) -> None:
        list_ = guard.wrap(Operation.REGISTRY, READ_DEVICES, self._list)
        get = guard.wrap(Operation.REGISTRY, READ_DEVICES, self._get)
        put = guard.wrap(Operation.REGISTRY, WRITE_DEVICES, self._put)
        delete = guard.wrap(Operation.REGISTRY, DELETE_DEVICES, self._delete)
        statistics = guard.wrap(Operation.REGISTRY, READ_STATISTICS, self._statistics)
        service = guard.wrap(Operation.REGISTRY, READ_STATISTICS, self._service_statistics)
        # The official Node client lists with a slash at the end.
        app.router.add_get("/devices", list_, allow_head=False)
        app.router.add_get("/devices/", list_, allow_head=False)
        app.router.add_get("/devices/{device_id}", get, allow_head=False)
        app.router.add_put("/devices/{device_id}", put)
        app.router.add_delete("/devices/{device_id}", delete)
        app.router.add_get("/statistics/devices", statistics, allow_head=False)
        app.router.add_get("/statistics/service", service, allow_head=False)

    async def _list(self, request: web.Request) -> web.Response:
        top = request.query.get("top", str(MAX_TOP))
        if not top.isdecimal() or not 1 <= int(top) <= MAX_TOP:
            raise invalid(f"top must be between 1 and {MAX_TOP}.")
        devices = self._registry.scan(Kind.DEVICES, _BEFORE_ALL, int(top))
        return web.json_response([device_document(d, version_of(request)) for d in devices])

    async def _get(self, request: web.Request) -> web.Response:
        return _answer(request, expect(self._registry, device_key(request)))

    async def _put(self, request: web.Request) -> web.Response:
        identity = _read_device(device_key(request), await body_of(request))
        etag = if_match(request)
        if etag is None:
            return _answer(request, self._registry.create(identity))
        self._check_scope(identity)
        return _answer(request, self._registry.update(identity, if_match=etag))

    def _check_scope(self, identity: Identity) -> None:
        """What updates an edge device has to name its scope (live hub)."""
        current = self._registry.find(identity.key)
        stays_edge = identity.iot_edge and current is not None and current.identity.iot_edge
        if stays_edge and not identity.device_scope:
            raise invalid("Device scope is immutable")

    async def _delete(self, request: web.Request) -> web.Response:
        self._registry.delete(device_key(request), if_match=required_if_match(request))
        return web.Response(status=204)

    async def _statistics(self, request: web.Request) -> web.Response:
        counted = self._registry.statistics()
        shown = {
            "totalDeviceCount": counted.enabled + counted.disabled,
            "enabledDeviceCount": counted.enabled,
            "disabledDeviceCount": counted.disabled,
        }
        return web.json_response(shown)

    async def _service_statistics(self, request: web.Request) -> web.Response:
        return web.json_response({"connectedDeviceCount": 0})


def _read_device(key: Key, text: str) -> Identity:
    with malformed_is_refused():
        body = parse_object(text, dotnet_type="Microsoft.Azure.Devices.Device")
        if body.string("deviceId") not in (None, key.device_id):
            raise invalid("The device id of the body is not that of the path.")
        dotnet_type = "Microsoft.Azure.Devices.DeviceStatus"
        status = body.enum("status", DeviceStatus, dotnet_type) or DeviceStatus.ENABLED
        return Identity.read(body)(key=key, status=status)


def _answer(request: web.Request, entry: Entry) -> web.Response:
    return answer(device_document(entry, version_of(request)), entry.etag)
