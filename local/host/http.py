"""HTTP triggers, and the webhook to which Event Grid posts blob events, on aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import azure.functions as func
from aiohttp import web
from azure.functions.http import HttpRequest
from azure.storage.blob import BlobClient
from multidict import CIMultiDict

from local.host.errors import UsageError
from local.host.invocation import Invoker
from local.host.messages import function_id
from local.host.triggers import HostedFunction, HttpTrigger

__all__ = ["HttpServer", "add_blob_webhook", "make_application"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BODY_LIMIT: Final = 210 * 1024**2  # bytes; the limit of Azure Functions
_SHUTDOWN_TIMEOUT: Final = 1.0  # seconds for running requests
_WEBHOOK_PATH: Final = "/runtime/webhooks/blobs"
_VALIDATION_EVENT: Final = "Microsoft.EventGrid.SubscriptionValidationEvent"
Announce = Callable[[str, str, str | None], None]


class HttpServer:
    """Serves an application on a loopback port; its methods run on the host's event loop."""

    def __init__(self, application: web.Application, port: int) -> None:
        self._application = application
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Start listening; return the address with the actual port."""
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
    """Per segment, text precedes a parameter, which precedes a catch-all (ASP.NET routing)."""
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
            # The invoker has logged it; the real host sends no details either.
            return web.Response(status=500)

    return handle


def _response(result: Any) -> web.Response:
    """Convert the result of a function (azure.functions, HttpResponseConverter)."""
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


def add_blob_webhook(application: web.Application, announce: Announce) -> None:
    """Add the route to which Event Grid posts blob events, as in Core Tools.

    ``POST /runtime/webhooks/blobs?functionName=Host.Functions.NAME`` with events in the Event Grid
    schema (WebJobs SDK, BlobsExtensionConfigProvider). ``announce`` is called with container, blob
    and function name.
    """

    async def handle(request: web.Request) -> web.Response:
        function = request.query.get("functionName", "").removeprefix(function_id(""))
        try:
            events = await request.json()
            for event in events:
                if event.get("eventType") == _VALIDATION_EVENT:
                    return web.json_response(
                        {"validationResponse": event["data"]["validationCode"]}
                    )
                container, blob = _location(event)
                await asyncio.to_thread(announce, container, blob, function)
        except (UsageError, ValueError, KeyError, TypeError, AttributeError) as error:
            return web.Response(status=400, text=f"invalid events: {error!r}")
        return web.Response(status=202)

    application.router.add_post(_WEBHOOK_PATH, handle)


def _location(event: Any) -> tuple[str, str]:
    with BlobClient.from_blob_url(event["data"]["url"]) as blob:
        return blob.container_name, blob.blob_name
