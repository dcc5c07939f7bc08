"""The webhook to which Event Grid posts blob events (HttpRequestProcessor of the extension)."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

from aiohttp import web

from local.host.errors import UsageError
from local.host.messages import function_id

__all__ = ["BlobWebhook"]

logger = logging.getLogger(__name__)

Announce = Callable[[str, str, str | None, str, str], None]


class BlobWebhook:
    """``/runtime/webhooks/blobs?functionName=Host.Functions.NAME``

    Parameters
    ----------
    announce:
        Called with container, blob, function, ETag and blob type of each event.
    fail:
        Called after an event that ends the host in Azure.
    """

    path: Final = "runtime/webhooks/blobs"

    def __init__(self, announce: Announce, fail: Callable[[UsageError], None]) -> None:
        self._announce = announce
        self._fail = fail

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        if request.method == "OPTIONS":
            return web.Response()
        match request.headers.get("aeg-event-type", "").lower():
            case "subscriptionvalidation" | "notification" as kind:
                try:
                    content = json.loads(body)
                    events = content if isinstance(content, list) else [content]
                    if kind == "subscriptionvalidation":
                        answer = {"validationResponse": events[0]["data"]["validationCode"]}
                        return web.Response(text=json.dumps(answer))
                    for event in events:
                        await self._deliver(event["data"], request.query["functionName"])
                except UsageError as error:
                    self._fail(UsageError(f"an event ended the host, as in Azure: {error}"))
                except Exception as error:
                    # Details of an event can contain addresses with a signature.
                    logger.error("the events cannot be handled: %s", type(error).__name__)
                    return web.Response(status=500)
                return web.Response(status=202)
            case "unsubscribe":
                return web.Response(status=202)
        return web.Response(status=400)

    async def _deliver(self, data: dict[str, str], function: str) -> None:
        container, blob = _location(data["url"])
        prefix = function_id("")
        if not function.startswith(prefix):
            raise UsageError(f"unknown function '{function}'")
        if not blob:
            raise UsageError("its address has no blob name")
        name = function.removeprefix(prefix)
        version = data.get("eTag", ""), data.get("blobType", "BlockBlob")
        await asyncio.to_thread(self._announce, container, blob, name, *version)


def _location(url: str) -> tuple[str, str]:
    """Return container and blob; an address with an IP starts with the account's name."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("the address has no host")
    path = parts.path.removeprefix("/")
    if _is_ip(parts.hostname):
        path = path.partition("/")[2]
    container, _, blob = path.partition("/")
    return container, unquote(blob)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
