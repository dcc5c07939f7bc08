"""What every request of the hub's API passes: counting, faults, token, api-version."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from local.hub.api.answers import error_response, refusal
from local.hub.auth.permissions import Permission
from local.hub.auth.sas import authorize
from local.hub.errors import ErrorCode, HubError, Shape
from local.hub.faults import REQUEST_FAULTS, Fault, FaultKind, Faults, Operation

LOG = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]

#: Those that live hubs were seen to accept, and the one of the first published import operation.
API_VERSIONS = frozenset(
    {
        "2016-02-03",
        "2018-06-30",
        "2019-10-01",
        "2020-03-13",
        "2020-05-31-preview",
        "2020-09-30",
        "2021-04-12",
        "2024-03-31",
    }
)


class Guard:
    """Wraps the handlers of the hub's API."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        #: Requests per operation since the start, refused ones included.
        self.requests = dict.fromkeys(Operation, 0)

    def wrap(self, operation: Operation, needed: Permission, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            self.requests[operation] += 1
            fault = self._faults.take(operation, REQUEST_FAULTS)
            if fault is None:
                response = await _carry_out(request, needed, handler)
            else:
                LOG.info("fault %s for %s", fault.kind, operation)
                response = await _faulty(fault, request, operation, needed, handler)
            response.headers["x-ms-request-id"] = str(uuid.uuid4())
            LOG.info("%s %s -> %s", request.method, request.path, response.status)
            return response

        return guarded


async def _carry_out(request: web.Request, needed: Permission, handler: Handler) -> web.Response:
    try:
        authorize(request.headers.get("Authorization"), request.host, request.path, needed.right)
        version = request.query.get("api-version")
        if version not in API_VERSIONS:
            message = f"The api-version '{version}' is not supported."
            raise HubError(ErrorCode.InvalidProtocolVersion, message)
        return await handler(request)
    except HubError as error:
        return refusal(error)


async def _faulty(
    fault: Fault, request: web.Request, operation: Operation, needed: Permission, handler: Handler
) -> web.Response:
    match fault.kind:
        case FaultKind.REFUSE:
            return _hang_up(request)
        case FaultKind.THROTTLE:
            return _throttled(operation)
        case FaultKind.ERROR:
            return error_response(fault.status, fault.code, fault.message, fault.shape)
        case FaultKind.DROP_REPLY:
            await _carry_out(request, needed, handler)
            return _hang_up(request)
        case _:
            response = await _carry_out(request, needed, handler)
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
