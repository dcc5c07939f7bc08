"""The list of imports on the dashboard: its filters, its order, and its links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

from shared.imports.model.states import ImportState, StateGroup, states_of
from shared.imports.operate.api_models import ImportSummary
from shared.imports.operate.import_filter import ImportFilter, SortColumn, sort_imports
from shared.imports.operate.reader import Page
from shared.web.parameters import DashboardQuery, ListFilters

__all__ = ["PAGE_SIZE", "PERIODS", "Column", "filter_of", "filters_of", "list_view"]

#: Imports per page.
PAGE_SIZE = 50

#: The id of its title: links to the list lead there, as other things are above it.
_LIST = "imports-title"

#: For the choice of states: groups first.
_STATE_LABELS: Mapping[str, str] = {
    **{group.value: group.label for group in StateGroup},
    **{state.value: state.label for state in ImportState},
}
#: Values of a filter by age, with text and age.
PERIODS = {
    "1h": ("in the last hour", timedelta(hours=1)),
    "1d": ("in the last day", timedelta(days=1)),
    "7d": ("in the last 7 days", timedelta(days=7)),
    "30d": ("in the last 30 days", timedelta(days=30)),
}

#: Titles of the columns that imports can be sorted by, and their orders: the first one first.
_COLUMNS = {
    SortColumn.FILE: ("File", ("file", "A to Z"), ("-file", "Z to A")),
    SortColumn.STATE: ("State", ("state", "A to Z"), ("-state", "Z to A")),
    SortColumn.DEVICES: ("Devices", ("-devices", "most first"), ("devices", "fewest first")),
    SortColumn.FAILED: ("Failed", ("-failed", "most first"), ("failed", "fewest first")),
    SortColumn.UPLOADED: ("Uploaded", ("", "newest first"), ("uploaded", "oldest first")),
    SortColumn.DURATION: (
        "Duration",
        ("-duration", "longest first"),
        ("duration", "shortest first"),
    ),
}


@dataclass(frozen=True)
class Column:
    """The head of a column: a link that sorts by it."""

    name: SortColumn
    title: str
    #: Value of `sort` that the link asks for.
    sort: str
    #: Value of aria-sort; "" if the imports are not sorted by it.
    order: str
    is_count: bool


def filter_of(query: ListFilters, now: datetime) -> ImportFilter:
    """The filter that is set on a page. Days are those of UTC."""
    after = [_midnight(query.first_day)] if query.first_day else []
    if query.since:
        after.append(now - PERIODS[query.since][1])
    last = query.last_day
    return ImportFilter(
        frozenset({query.hub} if query.hub else ()),
        states_of([query.state] if query.state else ()),
        max(after, default=None),
        _midnight(last + timedelta(days=1)) if last and last < date.max else None,
        query.file,
        query.who,
    )


def filters_of(query: ListFilters) -> dict[str, str]:
    """The filters as they stand in the address of a page."""
    return {
        "hub": query.hub,
        "state": str(query.state),
        "since": query.since,
        "from": query.first_day.isoformat() if query.first_day else "",
        "to": query.last_day.isoformat() if query.last_day else "",
        "file": query.file,
        "who": query.who,
    }


def list_view(page: Page, query: DashboardQuery, link: Callable[..., str]) -> Mapping[str, Any]:
    """What the template of the list needs, besides the hubs."""
    filters = filters_of(query)
    imports = page.imports
    # The newest are first anyway.
    sort = "" if query.sort == f"-{SortColumn.UPLOADED}" else query.sort
    if sort:
        column = SortColumn(sort.removeprefix("-"))
        imports = sort_imports(imports, column, descending=sort.startswith("-"))
    older = page.continuation and link(
        "dashboard", fragment=_LIST, **filters, sort=sort, continuation=page.continuation
    )
    shown = [ImportSummary.of(record) for record in imports]
    is_filtered = any(filters.values())
    # What can be done with imports of further pages is not known here.
    possible = {action for summary in shown for action in summary.actions}
    return {
        "states": _STATE_LABELS,
        "periods": {name: text for name, (text, _) in PERIODS.items()},
        "filters": filters,
        "is_filtered": is_filtered,
        "imports": shown,
        "is_first_page": not query.continuation,
        "older": older,
        "newest": query.continuation and link("dashboard", fragment=_LIST, **filters, sort=sort),
        "searched_back_to": page.searched_back_to,
        "sort": sort,
        "sorts": _sorts(),
        "sorts_a_part": bool(sort and (page.continuation or query.continuation)),
        "columns": [
            # Another order is that of the same page.
            (
                column,
                link(
                    "dashboard",
                    fragment=_LIST,
                    **filters,
                    sort=column.sort,
                    continuation=query.continuation,
                ),
            )
            for column in _columns(sort)
        ],
        "bulk": [
            (action, link(f"dashboard/bulk/{action}", **filters))
            for action in ("cancel", "retry")
            if is_filtered and (action in possible or (shown and page.continuation))
        ],
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time_of_day.min, UTC)


def _columns(sort: str) -> list[Column]:
    """The heads of the columns. Each link asks for the first order, or for the other one."""
    columns = []
    for name, (title, *orders) in _COLUMNS.items():
        (first, _), (second, _) = orders
        order = ""
        if sort in (first, second):
            order = "ascending" if sort == name else "descending"
        is_count = name in (SortColumn.DEVICES, SortColumn.FAILED, SortColumn.DURATION)
        columns.append(Column(name, title, second if sort == first else first, order, is_count))
    return columns


def _sorts() -> dict[str, str]:
    """For the choice of the order: the newest first is the first."""
    labels = {
        value: f"{title}, {text}" for title, *orders in _COLUMNS.values() for value, text in orders
    }
    return {"": labels[""], **labels}
