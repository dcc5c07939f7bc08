"""Queries of twins, page by page."""

from __future__ import annotations

import asyncio
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiohttp import web

from iothub_emulator.api.documents import twin_document
from iothub_emulator.api.guard import Guard
from iothub_emulator.api.requests import body_of, malformed_is_refused
from iothub_emulator.api.versions import TWINS, since
from iothub_emulator.auth.permissions import READ_TWINS
from iothub_emulator.faults import Operation
from iothub_emulator.json_net import parse_object
from iothub_emulator.query import Query, Source, parse_query
from iothub_emulator.registry.entry import Entry
from iothub_emulator.registry.identity import Key, invalid
from iothub_emulator.registry.registry import Kind, Registry

DEFAULT_PAGE, MAX_PAGE = 100, 2000
#: How many twins are read at once; the registry is free for others in between.
_BATCH = 1000
_BEFORE_ALL = Key("")
#: Of a continuation token; no id has it.
_SEPARATOR = "/"
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
                await body_of(request), dotnet_type="Microsoft.Azure.Devices.QuerySpecification"
            )
            query = parse_query(body.required_string("query"))
        token = request.headers.get("x-ms-continuation")
        page = await asyncio.to_thread(
            _Search(self._registry, query).page,
            _Start.read(token) if token else _Start.of(query),
            _page_size(request.headers.get("x-ms-max-item-count")),
        )
        response = web.json_response(page.items, headers={"x-ms-item-type": query.item_type})
        if page.next is not None:
            response.headers["x-ms-continuation"] = page.next.token()
        return response


@dataclass(frozen=True)
class _Start:
    """Where a page begins, which clients carry from one page to the next."""

    after: Key
    #: How many rows SELECT TOP still asks for.
    left: int

    @classmethod
    def of(cls, query: Query) -> _Start:
        return cls(_BEFORE_ALL, sys.maxsize if query.top is None else query.top)

    @classmethod
    def read(cls, token: str) -> _Start:
        start = None
        with suppress(ValueError):
            left, device_id, module_id = urlsafe_b64decode(token).decode().split(_SEPARATOR)
            start = cls(Key(device_id, module_id or None), int(left))
        if start is None or start.left < 1:
            raise invalid("The continuation token is invalid.")
        return start

    def token(self) -> str:
        parts = (str(self.left), self.after.device_id, self.after.module_id or "")
        return urlsafe_b64encode(_SEPARATOR.join(parts).encode()).decode()


@dataclass(frozen=True)
class _Page:
    items: list[Any]
    #: None for the last page.
    next: _Start | None = None


class _Search:
    """One query of the registry as it is while the pages are read."""

    def __init__(self, registry: Registry, query: Query) -> None:
        self._registry = registry
        self._query = query

    def page(self, start: _Start, size: int) -> _Page:
        query, found = self._query, self._found(start.after)
        if query.is_aggregate:
            return _Page(query.aggregate(document for _, document in found))
        rows = list(islice(found, min(size, start.left)))
        items = [query.project(document) for _, document in rows]
        left = start.left - len(rows)
        is_last = left == 0 or next(found, None) is None
        return _Page(items, None if is_last else _Start(rows[-1][0], left))

    def _found(self, after: Key) -> Iterator[tuple[Key, Any]]:
        for entry in self._candidates(after):
            document = twin_document(entry)
            if self._query.matches(document):
                yield entry.identity.key, document

    def _candidates(self, after: Key) -> Iterator[Entry]:
        kind, device_id = _KINDS[self._query.source], self._query.device_id
        if device_id is not None and not device_id.isascii():
            return  # As ids are; half of a surrogate pair could not even be looked up.
        while entries := self._registry.scan(kind, after, _BATCH, device_id):
            yield from entries
            after = entries[-1].identity.key


def _page_size(header: str | None) -> int:
    if header is None:
        return DEFAULT_PAGE
    if not header.isdecimal() or int(header) < 1:
        raise invalid("x-ms-max-item-count must be a positive number.")
    return min(int(header), MAX_PAGE)
