"""The api-versions of the hub, and what each of them knew."""

from __future__ import annotations

from aiohttp import web

from iothub_emulator.api.requests import Handler
from iothub_emulator.errors import ErrorCode, HubError

#: That of the page on the first import operation.
FIRST = "2016-02-03"
#: Twins and their queries.
TWINS = "2016-11-14"
#: Modules, configurations, and names for the blobs of a job.
MODULES = "2018-06-30"

#: Those that live hubs accept, that a published client was made for, or that pages name.
API_VERSIONS = frozenset(
    {
        FIRST,
        TWINS,
        "2017-06-30",
        "2018-04-01",
        MODULES,
        "2019-03-30",
        "2019-10-01",
        "2020-03-13",
        "2020-05-31-preview",
        "2020-09-30",
        "2021-04-12",
        "2024-03-31",
    }
)


def version_of(request: web.Request) -> str:
    """The version that a request asks for; they compare as texts."""
    return request.query.get("api-version", "")


def since(version: str, handler: Handler, until: str = max(API_VERSIONS)) -> Handler:
    """An operation that older versions, and those after ``until``, do not have."""

    async def guarded(request: web.Request) -> web.Response:
        if not version <= version_of(request) <= until:
            message = f"The api-version '{version_of(request)}' does not have this operation."
            raise HubError(ErrorCode.InvalidProtocolVersion, message)
        return await handler(request)

    return guarded
