"""What every request of the hub's API passes before its handler: injected faults, token,
api-version and body size. Refusals that concern all operations belong here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web

from iothub_emulator.api.requests import FIRST_VERSION, LATEST_VERSION, Handler, version_of
from iothub_emulator.auth.access import Permission
from iothub_emulator.auth.authorizer import Authorizer, Call
from iothub_emulator.errors import ErrorCode, HubError, Shape, compact, error_body, server_error
from iothub_emulator.faults import REQUEST_FAULTS, Fault, FaultKind, Faults, Operation

LOG = logging.getLogger(__name__)

_OVERRIDABLE = frozenset({"PATCH", "PUT", "DELETE"})

#: Bytes that aiohttp accepts: enough for a bulk request of 100 devices with the largest twins.
MAX_BODY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Route:
    """An operation of the hub's API and what it requires."""

    method: str
    path: str
    permission: Permission
    handler: Handler
    #: What faults aim at and requests are counted by.
    operation: Operation = Operation.REGISTRY
    #: The first and last api-version that have the operation.
    since: str = FIRST_VERSION
    until: str = LATEST_VERSION


class RequestChecks:
    """Runs the checks, counts requests and turns refusals into answers."""

    def __init__(self, faults: Faults, authorizer: Authorizer) -> None:
        self._faults = faults
        self._authorizer = authorizer
        #: Requests per operation since the start, including refused ones.
        self.requests = dict.fromkeys(Operation, 0)

    def add_routes(self, app: web.Application, routes: Iterable[Route]) -> None:
        """Add all routes. A slash at the end of a path and its letter case change nothing."""
        by_path: dict[str, dict[str, Handler]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = self._checked(route)
        # The first match decides: a device "query" does not hide /devices/query.
        for path, handlers in sorted(by_path.items(), key=lambda item: item[0].count("{")):
            if _OVERRIDABLE & handlers.keys():
                handlers["POST"] = _overridable(handlers)
            for method, handler in handlers.items():
                app.router.add_route(method, f"{_in_any_case(path)}{{_:/?}}", handler)

    def _checked(self, route: Route) -> Handler:
        async def carry_out(request: web.Request) -> web.Response:
            try:
                self._authorizer.authorize(_call(route, request), route.permission)
                _check_version(route, version_of(request))
                return await route.handler(request)
            except HubError as error:
                return _refusal(error)
            except ConnectionError:
                raise  # The client has gone.
            except Exception:
                LOG.exception("%s %s failed", route.method, request.rel_url.raw_path)
                return _refusal(server_error())

        async def handle(request: web.Request) -> web.Response:
            self.requests[route.operation] += 1
            fault = self._faults.take(route.operation, REQUEST_FAULTS)
            if fault is None:
                response = await carry_out(request)
            else:
                LOG.info("injected fault %s into %s", fault.kind, route.operation)
                response = await _inject(fault, request, route.operation, carry_out)
            # The path as it was sent, so that no line end in it forges a line of the log.
            LOG.info("%s %s -> %s", route.method, request.rel_url.raw_path, response.status)
            return _identified(response)

        return handle


@web.middleware
async def refuse_unknown_routes(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer 404 and 405 in the form of the hub's API."""
    match request.match_info.http_exception:
        case web.HTTPMethodNotAllowed() as error:
            # Where other methods can be overridden, POST is only for that.
            allowed = error.allowed_methods
            return _method_not_allowed(
                request, allowed - {"POST"} if allowed & _OVERRIDABLE else allowed
            )
        case web.HTTPNotFound():
            message = f"No resource matches {request.path}."
            return _identified(_refusal(HubError(ErrorCode.GenericNotFound, message)))
    return await handler(request)


def _in_any_case(path: str) -> str:
    """The pattern of a path, in which only ids are case-sensitive."""
    return re.sub(r"(?<=/)\w+", lambda word: f"{{_{word.start()}:(?i:{word[0]})}}", path)


def _overridable(handlers: Mapping[str, Handler]) -> Handler:
    """Handle POST, which the Java client sends in place of other methods."""
    handlers = dict(handlers)

    async def handle(request: web.Request) -> web.Response:
        method = request.headers.get("X-HTTP-Method-Override", "").upper()
        if method not in _OVERRIDABLE:
            method = "POST"
        if method not in handlers:
            return _method_not_allowed(request, handlers)
        return await handlers[method](request)

    return handle


def _method_not_allowed(request: web.Request, allowed: Iterable[str]) -> web.Response:
    message = f"{request.path} does not support {request.method}."
    response = _refusal(HubError(ErrorCode.GenericMethodNotAllowed, message))
    response.headers["Allow"] = ", ".join(sorted(allowed))
    return _identified(response)


def _identified(response: web.Response) -> web.Response:
    response.headers["x-ms-request-id"] = str(uuid.uuid4())
    return response


def _call(route: Route, request: web.Request) -> Call:
    # Valid tokens are ASCII; other characters in the header cannot be hashed.
    authorization = request.headers.get("Authorization", "").encode("ascii", "replace").decode()
    return Call(route.method, request.host, request.path, authorization)


def _check_version(route: Route, version: str) -> None:
    if not route.since <= version <= route.until:
        message = f"The api-version '{version}' does not have this operation."
        raise HubError(ErrorCode.InvalidProtocolVersion, message)


def _refusal(error: HubError) -> web.Response:
    return _error_response(error.code.status, error.code.name, error.message, error.shape)


def _error_response(status: int, name: str, message: str, shape: Shape) -> web.Response:
    if shape is Shape.E7:
        return web.Response(status=status, text=message)
    return web.Response(
        status=status,
        text=compact(error_body(shape, status, name, message)),
        content_type="application/json",
        headers={"iothub-errorcode": name},
    )


async def _inject(
    fault: Fault, request: web.Request, operation: Operation, carry_out: Handler
) -> web.Response:
    match fault.kind:
        case FaultKind.REFUSE:
            return _abort_connection(request)
        case FaultKind.THROTTLE:
            return _throttled(operation)
        case FaultKind.FAIL_OVER:
            return _refusal(HubError(ErrorCode.IotHubFailingOver, "The hub is failing over."))
        case FaultKind.ERROR:
            return _error_response(fault.status, fault.code, fault.message, fault.shape)
        case FaultKind.DROP_REPLY:
            await carry_out(request)
            return _abort_connection(request)
        case _:
            response = await carry_out(request)
            await asyncio.sleep(fault.seconds)
            return response


def _abort_connection(request: web.Request) -> web.Response:
    """Close the connection; aiohttp needs the returned response but cannot send it."""
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
    response = _error_response(code.status, code.name, message, Shape.E1)
    response.force_close()
    return response
