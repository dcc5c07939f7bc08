"""What every request of the hub's API passes: counting, faults, token, api-version."""

from __future__ import annotations

import asyncio
import logging
import uuid

from aiohttp import web

from iothub_emulator.api.answers import error_response, refusal
from iothub_emulator.api.requests import Handler
from iothub_emulator.api.versions import API_VERSIONS
from iothub_emulator.auth.authorizer import Authorizer, Call
from iothub_emulator.auth.permissions import Permission
from iothub_emulator.errors import ErrorCode, HubError, Shape
from iothub_emulator.faults import REQUEST_FAULTS, Fault, FaultKind, Faults, Operation

LOG = logging.getLogger(__name__)


class Guard:
    """Wraps the handlers of the hub's API."""

    def __init__(self, faults: Faults, authorizer: Authorizer) -> None:
        self._faults = faults
        self._authorizer = authorizer
        #: Requests per operation since the start, refused ones included.
        self.requests = dict.fromkeys(Operation, 0)

    def wrap(self, operation: Operation, needed: Permission, handler: Handler) -> Handler:
        async def carry_out(request: web.Request) -> web.Response:
            try:
                self._authorizer.authorize(_call(request), needed)
                _check_version(request.query.get("api-version"))
                return await handler(request)
            except HubError as error:
                return refusal(error)

        async def guarded(request: web.Request) -> web.Response:
            self.requests[operation] += 1
            fault = self._faults.take(operation, REQUEST_FAULTS)
            if fault is None:
                response = await carry_out(request)
            else:
                LOG.info("fault %s for %s", fault.kind, operation)
                response = await _faulty(fault, request, operation, carry_out)
            response.headers["x-ms-request-id"] = str(uuid.uuid4())
            LOG.info("%s %s -> %s", request.method, request.path, response.status)
            return response

        return guarded


def _call(request: web.Request) -> Call:
    # Tokens are ASCII; what else a header holds makes them wrong, but has no form to be hashed in.
    authorization = request.headers.get("Authorization", "").encode("ascii", "replace").decode()
    return Call(request.method, request.host, request.path, authorization)


def _check_version(version: str | None) -> None:
    if version not in API_VERSIONS:
        message = f"The api-version '{version}' is not supported."
        raise HubError(ErrorCode.InvalidProtocolVersion, message)


async def _faulty(
    fault: Fault, request: web.Request, operation: Operation, carry_out: Handler
) -> web.Response:
    match fault.kind:
        case FaultKind.REFUSE:
            return _hang_up(request)
        case FaultKind.THROTTLE:
            return _throttled(operation)
        case FaultKind.FAIL_OVER:
            return refusal(HubError(ErrorCode.IotHubFailingOver, "The hub is failing over."))
        case FaultKind.ERROR:
            return error_response(fault.status, fault.code, fault.message, fault.shape)
        case FaultKind.DROP_REPLY:
            await carry_out(request)
            return _hang_up(request)
        case _:
            response = await carry_out(request)
            await asyncio.sleep(fault.seconds)
            return response


def _hang_up(request: web.Request) -> web.Response:
    """Close the connection; the response is for the server's own use and goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _throttled(operation: Operation) -> web.Response:
    """A live hub sends no Retry-After and closes the connection."""
    message = (
        "The request has been throttled. Wait 10 seconds and try again. "
        f"Operation type: {operation[0].upper()}{operation[1:]}"
    )
    code = ErrorCode.ThrottlingBacklogTimeout
    response = error_response(code.status, code.name, message, Shape.E1)
    response.force_close()
    return response
