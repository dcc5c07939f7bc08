"""Devices, modules and twins of the data plane, as recorded from a live hub.

It differs from the published pages: create answers 200 and not 201, an update needs If-Match,
and so does a delete.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local.hub.api.guard import Guard, Handler
from local.hub.auth.permissions import (
    DELETE_DEVICES,
    READ_DEVICES,
    READ_TWINS,
    WRITE_DEVICES,
    Permission,
)
from local.hub.errors import ErrorCode, HubError
from local.hub.faults import Operation
from local.hub.json_net import JsonNetError, parse_object
from local.hub.registry.identity import DeviceStatus, Identity, Key, invalid
from local.hub.registry.registry import Entry, Registry, not_registered

MAX_TOP = 1000
#: How .NET prints a time that never was.
_NEVER = "0001-01-01T00:00:00Z"


class RegistryRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def add_to(self, app: web.Application, guard: Guard) -> None:
        def read(path: str, handler: Handler, needed: Permission = READ_DEVICES) -> None:
            guarded = guard.wrap(Operation.REGISTRY, needed, handler)
            app.router.add_get(path, guarded, allow_head=False)

        read("/devices", self._list_devices)
        read("/devices/{device_id}", self._get_device)
        read("/devices/{device_id}/modules", self._list_modules)
        read("/devices/{device_id}/modules/{module_id}", self._get_module)
        read("/twins/{device_id}", self._get_twin, READ_TWINS)
        put = guard.wrap(Operation.REGISTRY, WRITE_DEVICES, self._put_device)
        delete = guard.wrap(Operation.REGISTRY, DELETE_DEVICES, self._delete_device)
        app.router.add_put("/devices/{device_id}", put)
        app.router.add_delete("/devices/{device_id}", delete)

    async def _list_devices(self, request: web.Request) -> web.Response:
        top = request.query.get("top", str(MAX_TOP))
        if not top.isdecimal() or not 1 <= int(top) <= MAX_TOP:
            raise invalid(f"top must be between 1 and {MAX_TOP}.")
        return web.json_response([_shown(entry) for entry in self._registry.devices(int(top))])

    async def _get_device(self, request: web.Request) -> web.Response:
        return _answer(self._expect(_device_key(request)))

    async def _put_device(self, request: web.Request) -> web.Response:
        identity = _read_device(_device_key(request), await request.text())
        if_match = _if_match(request)
        if if_match is None:
            return _answer(self._registry.create(identity))
        return _answer(self._registry.update(identity, if_match=if_match))

    async def _delete_device(self, request: web.Request) -> web.Response:
        if_match = _if_match(request)
        if if_match is None:
            raise HubError(ErrorCode.PreconditionFailed, "Etag missing")
        self._registry.delete(_device_key(request), if_match=if_match)
        return web.Response(status=204)

    async def _list_modules(self, request: web.Request) -> web.Response:
        device = self._expect_enabled(_device_key(request))
        modules = self._registry.modules(device.identity.key.device_id)
        return web.json_response([_shown(entry) for entry in modules])

    async def _get_module(self, request: web.Request) -> web.Response:
        device = self._expect_enabled(_device_key(request))
        key = Key(device.identity.key.device_id, request.match_info["module_id"])
        return _answer(self._expect(key))

    async def _get_twin(self, request: web.Request) -> web.Response:
        entry = self._expect(_device_key(request))
        twin = entry.twin
        shown = {
            "deviceId": entry.identity.key.device_id,
            "etag": twin.etag,
            "deviceEtag": entry.etag,
            "version": twin.version,
            "status": entry.identity.status.value,
            "authenticationType": entry.identity.credentials.type.value,
            "tags": twin.tags,
            "properties": {
                "desired": {**twin.desired, "$version": twin.desired_version},
                "reported": {"$version": 1},
            },
        }
        return web.json_response(shown, headers={"ETag": f'"{twin.etag}"'})

    def _expect(self, key: Key) -> Entry:
        entry = self._registry.find(key)
        if entry is None:
            raise not_registered(key)
        return entry

    def _expect_enabled(self, key: Key) -> Entry:
        """Module calls under SAS answer 401 when the device is missing or disabled."""
        entry = self._registry.find(key)
        if entry is None or entry.identity.status is DeviceStatus.DISABLED:
            raise HubError(ErrorCode.IotHubUnauthorizedAccess, "Unauthorized")
        return entry


def _device_key(request: web.Request) -> Key:
    return Key(request.match_info["device_id"])


def _if_match(request: web.Request) -> str | None:
    """The header is accepted with quotes and without."""
    header = request.headers.get("If-Match")
    return header and header.strip('"')


def _read_device(key: Key, text: str) -> Identity:
    try:
        body = parse_object(text)
        if body.string("deviceId") not in (None, key.device_id):
            raise invalid("The device id of the body is not that of the path.")
        dotnet_type = "Microsoft.Azure.Devices.DeviceStatus"
        status = body.enum("status", DeviceStatus, dotnet_type) or DeviceStatus.ENABLED
        return Identity.read(body, key, status)
    except JsonNetError as error:
        raise HubError(ErrorCode.GenericBadRequest, str(error)) from None


def _answer(entry: Entry) -> web.Response:
    return web.json_response(_shown(entry), headers={"ETag": f'"{entry.etag}"'})


def _shown(entry: Entry) -> dict[str, Any]:
    """A device or module as single requests show it, which is not the form of import files."""
    identity = entry.identity
    shown: dict[str, Any] = {
        "deviceId": identity.key.device_id,
        "generationId": entry.generation_id,
        "etag": entry.etag,
        "connectionState": "Disconnected",
        "connectionStateUpdatedTime": _NEVER,
        "lastActivityTime": _NEVER,
        "cloudToDeviceMessageCount": 0,
        "authentication": identity.credentials.to_json(),
    }
    if identity.key.module_id is not None:
        return shown | {"moduleId": identity.key.module_id, "managedBy": None}
    shown |= {
        "status": identity.status.value,
        "statusReason": identity.status_reason,
        "statusUpdatedTime": _NEVER,
        "capabilities": {"iotEdge": identity.iot_edge},
    }
    if identity.device_scope is not None:
        shown["deviceScope"] = identity.device_scope
        shown["parentScopes"] = list(identity.parent_scopes)
    return shown
