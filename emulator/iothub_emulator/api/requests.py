"""What handlers share: api-versions, reading requests, and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from iothub_emulator.errors import ErrorCode, HubError, Shape, compact
from iothub_emulator.json_net import JsonNetError
from iothub_emulator.registry.entries import Entry
from iothub_emulator.registry.identity import DeviceStatus, Key, not_registered
from iothub_emulator.registry.registry import Registry

Handler = Callable[[web.Request], Awaitable[web.Response]]

#: The version of the page on the first import operation.
FIRST_VERSION = "2016-02-03"
#: Added twins and their queries.
TWINS_VERSION = "2016-11-14"
#: Added modules, configurations, and names for the blobs of a job.
MODULES_VERSION = "2018-06-30"
#: Added model ids to twins, for IoT Plug and Play; the version before has none (live hub).
MODELS_VERSION = "2020-05-31-preview"
#: Added attributes of identities, and the resource id of devices in a device registry.
ATTRIBUTES_VERSION = "2025-08-01-preview"
LATEST_VERSION = "2026-11-01-preview"
#: The versions that published clients send; README.md says which.
API_VERSIONS = frozenset(
    {
        FIRST_VERSION,
        "2016-04-25-preview",
        "2016-04-30",
        "2016-09-30-preview",
        TWINS_VERSION,
        "2017-06-30",
        "2017-07-11",
        "2017-10-15",
        "2017-11-08-preview",
        "2018-01-16",
        "2018-03-01-preview",
        MODULES_VERSION,
        "2018-08-30-preview",
        "2019-03-30",
        "2019-06-30",
        "2019-07-01-preview",
        "2019-10-01",
        "2020-03-01",
        "2020-03-13",
        MODELS_VERSION,
        "2020-06-30-preview",
        "2020-09-30",
        "2021-04-12",
        "2024-03-31",
        ATTRIBUTES_VERSION,
        LATEST_VERSION,
    }
)


#: Previews, by the version that made their operations generally available.
_PREVIEWS = {
    "2016-09-30-preview": TWINS_VERSION,
    "2017-11-08-preview": MODULES_VERSION,
    "2018-03-01-preview": MODULES_VERSION,
}


def version_of(request: web.Request) -> str:
    """The version whose operations the requested one has; versions compare as strings.

    HubError 400 InvalidProtocolVersion if it is unknown.
    """
    parameters = {name.lower(): value for name, value in request.query.items()}
    version = parameters.get("api-version", "")
    if version not in API_VERSIONS:
        message = f"The api-version '{version}' is not supported."
        raise HubError(ErrorCode.InvalidProtocolVersion, message)
    return _PREVIEWS.get(version, version)


def device_key(request: web.Request) -> Key:
    return Key(request.match_info["device_id"])


def module_key(request: web.Request) -> Key:
    return Key(request.match_info["device_id"], request.match_info["module_id"])


async def body_of(request: web.Request) -> str:
    """The body as .NET reads it: without byte order mark, invalid UTF-8 replaced."""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise HubError(ErrorCode.GenericRequestEntityTooLarge, error.text or "") from None
    except web.RequestPayloadError:
        message = "The body does not have the encoding that its headers name."
        raise HubError(ErrorCode.InvalidContentEncodingOrType, message) from None
    return body.decode("utf-8-sig", "replace")


def if_match(request: web.Request) -> str | None:
    """The If-Match header, with or without quotes; one that is empty is as none (live hub)."""
    return request.headers.get("If-Match", "").strip('"') or None


def required_if_match(request: web.Request) -> str:
    """The If-Match header, which a delete requires (live hub; the REST pages differ)."""
    etag = if_match(request)
    if etag is None:
        raise HubError(ErrorCode.PreconditionFailed, "Etag missing")
    return etag


@contextmanager
def bad_request_if_malformed() -> Iterator[None]:
    """Answer 400 to a body that is not JSON of the expected form."""
    try:
        yield
    except JsonNetError as error:
        raise HubError(ErrorCode.GenericBadRequest, str(error)) from None


def existing(registry: Registry, key: Key) -> Entry:
    """Find an identity; HubError 404 if it does not exist."""
    entry = registry.find(key)
    if entry is None:
        raise not_registered(key)
    return entry


def existing_device_of_module(request: web.Request, registry: Registry) -> Entry:
    """Find the device of a module; under a SAS, 401 if it is missing or disabled (live hub)."""
    device = registry.find(device_key(request))
    by_sas = request.headers["Authorization"].lower().startswith("sharedaccesssignature")
    is_usable = device is not None and device.identity.status is DeviceStatus.ENABLED
    if by_sas and not is_usable:
        raise HubError(ErrorCode.IotHubUnauthorizedAccess, "Unauthorized access", Shape.E3)
    if device is None:
        raise not_registered(device_key(request))
    return device


def json_answer(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.json_response(document, status=status, headers=headers, dumps=compact)


def answer(document: Any, etag: str) -> web.Response:
    """Answer with an ETag header, which devices and configurations have (live hub)."""
    return json_answer(document, headers={"ETag": f'"{etag}"'})
