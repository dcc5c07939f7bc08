"""A row for each held import: they stand in no queue, and are found without reading the history."""

from __future__ import annotations

from itertools import islice
from typing import Any

from shared.imports.model.keys import held_key, is_record_key, record_key_of_held
from shared.imports.model.record import ImportRecord
from shared.imports.store.rows import SCHEMA
from shared.imports.store.table import ImportsTable

__all__ = ["MAX_HELD", "HeldRows", "held_row"]

#: Held imports of a hub that are read.
MAX_HELD = 1000


def held_row(record: ImportRecord) -> dict[str, Any]:
    return {"PartitionKey": record.hub, "RowKey": held_key(record.row_key), "schema": SCHEMA}


class HeldRows:
    """Reads and writes the rows of held imports."""

    def __init__(self, table: ImportsTable) -> None:
        self._table = table

    def record_keys(self, hub: str) -> list[str]:
        """Row keys of the records of a hub's held imports, newest upload first: one query."""
        rows = self._table.range(hub, "held-", "held.", columns=(), page=MAX_HELD)
        keys = [record_key_of_held(row["RowKey"]) for row in islice(rows, MAX_HELD)]
        return [key for key in keys if is_record_key(key)]

    def restore(self, record: ImportRecord) -> None:
        """Write the row of a held import again."""
        self._table.upsert(held_row(record))

    def remove(self, hub: str, record_key: str) -> None:
        """Delete the row of an import that is not held any more, or whose record was deleted."""
        self._table.delete(hub, held_key(record_key))
