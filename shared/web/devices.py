"""The page that says which imports touched a device."""

from __future__ import annotations

from datetime import datetime

from shared.imports.app import Importer
from shared.imports.operate.device_history import DeviceHistory
from shared.imports.operate.device_search import difference
from shared.imports.operate.import_filter import ImportFilter
from shared.web.api import App
from shared.web.http_types import Request, Response
from shared.web.import_lists import PERIODS
from shared.web.parameters import DeviceQuery
from shared.web.rendering import Links, render

__all__ = ["find_device"]

#: Seconds after which a search ends, so that a request does not occupy the app for long. The next
#: one goes on.
MAX_SECONDS = 20.0


def find_device(app: App, request: Request, query: DeviceQuery) -> Response:
    """Show the imports that have a device, or the form alone.

    The hub is not asked: the app may lack the permission.
    """
    importer = app()
    now = importer.services.clock()
    history = _search(importer, query, now) if query.id else None
    terms = query.model_dump(include={"id", "module", "hub", "since"})
    continuation = history.continuation if history else ""
    link = Links(request).link
    return render(
        "devices.html",
        request,
        now=now,
        query=query,
        history=history,
        difference=difference,
        hubs=importer.reader.hubs(),
        periods={**{name: text for name, (text, _) in PERIODS.items()}, "any": "at any time"},
        older=continuation and link("dashboard/devices", **terms, continuation=continuation),
        newest=query.continuation and link("dashboard/devices", **terms),
    )


def _search(importer: Importer, query: DeviceQuery, now: datetime) -> DeviceHistory:
    history = DeviceHistory(
        importer.services,
        importer.reader,
        query.id,
        query.module or None,
        wanted=ImportFilter(
            hubs=frozenset({query.hub} if query.hub else ()),
            uploaded_after=None if query.since == "any" else now - PERIODS[query.since][1],
        ),
        continuation=query.continuation,
        seconds=MAX_SECONDS,
    )
    for _ in history.run():
        # What was found is in the history.
        pass
    return history
