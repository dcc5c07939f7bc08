"""The address to which Event Grid posts blob events; useful with any HTTP client locally.

``POST /runtime/webhooks/blobs?functionName=Host.Functions.NAME`` with events in the Event Grid
schema, as for a host run by Core Tools (WebJobs SDK, BlobsExtensionConfigProvider).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from azure.storage.blob import BlobClient

from local.host.errors import UsageError
from local.host.messages import function_id

__all__ = ["add_blob_webhook"]

_PATH: Final = "/runtime/webhooks/blobs"
_VALIDATION: Final = "Microsoft.EventGrid.SubscriptionValidationEvent"

Announce = Callable[[str, str, str | None], None]


def add_blob_webhook(application: web.Application, announce: Announce) -> None:
    """Add the route; ``announce`` takes container, blob and the name of the function."""

    async def handle(request: web.Request) -> web.Response:
        function = request.query.get("functionName", "").removeprefix(function_id(""))
        try:
            events = await request.json()
            for event in events:
                if event.get("eventType") == _VALIDATION:
                    return web.json_response(
                        {"validationResponse": event["data"]["validationCode"]}
                    )
                container, blob = _location(event)
                await asyncio.to_thread(announce, container, blob, function)
        except (UsageError, ValueError, KeyError, TypeError, AttributeError) as error:
            return web.Response(status=400, text=f"not accepted: {error!r}")
        return web.Response(status=202)

    application.router.add_post(_PATH, handle)


def _location(event: Any) -> tuple[str, str]:
    with BlobClient.from_blob_url(event["data"]["url"]) as blob:
        return blob.container_name, blob.blob_name
