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
from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import TWINS_VERSION, bad_request_if_malformed, body_of
from iothub_emulator.auth.access import READ_TWINS
from iothub_emulator.errors import invalid
from iothub_emulator.json_net import STRING, Contract, parse_object
from iothub_emulator.query import Query, Source, parse_query
from iothub_emulator.registry.entries import FIRST_KEY, Entry, Kind
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.registry import Registry

DEFAULT_PAGE, MAX_PAGE = 100, 2000
#: Twins read at once; other requests can use the registry between batches.
_BATCH = 1000
#: Separates the parts of a continuation token; ids cannot contain it.
_SEPARATOR = "/"
_QUERY = Contract(
    "Microsoft.Azure.Devices.QuerySpecification", {"query": STRING}, required=("query",)
)
_KINDS = {Source.DEVICES: Kind.DEVICES, Source.MODULES: Kind.MODULES}


class QueryRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[Route]:
        return [Route("POST", "/devices/query", READ_TWINS, self._query, since=TWINS_VERSION)]

    async def _query(self, request: web.Request) -> web.Response:
        with bad_request_if_malformed():
            body = parse_object(await body_of(request), _QUERY)
            query = parse_query(body["query"])
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
    """The start of a page; clients get it as a continuation token."""

    after: Key
    #: Remaining rows of SELECT TOP.
    left: int

    @classmethod
    def of(cls, query: Query) -> _Start:
        return cls(FIRST_KEY, sys.maxsize if query.top is None else query.top)

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
    """Runs one query on the current state of the registry, not on a snapshot."""

    def __init__(self, registry: Registry, query: Query) -> None:
        self._registry = registry
        self._query = query

    def page(self, start: _Start, size: int) -> _Page:
        query, matches = self._query, self._matches(start.after)
        if query.is_aggregate:
            return _Page(query.aggregate(document for _, document in matches))
        rows = list(islice(matches, min(size, start.left)))
        items = [query.project(document) for _, document in rows]
        left = start.left - len(rows)
        is_last = left == 0 or next(matches, None) is None
        return _Page(items, None if is_last else _Start(rows[-1][0], left))

    def _matches(self, after: Key) -> Iterator[tuple[Key, Any]]:
        for entry in self._candidates(after):
            document = twin_document(entry)
            if self._query.matches(document):
                yield entry.identity.key, document

    def _candidates(self, after: Key) -> Iterator[Entry]:
        kind, device_id = _KINDS[self._query.source], self._query.device_id
        if device_id is not None and not device_id.isascii():
            return  # Ids are ASCII; SQLite cannot look up half of a surrogate pair.
        while entries := self._registry.scan(kind, after, _BATCH, device_id):
            yield from entries
            after = entries[-1].identity.key


def _page_size(header: str | None) -> int:
    if header is None:
        return DEFAULT_PAGE
    if not header.isdecimal() or int(header) < 1:
        raise invalid("x-ms-max-item-count must be a positive number.")
    return min(int(header), MAX_PAGE)
