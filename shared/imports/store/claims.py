"""Which hub each upload belongs to, found again whatever the settings say by then.

A claim is a row in a partition of its own, keyed by the import id and written before the record. It
also leads from an id to the record. One more row contains every hub that an upload was ever claimed
for, and the folders that led to it: what waits for a hub that is no longer configured is found by
it without reading the history, and an upload without a claim is searched for at each hub that its
folder ever led to.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from azure.core.exceptions import ResourceExistsError, ResourceModifiedError
from azure.data.tables import UpdateMode

from shared.imports.model.record import NO_HUB, ImportRecord
from shared.imports.store.rows import SCHEMA, NewerRowError, UnreadableRowError, is_newer
from shared.imports.store.table import APP, ImportsTable

__all__ = ["Claim", "ClaimedId", "Claims", "KnownHubs"]

#: Not a possible name of a hub.
CLAIMS = "(claims)"

T = TypeVar("T", bound="list[Any] | dict[str, Any]")

_HUBS_ROW = "hubs"

#: Seconds for which the row is not read again.
CACHE_SECONDS = 60

#: Folder and hub; "" stands for all folders.
Routes = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Claim:
    """The hub of an import and the row key of its record."""

    import_id: str
    hub: str
    record_key: str
    #: Name of the upload.
    file: str = ""
    #: Set where an import has ended and has no container, which otherwise proves that it existed.
    has_ended: bool = False
    #: How often the upload of the ended import could not be deleted or moved.
    failed_removals: int = 0
    #: When it was last written, by the clock of storage; None if it was not read.
    written_at: datetime | None = field(default=None, compare=False)

    @classmethod
    def of(cls, record: ImportRecord) -> Claim:
        return cls(record.id, record.hub, record.row_key, record.file)


@dataclass(frozen=True)
class ClaimedId:
    """The id of an import that has a claim, and the name of its upload as far as it is known."""

    import_id: str
    file: str


class Claims:
    """Reads and writes claims."""

    def __init__(self, table: ImportsTable) -> None:
        self._table = table

    def make(self, claim: Claim) -> tuple[Claim, bool]:
        """Write a claim unless the import has one.

        Returns:
            The claim in the table, and whether this call made it.

        Raises:
            UnreadableRowError, NewerRowError: as `find`.
        """
        try:
            self._table.insert(_claim_row(claim))
        except ResourceExistsError:
            return self.find(claim.import_id) or claim, False
        return claim, True

    def find(self, import_id: str) -> Claim | None:
        """The claim of an import.

        Raises:
            UnreadableRowError: it was edited.
            NewerRowError: a newer version of the app wrote it.
        """
        row = self._table.get(CLAIMS, import_id)
        if row is None:
            return None
        if is_newer(row):
            raise NewerRowError(row)
        hub, key, failed = row.get("hub"), row.get("record"), row.get("failedRemovals", 0)
        if not (isinstance(hub, str) and hub and isinstance(key, str) and isinstance(failed, int)):
            raise UnreadableRowError(row, "invalid column hub, record or failedRemovals")
        has_ended = row.get("hasEnded") is True
        file, written_at = str(row.get("file", "")), row.metadata["timestamp"]
        return Claim(import_id, hub, key, file, has_ended, failed, written_at)

    def ids_with_prefix(self, prefix: str, limit: int) -> list[ClaimedId]:
        """The ids that begin with some hexadecimal digits, `limit` at most: one request.

        Claims that were edited or that a newer version wrote count, too.
        """
        # "g" sorts directly after the digits.
        rows = self._table.range(CLAIMS, prefix, f"{prefix}g", columns=("file",), page=limit)
        return [ClaimedId(row["RowKey"], str(row.get("file", ""))) for row in islice(rows, limit)]

    def restore(self, claim: Claim) -> None:
        """Write a claim that was deleted or edited."""
        self._table.upsert({**_claim_row(claim), "failedRemovals": 0}, UpdateMode.MERGE)

    def note_end(self, import_id: str) -> None:
        """Note that the import has ended, for when nothing else proves that it existed."""
        self._table.merge({"PartitionKey": CLAIMS, "RowKey": import_id, "hasEnded": True})

    def note_failed_removal(self, claim: Claim) -> Claim:
        """Count that the upload could not be deleted or moved."""
        claim = replace(claim, failed_removals=claim.failed_removals + 1)
        self._table.merge(
            {
                "PartitionKey": CLAIMS,
                "RowKey": claim.import_id,
                "failedRemovals": claim.failed_removals,
            }
        )
        return claim

    def delete(self, import_ids: Iterable[str]) -> None:
        """Delete the claims of imports whose records are deleted, as far as they are there."""
        self._table.delete_all(CLAIMS, [*import_ids])


def _claim_row(claim: Claim) -> dict[str, object]:
    return {
        "PartitionKey": CLAIMS,
        "RowKey": claim.import_id,
        "hub": claim.hub,
        "record": claim.record_key,
        "file": claim.file,
        "schema": SCHEMA,
    }


@dataclass(frozen=True)
class _Row:
    """What the row contains, or what of it this process knows."""

    hubs: frozenset[str] = frozenset()
    routes: Routes = frozenset()
    #: Hubs of imports that were ever held or backed up.
    guarded: frozenset[str] = frozenset()

    def __or__(self, other: _Row) -> _Row:
        return _Row(
            self.hubs | other.hubs, self.routes | other.routes, self.guarded | other.guarded
        )

    def includes(self, other: _Row) -> bool:
        return self | other == self


class KnownHubs:
    """Reads and adds to the row. Safe to use from several threads."""

    def __init__(self, table: ImportsTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        #: What is known in this process.
        self._known = _Row()
        self._read_at = float("-inf")

    def all(self) -> frozenset[str]:
        """Every hub, maybe `NO_HUB`, as of a minute ago."""
        return self._recent().hubs

    def guarded(self) -> frozenset[str]:
        """Every hub of which an import was ever held or backed up, as of a minute ago."""
        return self._recent().guarded

    def seems_guarded(self, hub: str) -> bool:
        """Whether that is so of a hub, as far as this process knows."""
        return hub in self._known.guarded

    def includes(self, hub: str) -> bool:
        """Whether an upload was ever claimed for that hub; costs a request if it seems new."""
        return hub in self.all() or hub in self._merge(self._read()[0]).hubs

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
        known = self._add(_Row(frozenset({hub}), frozenset({route} if route else ())))
        routed = {known for name, known in known.routes if name in ("", folder)}
        return frozenset({hub, *routed, *({NO_HUB} & known.hubs)})

    def add_guarded(self, hub: str) -> None:
        """Note that an import of the hub is held or backed up: once for each process."""
        self._add(_Row(frozenset({hub}), guarded=frozenset({hub})))

    def _add(self, new: _Row) -> _Row:
        while not self._known.includes(new):
            row, etag = self._read()
            self._merge(row)
            if row.includes(new):
                break
            try:
                self._write(row | new, etag)
            except (ResourceExistsError, ResourceModifiedError):
                continue
            self._merge(new)
        return self._known

    def _recent(self) -> _Row:
        if time.monotonic() - self._read_at > CACHE_SECONDS:
            self._merge(self._read()[0])
            self._read_at = time.monotonic()
        return self._known

    def _merge(self, row: _Row) -> _Row:
        with self._lock:
            self._known |= row
            return self._known

    def _read(self) -> tuple[_Row, str]:
        """What the row contains, and its ETag.

        Raises:
            NewerRowError: a newer version of the app wrote the row.
        """
        row = self._table.get(APP, _HUBS_ROW)
        if row is None:
            return _Row(), ""
        if is_newer(row):
            raise NewerRowError(row)
        # It may have been edited; hubs in use are added again.
        routes = {
            (folder, hub)
            for folder, names in _json(row.get("routes"), dict).items()
            if isinstance(names, list)
            for hub in names
            if isinstance(hub, str)
        }
        known = _Row(_names(row.get("names")), frozenset(routes), _names(row.get("guarded")))
        return known, str(row.metadata["etag"] or "")

    def _write(self, known: _Row, etag: str) -> None:
        by_folder: dict[str, list[str]] = {}
        for folder, hub in sorted(known.routes):
            by_folder.setdefault(folder, []).append(hub)
        row = {
            "PartitionKey": APP,
            "RowKey": _HUBS_ROW,
            "names": json.dumps(sorted(known.hubs)),
            "routes": json.dumps(by_folder),
            "guarded": json.dumps(sorted(known.guarded)),
            "schema": SCHEMA,
        }
        if etag:
            self._table.update(row, etag)
        else:
            self._table.insert(row)


def _names(text: object) -> frozenset[str]:
    return frozenset(name for name in _json(text, list) if isinstance(name, str))


def _json(text: object, kind: type[T]) -> T:
    """The JSON value of that type in a column; an empty one if it contains none."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, kind) else kind()
