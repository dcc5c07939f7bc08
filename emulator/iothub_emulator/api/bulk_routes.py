"""The bulk request: up to 100 lines of an import file, applied before the answer.

The body is an array (live hub); the REST page shows an object around it.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import bad_request_if_malformed, body_of, json_answer
from iothub_emulator.auth.access import WRITE_DEVICES
from iothub_emulator.errors import ErrorCode, HubError, invalid
from iothub_emulator.jobs.importing import apply_line
from iothub_emulator.json_net import parse_array
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.lines import BULK_LINE, ImportLine, ImportMode, read_line
from iothub_emulator.registry.registry import Registry

MAX_DEVICES = 100


class BulkRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[Route]:
        return [Route("POST", "/devices", WRITE_DEVICES, self._apply_lines)]

    async def _apply_lines(self, request: web.Request) -> web.Response:
        with bad_request_if_malformed():
            bodies = parse_array(await body_of(request), BULK_LINE)
            lines = [read_line(body) for body in bodies]
        if len(lines) > MAX_DEVICES:
            message = f"A bulk request has at most {MAX_DEVICES} devices."
            raise HubError(ErrorCode.TooManyDevices, message)
        _refuse_repeated(lines)
        errors = self._apply(lines)
        result = {"isSuccessful": not errors, "errors": errors, "warnings": []}
        if not errors:
            return json_answer(result)
        # By this header, which is not that of other errors, the C# client reads the result.
        headers = {"IotHubErrorCode": ErrorCode.BulkRegistryOperationFailure.name}
        return json_answer(result, status=400, headers=headers)

    def _apply(self, lines: list[ImportLine]) -> list[dict[str, Any]]:
        errors = []
        for line in lines:
            try:
                if line.mode is ImportMode.CREATE and line.etag is not None:
                    # Message of the C# client, which checks the same.
                    raise invalid("The ETag should not be set while registering the device.")
                apply_line(self._registry, line)
            except HubError as error:
                errors.append(_error_document(line, error))
        return errors


def _refuse_repeated(lines: list[ImportLine]) -> None:
    """Refuse the whole request if it has a device twice (azure-iot-sdk-csharp#3481)."""
    seen: set[Key] = set()
    for key in (line.key for line in lines):
        if key in seen:
            message = f"DeviceDefinedMultipleTimes, device ID {key.device_id}"
            raise HubError(ErrorCode.DeviceDefinedMultipleTimes, message)
        seen.add(key)


def _error_document(line: ImportLine, error: HubError) -> dict[str, Any]:
    """Codes are numbers, unlike in the service swagger (tests of azure-sdk-for-net)."""
    document = {
        "deviceId": line.key.device_id,
        "errorCode": int(error.code),
        "errorStatus": error.message,
    }
    if line.key.module_id is not None:
        document["moduleId"] = line.key.module_id
    return document
