"""Which hub each upload belongs to, found again whatever the settings say by then.

A claim is a row in a partition of its own, keyed by the import id and written before the record. It
also leads from an id to the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import UpdateMode

from shared.imports.model.record import ImportRecord
from shared.imports.store.rows import SCHEMA, NewerRowError, UnreadableRowError, is_newer
from shared.imports.store.table import MAX_OPERATIONS, ImportsTable

__all__ = ["Claim", "Claims"]

#: Not a possible name of a hub.
CLAIMS = "(claims)"


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

    @classmethod
    def of(cls, record: ImportRecord) -> Claim:
        return cls(record.id, record.hub, record.row_key, record.file)


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
            self._table.insert(_row(claim))
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
        return Claim(import_id, hub, key, str(row.get("file", "")), has_ended, failed)

    def restore(self, claim: Claim) -> None:
        """Write a claim that was deleted or edited."""
        self._table.upsert({**_row(claim), "failedRemovals": 0}, UpdateMode.MERGE)

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
        rows = [{"PartitionKey": CLAIMS, "RowKey": import_id} for import_id in import_ids]
        for start in range(0, len(rows), MAX_OPERATIONS):
            batch: Sequence[dict[str, str]] = rows[start : start + MAX_OPERATIONS]
            try:
                self._table.transact([("delete", row) for row in batch])
            except ResourceNotFoundError:
                for row in batch:
                    self._table.delete(CLAIMS, row["RowKey"])


def _row(claim: Claim) -> dict[str, object]:
    return {
        "PartitionKey": CLAIMS,
        "RowKey": claim.import_id,
        "hub": claim.hub,
        "record": claim.record_key,
        "file": claim.file,
        "schema": SCHEMA,
    }
