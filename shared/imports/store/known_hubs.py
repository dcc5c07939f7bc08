"""Every hub that an upload was ever claimed for, and the folders that led to it: one row.

What waits for a hub that is no longer configured is found by it, without reading the history; and
an upload without a claim is searched for at each hub that its folder ever led to.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any, TypeVar

from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

from shared.imports.model.record import NO_HUB
from shared.imports.store.rows import SCHEMA, NewerRowError, is_newer
from shared.imports.store.table import APP, ImportsTable

__all__ = ["KnownHubs"]

T = TypeVar("T", bound="list[Any] | dict[str, Any]")

_ROW = "hubs"

#: Seconds for which the row is not read again.
CACHE_SECONDS = 60

#: Folder and hub; "" stands for all folders.
Routes = frozenset[tuple[str, str]]


class KnownHubs:
    """Reads and adds to the row. Safe to use from several threads."""

    def __init__(self, table: ImportsTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        #: As far as they are known in this process; None before the first read.
        self._hubs: frozenset[str] | None = None
        self._routes: Routes = frozenset()
        self._read_at = float("-inf")

    def all(self) -> frozenset[str]:
        """Every hub, maybe `NO_HUB`, as of a minute ago."""
        if self._hubs is None or time.monotonic() - self._read_at > CACHE_SECONDS:
            self._refresh()
            self._read_at = time.monotonic()
        return self._hubs or frozenset()

    def includes(self, hub: str) -> bool:
        """Whether an upload was ever claimed for that hub; costs a request if it seems new."""
        return hub in self.all() or hub in self._refresh()

    def add(self, hub: str, folder: str | None = None, *, for_all: bool = False) -> frozenset[str]:
        """Add a hub. Costs requests only once for each process and route.

        Args:
            folder: the first folder of an upload for the hub; "" if it has none.
            for_all: whether all folders lead to that hub.

        Returns:
            The hubs that the folder ever led to, the given one included, and `NO_HUB` if any upload
            ever led to none.
        """
        # Folders that are no routes are not kept: there may be any number of them.
        route = None if folder is None or hub == NO_HUB else ("" if for_all else folder, hub)
        while not (self._hubs and hub in self._hubs and (route is None or route in self._routes)):
            hubs, routes, etag = self._read()
            self._merge(hubs, routes)
            if hub in hubs and (route is None or route in routes):
                break
            added = routes | ({route} if route else set())
            try:
                self._write(hubs | {hub}, added, etag)
            except (ResourceExistsError, ResourceModifiedError):
                continue
            self._merge(hubs | {hub}, added)
        routed = {known for name, known in self._routes if name in ("", folder)}
        return frozenset({hub, *routed, *({NO_HUB} & (self._hubs or frozenset()))})

    def _refresh(self) -> frozenset[str]:
        hubs, routes, _ = self._read()
        return self._merge(hubs, routes)

    def _merge(self, hubs: frozenset[str], routes: Routes) -> frozenset[str]:
        with self._lock:
            self._hubs = (self._hubs or frozenset()) | hubs
            self._routes |= routes
            return self._hubs

    def _read(self) -> tuple[frozenset[str], Routes, str]:
        """The hubs and routes in the row, and its ETag.

        Raises:
            NewerRowError: a newer version of the app wrote the row.
        """
        row = self._table.get(APP, _ROW)
        if row is None:
            return frozenset(), frozenset(), ""
        if is_newer(row):
            raise NewerRowError(row)
        # It may have been edited; hubs in use are added again.
        hubs = [name for name in _json(row.get("names"), list) if isinstance(name, str)]
        routes = {
            (folder, hub)
            for folder, names in _json(row.get("routes"), dict).items()
            if isinstance(names, list)
            for hub in names
            if isinstance(hub, str)
        }
        return frozenset(hubs), frozenset(routes), str(row.metadata["etag"] or "")

    def _write(self, hubs: frozenset[str], routes: Routes, etag: str) -> None:
        by_folder: dict[str, list[str]] = {}
        for folder, hub in sorted(routes):
            by_folder.setdefault(folder, []).append(hub)
        row = {
            "PartitionKey": APP,
            "RowKey": _ROW,
            "names": json.dumps(sorted(hubs)),
            "routes": json.dumps(by_folder),
            "schema": SCHEMA,
        }
        if etag:
            self._table.update(row, etag)
        else:
            self._table.insert(row)


def _json(text: object, kind: type[T]) -> T:
    """The JSON value of that type in a column; an empty one if it contains none."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, kind) else kind()
