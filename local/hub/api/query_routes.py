"""Queries of twins, page by page."""

from __future__ import annotations

import asyncio
import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.hub.api.documents import twin_document
from local.hub.api.guard import Guard
from local.hub.api.requests import malformed_is_refused
from local.hub.api.versions import TWINS, since
from local.hub.auth.permissions import READ_TWINS
from local.hub.faults import Operation
from local.hub.json_net import parse_object
from local.hub.query import Query, Source, parse_query
from local.hub.registry.entry import Entry
from local.hub.registry.identity import Key, invalid
from local.hub.registry.registry import Kind, Registry

DEFAULT_PAGE, MAX_PAGE = 100, 2000
#: How many twins are read at once; the registry is free for others in between.
_BATCH = 1000
_BEFORE_ALL = Key("")
_KINDS = {Source.DEVICES: Kind.DEVICES, Source.MODULES: Kind.MODULES}


class QueryRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def add_to(self, app: web.Application, guard: Guard) -> None:
        query = guard.wrap(Operation.REGISTRY, READ_TWINS, since(TWINS, self._query))
        app.router.add_post("/devices/query", query)

    async def _query(self, request: web.Request) -> web.Response:
        with malformed_is_refused():
            body = parse_object(
                await request.text(), dotnet_type="Microsoft.Azure.Devices.QuerySpecification"
            )
            query = parse_query(body.required_string("query"))
        page = await asyncio.to_thread(
            _Search(self._registry, query).page,
            _after(request.headers.get("x-ms-continuation")),
            _page_size(request.headers.get("x-ms-max-item-count")),
        )
        response = web.json_response(page.items, headers={"x-ms-item-type": query.item_type})
        if page.last is not None:
            response.headers["x-ms-continuation"] = _token(page.last)
        return response


@dataclass(frozen=True)
class _Page:
    items: list[Any]
    #: Where the next page goes on; None if there is none.
    last: Key | None = None


class _Search:
    """One query of the registry as it is while the pages are read."""

    def __init__(self, registry: Registry, query: Query) -> None:
        self._registry = registry
        self._query = query

    def page(self, after: Key, size: int) -> _Page:
        query = self._query
        if query.is_aggregate:
            return _Page(query.aggregate(document for _, document in self._found(after)))
        items: list[Any] = []
        last = after
        for key, document in self._found(after):
            if len(items) == size:
                return _Page(items, last)
            items.append(query.project(document))
            last = key
        return _Page(items)

    def _found(self, after: Key) -> Iterator[tuple[Key, Any]]:
        for entry in self._candidates(after):
            document = twin_document(entry)
            if self._query.matches(document):
                yield entry.identity.key, document

    def _candidates(self, after: Key) -> Iterator[Entry]:
        kind = _KINDS[self._query.source]
        while entries := self._registry.scan(kind, after, _BATCH):
            yield from entries
            after = entries[-1].identity.key


def _page_size(header: str | None) -> int:
    if header is None:
        return DEFAULT_PAGE
    if not header.isdecimal() or int(header) < 1:
        raise invalid("x-ms-max-item-count must be a positive number.")
    return min(int(header), MAX_PAGE)


def _token(key: Key) -> str:
    return urlsafe_b64encode(json.dumps([key.device_id, key.module_id]).encode()).decode()


def _after(token: str | None) -> Key:
    if not token:
        return _BEFORE_ALL
    try:
        device_id, module_id = json.loads(urlsafe_b64decode(token))
    except (binascii.Error, ValueError):
        raise invalid("The continuation token is invalid.") from None
    return Key(device_id, module_id)
