"""Queries of twins, page by page."""

from __future__ import annotations

import asyncio
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiohttp import web

from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import (
    TWINS_VERSION,
    bad_request_if_malformed,
    body_of,
    json_answer,
    version_of,
)
from iothub_emulator.api.search import Search
from iothub_emulator.auth.access import READ_TWINS
from iothub_emulator.errors import invalid
from iothub_emulator.json_net import STRING, Contract, parse_object
from iothub_emulator.query import Query, parse_query
from iothub_emulator.registry.entries import FIRST_KEY
from iothub_emulator.registry.identity import Key

DEFAULT_PAGE, MAX_PAGE = 100, 2000
#: Separates the parts of a continuation token; ids cannot contain it.
_SEPARATOR = "/"
_QUERY = Contract(
    "Microsoft.Azure.Devices.QuerySpecification", {"query": STRING}, required=("query",)
)


class QueryRoutes:
    def __init__(self, search: Search) -> None:
        self._search = search

    def routes(self) -> list[Route]:
        return [Route("POST", "/devices/query", READ_TWINS, self._query, since=TWINS_VERSION)]

    async def _query(self, request: web.Request) -> web.Response:
        with bad_request_if_malformed():
            body = parse_object(await body_of(request), _QUERY)
            query = parse_query(body["query"])
        token = request.headers.get("x-ms-continuation")
        page = await asyncio.to_thread(
            self._page,
            query,
            version_of(request),
            _Start.read(token, query) if token else _Start.of(query),
            _page_size(request.headers.get("x-ms-max-item-count")),
        )
        response = json_answer(page.items, headers={"x-ms-item-type": query.item_type})
        if page.next is not None:
            response.headers["x-ms-continuation"] = page.next.token(query)
        return response

    def _page(self, query: Query, version: str, start: _Start, size: int) -> _Page:
        matches = self._search.matches(query, version, start.after)
        if query.is_aggregate:
            groups = query.aggregate(document for _, document in matches)[-start.left :]
            rest = len(groups) - size
            return _Page(groups[:size], _Start(FIRST_KEY, rest) if rest > 0 else None)
        rows = list(islice(matches, min(size, start.left)))
        items = [query.project(document) for _, document in rows]
        left = start.left - len(rows)
        is_last = left == 0 or next(matches, None) is None
        return _Page(items, None if is_last else _Start(rows[-1][0], left))


@dataclass(frozen=True)
class _Start:
    """The start of a page; clients get it as a continuation token."""

    after: Key
    #: Remaining rows of SELECT TOP, or of aggregates.
    left: int

    @classmethod
    def of(cls, query: Query) -> _Start:
        return cls(FIRST_KEY, sys.maxsize if query.top is None else query.top)

    @classmethod
    def read(cls, token: str, query: Query) -> _Start:
        start = None
        with suppress(ValueError):
            of, left, device_id, module_id = urlsafe_b64decode(token).decode().split(_SEPARATOR)
            if of == query.checksum:
                start = cls(Key(device_id, module_id or None), int(left))
        if start is None or start.left < 1:
            raise invalid("The continuation token is invalid, or of another query.")
        return start

    def token(self, query: Query) -> str:
        key = self.after
        parts = (query.checksum, str(self.left), key.device_id, key.module_id or "")
        return urlsafe_b64encode(_SEPARATOR.join(parts).encode()).decode()


@dataclass(frozen=True)
class _Page:
    items: list[Any]
    #: None for the last page.
    next: _Start | None = None


def _page_size(header: str | None) -> int:
    if header is None:
        return DEFAULT_PAGE
    if not header.isdecimal() or int(header) < 1:
        raise invalid("x-ms-max-item-count must be a positive number.")
    return min(int(header), MAX_PAGE)
