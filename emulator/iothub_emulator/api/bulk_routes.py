"""The bulk request: up to 100 lines of an import file, carried out within the request.

Its body is a bare array (live hub); the REST page wraps it in an object.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from iothub_emulator.api.guard import Guard
from iothub_emulator.api.requests import body_of, malformed_is_refused
from iothub_emulator.auth.permissions import WRITE_DEVICES
from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.faults import Operation
from iothub_emulator.jobs.importing import apply_line
from iothub_emulator.json_net import parse_array
from iothub_emulator.registry.identity import DeviceStatus, Key
from iothub_emulator.registry.lines import ImportLine, ImportMode, read_line
from iothub_emulator.registry.registry import Registry

MAX_DEVICES = 100
#: Texts of the C# client, which checks the same.
_ETAG_RULES = {
    ImportMode.CREATE: (False, "The ETag should not be set while registering the device."),
    ImportMode.UPDATE_IF_MATCH_ETAG: (True, "The ETag should be set while updating the device."),
    ImportMode.DELETE_IF_MATCH_ETAG: (True, "The ETag should be set while deleting the device."),
}


class BulkRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def add_to(self, app: web.Application, guard: Guard) -> None:
        app.router.add_post("/devices", guard.wrap(Operation.REGISTRY, WRITE_DEVICES, self._bulk))

    async def _bulk(self, request: web.Request) -> web.Response:
        with malformed_is_refused():
            bodies = parse_array(await body_of(request))
            # Clients leave the status out where it says nothing, as when they delete.
            lines = [read_line(body, DeviceStatus.ENABLED) for body in bodies]
        if len(lines) > MAX_DEVICES:
            message = f"A bulk request has at most {MAX_DEVICES} devices."
            raise HubError(ErrorCode.TooManyDevices, message)
        errors = self._apply(lines)
        result = {"isSuccessful": not errors, "errors": errors, "warnings": []}
        return web.json_response(result, status=400 if errors else 200)

    def _apply(self, lines: list[ImportLine]) -> list[dict[str, Any]]:
        errors = []
        seen: set[Key] = set()
        for line in lines:
            try:
                if line.key in seen:
                    raise HubError(ErrorCode.DeviceDefinedMultipleTimes, str(line.key))
                seen.add(line.key)
                _check_etag(line)
                apply_line(self._registry, line)
            except HubError as error:
                errors.append(_shown(line, error))
        return errors


def _check_etag(line: ImportLine) -> None:
    needed, text = _ETAG_RULES.get(line.mode, (line.etag is not None, ""))
    if needed != (line.etag is not None):
        raise HubError(ErrorCode.ArgumentInvalid, text)


def _shown(line: ImportLine, error: HubError) -> dict[str, Any]:
    """Codes are names here, where importErrors.log has numbers (service swagger)."""
    shown = {
        "deviceId": line.key.device_id,
        "errorCode": error.code.name,
        "errorStatus": error.message,
    }
    return shown if line.key.module_id is None else shown | {"moduleId": line.key.module_id}
