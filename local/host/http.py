"""HTTP triggers, and the webhook by which Event Grid reaches blob triggers, on aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import azure.functions as func
from aiohttp import web
from azure.functions.http import HttpRequest
from multidict import CIMultiDict

from local.host.functions import HostedFunction, HttpTrigger
from local.host.invocation import Invoker

__all__ = ["HttpServer", "make_application"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BODY_LIMIT: Final = 210 * 1024**2  # bytes; the limit of Azure Functions
_SHUTDOWN_TIMEOUT: Final = 1.0  # seconds for requests that are still running


class HttpServer:
    """Serves an application on a loopback port; start and stop run on the host's loop."""

    def __init__(self, application: web.Application, port: int) -> None:
        self._application = application
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen and return the address, with the port that was taken when 0 was asked for."""
        self._runner = web.AppRunner(
            self._application, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def make_application(
    functions: Mapping[str, HostedFunction], invoker: Invoker, route_prefix: str
) -> web.Application:
    """Routes for all HTTP functions; literal routes come before those with parameters."""
    application = web.Application(client_max_size=_BODY_LIMIT)
    triggers = [
        (function, function.trigger)
        for function in functions.values()
        if isinstance(function.trigger, HttpTrigger)
    ]
    for function, trigger in sorted(triggers, key=lambda entry: _precedence(entry[1].route)):
        path = _aiohttp_path(f"{route_prefix}/{trigger.route}")
        for method in sorted(trigger.methods) or ["*"]:
            application.router.add_route(method, path, _handler(function, invoker))
    return application


def _precedence(route: str) -> list[int]:
    """Per segment: text before parameter before catch-all, as ASP.NET routing has it."""
    return [
        2 if segment.startswith("{*") else 1 if segment.startswith("{") else 0
        for segment in route.split("/")
    ]


def _aiohttp_path(route: str) -> str:
    segments = [
        f"{{{segment[2:-1]}:.*}}" if segment.startswith("{*") else segment
        for segment in route.split("/")
        if segment
    ]
    return "/" + "/".join(segments)


def _handler(function: HostedFunction, invoker: Invoker) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        value = HttpRequest(
            method=request.method,
            url=str(request.url),
            headers=dict(request.headers),
            params=dict(request.query),
            route_params=dict(request.match_info),
            body_type="bytes",
            body=await request.read(),
        )
        reason = "This function was programmatically called via the host APIs."
        try:
            result = await asyncio.to_thread(invoker.invoke, function, value, reason)
            return _response(result)
        except Exception:
            # The invoker has logged it; the real host shows no details either.
            return web.Response(status=500)

    return handle


def _response(result: Any) -> web.Response:
    """The HTTP answer for what a function returned (azure.functions, HttpResponseConverter)."""
    if result is None:
        return web.Response(status=204)
    if isinstance(result, str):
        return web.Response(text=result)
    if not isinstance(result, func.HttpResponse):
        raise TypeError(f"an HTTP function cannot return {type(result).__name__}")
    headers: CIMultiDict[str] = CIMultiDict(result.headers.items())
    if "Content-Type" not in headers:
        text = result.mimetype.startswith("text/")
        charset = f"; charset={result.charset}" if text else ""
        headers["Content-Type"] = result.mimetype + charset
    return web.Response(status=result.status_code, headers=headers, body=result.get_body())
