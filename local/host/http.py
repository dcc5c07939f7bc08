"""HTTP functions, served with aiohttp."""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import azure.functions as func
from aiohttp import HttpVersion11, web
from azure.functions.http import HttpRequest
from multidict import CIMultiDict

from local.host.errors import SettingsError
from local.host.invocation import Invoker
from local.host.keys import Keys, Level
from local.host.routing import decode_path, encode_path, match, parameters, precedence
from local.host.triggers import HostedFunction, HttpTrigger
from local.host.webhook import BlobWebhook

__all__ = ["Endpoints", "HttpServer", "body_limit"]

logger = logging.getLogger(__name__)

_LIMIT_SETTING: Final = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
_BODY_LIMIT: Final = 100 * 1024**2  # bytes
_REQUEST_LINE_LIMIT: Final = 8192  # bytes; Kestrel, MaxRequestLineSize
_HEADERS_LIMIT: Final = 32 * 1024  # bytes; Kestrel, MaxRequestHeadersTotalSize
_SHUTDOWN_TIMEOUT: Final = 1.0  # seconds for running requests
#: aiohttp logs a request that is not valid HTTP, and its key with it.
_NO_LOG: Final = logging.Logger("aiohttp", logging.CRITICAL + 1)
_HOME_PAGE: Final = "<!DOCTYPE html><title>Functions</title><p>The local functions host runs {}."


def body_limit(settings: Mapping[str, str]) -> int:
    """Bytes of the largest body; SettingsError if the app setting is invalid."""
    value = settings.get(_LIMIT_SETTING, str(_BODY_LIMIT))
    if not (value.isascii() and value.isdigit()):
        raise SettingsError(f"{_LIMIT_SETTING} must be a number of bytes")
    return int(value)


class HttpServer:
    """Serves HTTP on a loopback port; its methods run on the host's event loop."""

    def __init__(
        self, handle: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int
    ) -> None:
        # No limit: the handler checks it before it reads a body.
        self._application = web.Application(client_max_size=0)
        self._application.router.add_route("*", r"/{path:[\s\S]*}", handle)
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Start listening; return the address with the actual port."""
        self._runner = web.AppRunner(
            self._application,
            access_log=None,
            logger=_NO_LOG,
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
            auto_decompress=False,
            # The handler answers longer lines, which aiohttp would answer with 400.
            max_line_size=128 * _REQUEST_LINE_LIMIT,
            max_field_size=_HEADERS_LIMIT,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


class Endpoints:
    """All HTTP functions and the webhook, behind their keys.

    Parameters
    ----------
    keys:
        None if callers need none.
    body_limit:
        Bytes of the largest body.
    """

    def __init__(
        self,
        functions: Mapping[str, HostedFunction],
        invoker: Invoker,
        route_prefix: str,
        webhook: BlobWebhook,
        keys: Keys | None,
        body_limit: int,
    ) -> None:
        triggers = [
            (f"{route_prefix}/{function.trigger.route}".strip("/"), function, function.trigger)
            for function in functions.values()
            if isinstance(function.trigger, HttpTrigger)
        ]
        self._routes = sorted(triggers, key=lambda entry: precedence(entry[0]))
        self._invoker = invoker
        self._webhook = webhook
        self._keys = keys
        self._body_limit = body_limit

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if len(f"{request.method} {request.raw_path} HTTP/1.1") > _REQUEST_LINE_LIMIT:
            return web.Response(status=414)
        try:
            path = decode_path(request.rel_url.raw_path)
        except ValueError:
            return web.Response(status=400)
        if match(self._webhook.path, path) is not None:
            return await self._admit(request, self._webhook.handle, Level.SYSTEM)
        for route, function, trigger in self._routes:
            values = match(route, path)
            if values is not None and (not trigger.methods or request.method in trigger.methods):
                call = self._call_of(function, path, values)
                return await self._admit(request, call, trigger.level, function.name)
        if path == "/":
            names = ", ".join(html.escape(function.name) for _, function, _ in self._routes)
            return web.Response(
                text=_HOME_PAGE.format(names or "no HTTP functions"), content_type="text/html"
            )
        return web.Response(status=404)

    async def _admit(
        self,
        request: web.Request,
        call: Callable[[web.Request, bytes], Awaitable[web.Response]],
        required: Level,
        function: str = "",
    ) -> web.Response:
        """Check the key, read the body, and call."""
        if self._keys is not None:
            key = request.headers.get("x-functions-key", request.query.get("code", ""))
            refusal = self._keys.refusal(key, required, function)
            if refusal is not None:
                return web.Response(status=refusal)
        if (request.content_length or 0) > self._body_limit:
            logger.error("a body has more than %d bytes (%s)", self._body_limit, _LIMIT_SETTING)
            return web.Response(status=500)
        # As in Azure, a body without a length does not reach the function.
        body = b"" if request.content_length is None else await request.read()
        return await call(request, body)

    def _call_of(
        self, function: HostedFunction, path: str, route_values: Mapping[str, str]
    ) -> Callable[[web.Request, bytes], Awaitable[web.Response]]:
        async def call(request: web.Request, body: bytes) -> web.Response:
            query = request.rel_url.raw_query_string
            address = f"{request.scheme}://{request.host}{encode_path(path)}"
            value = HttpRequest(
                method=request.method,
                url=f"{address}?{query}" if query else address,
                headers=dict(request.headers),
                params=parameters(query),
                route_params=dict(route_values),
                body_type="bytes",
                body=body,
            )
            reason = "This function was programmatically called via the host APIs."
            try:
                result = await asyncio.to_thread(self._invoker.invoke, function, value, reason)
            except Exception:
                # The invoker has logged it; the real host sends no details either.
                return web.Response(status=500)
            try:
                response = _response(result)
            except TypeError as error:
                logger.error("function '%s': %s; return str or HttpResponse", function.name, error)
                return web.Response(status=500)
            if (
                response.body
                and request.version == HttpVersion11
                and "Content-Length" not in response.headers
            ):
                response.enable_chunked_encoding()
            return response

        return call


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
