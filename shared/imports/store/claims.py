"""Which hub each upload belongs to, found again whatever the settings say by then.

A claim is a row in a partition of its own, keyed by the import's id and written before the record.
It also leads from an id to the record. Beside the claims one row names every hub ever seen, so that
what waits for a hub that is no longer configured is found without reading the history.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from shared.imports.model.record import NO_HUB, SCHEMA
from shared.imports.store.rows import NewerRowError, UnreadableRowError, is_newer

__all__ = ["APP", "Claim", "Claims"]

T = TypeVar("T", bound="list[Any] | dict[str, Any]")

#: Partitions of the app's own rows. Not possible names of hubs.
CLAIMS = "(claims)"
APP = "(app)"
_HUBS = "hubs"

#: Seconds for which the hubs that were read are used again.
HUBS_KEPT = 60

#: The most operations of a transaction (learn: "Performing entity group transactions").
MAX_OPERATIONS = 100


@dataclass(frozen=True)
class Claim:
    """The hub of an import and the key of its record."""

    import_id: str
    hub: str
    record_key: str
    #: Name of the upload.
    file: str = ""
    #: Set where an import has ended and has no container, which else proves that it was there.
    has_ended: bool = False
    #: How often the upload of the ended import could not be deleted.
    stuck: int = 0


class Claims:
    """Reads and writes claims. The table is created when it is first missed."""

    def __init__(self, table: TableClient) -> None:
        self._table = table
        self._lock = threading.Lock()
        #: As far as they are known here; None before the first look.
        self._hubs: frozenset[str] | None = None
        #: Folder and hub of each route ever seen; "" stands for all folders.
        self._routes: frozenset[tuple[str, str]] = frozenset()
        self._read_at = float("-inf")

    def make(self, claim: Claim) -> tuple[Claim, bool]:
        """Write a claim unless the import has one.

        Returns:
            The claim in the table, and whether this call made it.

        Raises:
            UnreadableRowError, NewerRowError: as `find`.
        """
        row = {
            "PartitionKey": CLAIMS,
            "RowKey": claim.import_id,
            "hub": claim.hub,
            "record": claim.record_key,
            "file": claim.file,
            "schema": SCHEMA,
        }
        try:
            self._insert(row)
        except ResourceExistsError:
            return self.find(claim.import_id) or claim, False
        return claim, True

    def find(self, import_id: str) -> Claim | None:
        """The claim of an import.

        Raises:
            UnreadableRowError: people edited it.
            NewerRowError: a newer version of the app wrote it.
        """
        try:
            row = self._table.get_entity(CLAIMS, import_id)
        except ResourceNotFoundError:
            return None
        if is_newer(row):
            raise NewerRowError(row)
        hub, key, stuck = row.get("hub"), row.get("record"), row.get("stuck", 0)
        if not (isinstance(hub, str) and hub and isinstance(key, str) and isinstance(stuck, int)):
            raise UnreadableRowError(row, "column hub, record or stuck")
        return Claim(
            import_id, hub, key, str(row.get("file", "")), row.get("hasEnded") is True, stuck
        )

    def restore(self, claim: Claim) -> None:
        """Write a claim that people deleted or edited."""
        row = {
            "PartitionKey": CLAIMS,
            "RowKey": claim.import_id,
            "hub": claim.hub,
            "record": claim.record_key,
            "file": claim.file,
            "stuck": 0,
            "schema": SCHEMA,
        }
        self._table.upsert_entity(row, mode=UpdateMode.MERGE)

    def note_end(self, import_id: str) -> None:
        """Note that the import has ended, for the time when nothing else proves it."""
        self._change(import_id, hasEnded=True)

    def note_stuck(self, claim: Claim) -> None:
        """Note that the upload could not be deleted once more."""
        self._change(claim.import_id, stuck=claim.stuck + 1)

    def delete(self, import_ids: Iterable[str]) -> None:
        """Delete claims of imports whose records are deleted; one that is gone does not matter."""
        rows = [{"PartitionKey": CLAIMS, "RowKey": import_id} for import_id in import_ids]
        for start in range(0, len(rows), MAX_OPERATIONS):
            batch = rows[start : start + MAX_OPERATIONS]
            try:
                self._table.submit_transaction([("delete", row) for row in batch])
            except TableTransactionError as error:
                if error.status_code != 404:
                    raise
                for row in batch:
                    self._table.delete_entity(row)

    def hubs(self) -> frozenset[str]:
        """Every hub that an upload was ever claimed for, maybe `NO_HUB`, as of a minute ago."""
        if self._hubs is None or time.monotonic() - self._read_at > HUBS_KEPT:
            self._learn(*self._read_routes()[:2])
            self._read_at = time.monotonic()
        return self._hubs or frozenset()

    def knows(self, hub: str) -> bool:
        """Whether an upload was ever claimed for that hub; costs a request if it seems new."""
        return hub in self.hubs() or hub in self._learn(*self._read_routes()[:2])

    def remember_hub(
        self, hub: str, folder: str | None = None, *, for_all: bool = False
    ) -> frozenset[str]:
        """Add a hub to those ever seen. Costs requests only once in a process and route.

        Args:
            folder: the first folder of an upload that is for the hub; "" if it has none.
            for_all: whether all folders lead to that hub.

        Returns:
            The hubs that the folder ever led to, the present one included, and `NO_HUB` if any
            upload ever led to none.
        """
        # Folders that lead nowhere are not kept: there may be any number of them.
        route = None if folder is None or hub == NO_HUB else ("" if for_all else folder, hub)
        while not (self._hubs and hub in self._hubs and (route is None or route in self._routes)):
            names, routes, etag = self._read_routes()
            self._learn(names, routes)
            if hub in names and (route is None or route in routes):
                break
            added = routes | ({route} if route else set())
            try:
                self._write_routes(names | {hub}, added, etag)
            except (ResourceExistsError, ResourceModifiedError):
                continue
            self._learn(names | {hub}, added)
        led_to = {known for name, known in self._routes if name in ("", folder)}
        return frozenset({hub, *led_to, *({NO_HUB} & (self._hubs or frozenset()))})

    def _learn(self, names: frozenset[str], routes: frozenset[tuple[str, str]]) -> frozenset[str]:
        with self._lock:
            self._hubs = (self._hubs or frozenset()) | names
            self._routes |= routes
            return self._hubs

    def _read_routes(self) -> tuple[frozenset[str], frozenset[tuple[str, str]], str]:
        """The hubs and the routes ever seen, and the ETag of their row.

        Raises:
            NewerRowError: a newer version of the app wrote the row.
        """
        try:
            row = self._table.get_entity(APP, _HUBS)
        except ResourceNotFoundError:
            return frozenset(), frozenset(), ""
        if is_newer(row):
            raise NewerRowError(row)
        # People may have edited it; the hubs in use come back by themselves.
        names = [name for name in _json(row.get("names"), list) if isinstance(name, str)]
        routes = {
            (folder, hub)
            for folder, hubs in _json(row.get("routes"), dict).items()
            if isinstance(hubs, list)
            for hub in hubs
            if isinstance(hub, str)
        }
        return frozenset(names), frozenset(routes), row.metadata["etag"] or ""

    def _write_routes(
        self, names: frozenset[str], routes: frozenset[tuple[str, str]], etag: str
    ) -> None:
        by_folder: dict[str, list[str]] = {}
        for folder, hub in sorted(routes):
            by_folder.setdefault(folder, []).append(hub)
        row: dict[str, Any] = {
            "PartitionKey": APP,
            "RowKey": _HUBS,
            "names": json.dumps(sorted(names)),
            "routes": json.dumps(by_folder),
            "schema": SCHEMA,
        }
        if not etag:
            self._insert(row)
            return
        self._table.update_entity(
            row,
            mode=UpdateMode.REPLACE,
            etag=etag,
            match_condition=MatchConditions.IfNotModified,
        )

    def _insert(self, row: dict[str, Any]) -> None:
        try:
            self._table.create_entity(row)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                self._table.create_table()
            self._table.create_entity(row)

    def _change(self, import_id: str, **columns: Any) -> None:
        """Change a claim; one that is gone does not come back by it."""
        row = {"PartitionKey": CLAIMS, "RowKey": import_id, **columns}
        with contextlib.suppress(ResourceNotFoundError):
            self._table.update_entity(row, mode=UpdateMode.MERGE)


def _json(text: object, kind: type[T]) -> T:
    """The JSON value of that type in a column; an empty one if it holds none."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, kind) else kind()
