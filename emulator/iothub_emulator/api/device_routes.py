"""Devices and modules of the data plane, as recorded from a live hub.

It differs from the published pages: create answers 200 instead of 201, and both update and delete
require If-Match. Modules follow the rules of devices, but have no ETag header.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from iothub_emulator.api.documents import device_document, module_document, unzoned
from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import (
    MODULES_VERSION,
    answer,
    bad_request_if_malformed,
    body_of,
    device_key,
    existing,
    existing_device_of_module,
    if_match,
    json_answer,
    module_key,
    required_if_match,
    version_of,
)
from iothub_emulator.auth.access import (
    DELETE_DEVICES,
    READ_DEVICES,
    READ_STATISTICS,
    WRITE_DEVICES,
)
from iothub_emulator.choices import Choices
from iothub_emulator.errors import invalid
from iothub_emulator.json_net import parse_object
from iothub_emulator.registry.entries import FIRST_KEY, Entry, Kind
from iothub_emulator.registry.identity import DEVICE, MODULE, DeviceStatus, Identity, Key
from iothub_emulator.registry.registry import Registry

MAX_TOP = 1000
_DEVICE = "/devices/{device_id}"
_MODULES = "/devices/{device_id}/modules"
_MODULE = "/devices/{device_id}/modules/{module_id}"


class DeviceRoutes:
    def __init__(self, registry: Registry, choices: Choices) -> None:
        self._registry = registry
        self._is_linked = choices.device_registry == "linked"

    def routes(self) -> list[Route]:
        modules = MODULES_VERSION
        return [
            Route("GET", "/devices", READ_DEVICES, self._list),
            Route("GET", _DEVICE, READ_DEVICES, self._get),
            Route("PUT", _DEVICE, WRITE_DEVICES, self._put),
            Route("DELETE", _DEVICE, DELETE_DEVICES, self._delete),
            Route("GET", "/statistics/devices", READ_STATISTICS, self._statistics),
            Route("GET", "/statistics/service", READ_STATISTICS, self._service_statistics),
            Route("GET", _MODULES, READ_DEVICES, self._list_modules, since=modules),
            Route("GET", _MODULE, READ_DEVICES, self._get_module, since=modules),
            Route("PUT", _MODULE, WRITE_DEVICES, self._put_module, since=modules),
            Route("DELETE", _MODULE, DELETE_DEVICES, self._delete_module, since=modules),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        top = request.query.get("top", str(MAX_TOP))
        try:
            count = int(top)
        except ValueError:
            raise invalid("top must be a number.") from None
        # A value out of range counts as 1000 (REST page "Devices - Get Devices").
        count = count if 1 <= count <= MAX_TOP else MAX_TOP
        devices = self._registry.scan(Kind.DEVICES, FIRST_KEY, count)
        return json_answer([self._document(request, device) for device in devices])

    async def _get(self, request: web.Request) -> web.Response:
        return self._answer(request, existing(self._registry, device_key(request)))

    async def _put(self, request: web.Request) -> web.Response:
        identity = _read_device(device_key(request), await body_of(request))
        etag = if_match(request)
        if etag is None:
            return self._answer(request, self._registry.create(identity), is_new=True)
        self._check_scope(identity)
        return self._answer(request, self._registry.update(identity, if_match=etag))

    def _check_scope(self, identity: Identity) -> None:
        """An update of an edge device must contain its scope (live hub)."""
        current = self._registry.find(identity.key)
        stays_edge = identity.iot_edge and current is not None and current.identity.iot_edge
        if stays_edge and not identity.device_scope:
            raise invalid("Device scope is immutable")

    async def _delete(self, request: web.Request) -> web.Response:
        self._registry.delete(device_key(request), if_match=required_if_match(request))
        return web.Response(status=204)

    def _answer(self, request: web.Request, entry: Entry, *, is_new: bool = False) -> web.Response:
        document = self._document(request, entry)
        return answer(unzoned(document) if is_new else document, entry.etag)

    def _document(self, request: web.Request, entry: Entry) -> dict[str, Any]:
        return device_document(entry, version_of(request), is_linked=self._is_linked)

    async def _statistics(self, request: web.Request) -> web.Response:
        counts = self._registry.count_by_status()
        enabled, disabled = counts[DeviceStatus.ENABLED], counts[DeviceStatus.DISABLED]
        document = {
            "totalDeviceCount": enabled + disabled,
            "enabledDeviceCount": enabled,
            "disabledDeviceCount": disabled,
        }
        return json_answer(document)

    async def _service_statistics(self, request: web.Request) -> web.Response:
        return json_answer({"connectedDeviceCount": 0})

    async def _list_modules(self, request: web.Request) -> web.Response:
        device = existing_device_of_module(request, self._registry)
        modules = self._registry.modules(device.identity.key.device_id)
        return json_answer([module_document(module, version_of(request)) for module in modules])

    async def _get_module(self, request: web.Request) -> web.Response:
        existing_device_of_module(request, self._registry)
        return _module_answer(request, existing(self._registry, module_key(request)))

    async def _put_module(self, request: web.Request) -> web.Response:
        existing_device_of_module(request, self._registry)
        identity = _read_module(module_key(request), await body_of(request))
        etag = if_match(request)
        if etag is None:
            return _module_answer(request, self._registry.create(identity), is_new=True)
        return _module_answer(request, self._registry.update(identity, if_match=etag))

    async def _delete_module(self, request: web.Request) -> web.Response:
        existing_device_of_module(request, self._registry)
        self._registry.delete(module_key(request), if_match=required_if_match(request))
        return web.Response(status=204)


def _read_device(key: Key, text: str) -> Identity:
    with bad_request_if_malformed():
        body = parse_object(text, DEVICE)
        if body.string("deviceId") not in (None, key.device_id):
            raise invalid("The device id of the body is not that of the path.")
        status = body.enum("status", DeviceStatus) or DeviceStatus.ENABLED
        return Identity.read(body)(key=key, status=status)


def _read_module(key: Key, text: str) -> Identity:
    with bad_request_if_malformed():
        body = parse_object(text, MODULE)
        ids = (body.string("deviceId"), body.string("moduleId"))
        if ids[0] not in (None, key.device_id) or ids[1] not in (None, key.module_id):
            raise invalid("The ids of the body are not those of the path.")
        return Identity.read(body)(key=key, status=DeviceStatus.ENABLED)


def _module_answer(request: web.Request, entry: Entry, *, is_new: bool = False) -> web.Response:
    document = module_document(entry, version_of(request))
    return json_answer(unzoned(document) if is_new else document)
