"""What the handlers of the hub's API read from requests, and how they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.json_net import JsonNetError
from iothub_emulator.registry.entry import Entry
from iothub_emulator.registry.identity import DeviceStatus, Key
from iothub_emulator.registry.registry import Registry, not_registered

Handler = Callable[[web.Request], Awaitable[web.Response]]


def device_key(request: web.Request) -> Key:
    return Key(request.match_info["device_id"])


def module_key(request: web.Request) -> Key:
    return Key(request.match_info["device_id"], request.match_info["module_id"])


async def body_of(request: web.Request) -> str:
    """The body as .NET reads it: without a byte order mark, and what is no UTF-8 replaced."""
    return (await request.read()).decode("utf-8-sig", "replace")


def if_match(request: web.Request) -> str | None:
    """The header is accepted with quotes and without (live hub)."""
    header = request.headers.get("If-Match")
    return header and header.strip('"')


def required_if_match(request: web.Request) -> str:
    """What a delete has to name (live hub; the REST pages say otherwise)."""
    etag = if_match(request)
    if etag is None:
        raise HubError(ErrorCode.PreconditionFailed, "Etag missing")
    return etag


@contextmanager
def malformed_is_refused() -> Iterator[None]:
    """A body that is not JSON of the wanted form is a bad request."""
    try:
        yield
    except JsonNetError as error:
        raise HubError(ErrorCode.GenericBadRequest, str(error)) from None


def expect(registry: Registry, key: Key) -> Entry:
    entry = registry.find(key)
    if entry is None:
        raise not_registered(key)
    return entry


def expect_device_of_module(request: web.Request, registry: Registry) -> Entry:
    """Under a SAS, calls about modules of a missing or disabled device answer 401 (live hub)."""
    device = registry.find(device_key(request))
    by_sas = request.headers["Authorization"].lower().startswith("sharedaccesssignature")
    usable = device is not None and device.identity.status is DeviceStatus.ENABLED
    if by_sas and not usable:
        raise HubError(ErrorCode.IotHubUnauthorizedAccess, "Unauthorized")
    if device is None:
        raise not_registered(device_key(request))
    return device


def answer(document: Any, etag: str) -> web.Response:
    return web.json_response(document, headers={"ETag": f'"{etag}"'})
