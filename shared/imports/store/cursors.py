"""How far the sweep's rounds have come, and when each timer last ran."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from shared.imports.model.keys import EPOCH
from shared.imports.store.rows import SCHEMA
from shared.imports.store.table import APP, ImportsTable

__all__ = ["Cursor", "Cursors"]

#: Not a possible name of a hub.
SWEEP = "(sweep)"


@dataclass(frozen=True)
class Cursor:
    """How far the rounds of a task have come. It stays true, so an old one may be used."""

    task: str
    #: Where the present round continues, as the service returned it; "" is the beginning.
    position: str = ""
    #: When the present round began.
    began_at: datetime = EPOCH
    #: When the last finished round began.
    done_until: datetime = EPOCH


class Cursors:
    """Reads and writes cursors."""

    def __init__(self, table: ImportsTable) -> None:
        self._table = table

    def load(self, task: str) -> Cursor:
        """How far a task has come. An edited column is read as if the task had not begun."""
        row = self._table.get(SWEEP, task)
        if row is None:
            return Cursor(task)
        position, *times = (row.get(name) for name in ("position", "beganAt", "doneUntil"))
        began_at, done_until = (
            time if isinstance(time, datetime) and time.tzinfo else EPOCH for time in times
        )
        return Cursor(task, position if isinstance(position, str) else "", began_at, done_until)

    def save(self, cursor: Cursor) -> None:
        self._table.upsert(
            {
                "PartitionKey": SWEEP,
                "RowKey": cursor.task,
                "position": cursor.position,
                "beganAt": cursor.began_at,
                "doneUntil": cursor.done_until,
                "schema": SCHEMA,
            }
        )

    def note_run(self, timer: str, at: datetime) -> None:
        """Note when a timer last ran."""
        self._table.upsert({"PartitionKey": APP, "RowKey": timer, "ranAt": at, "schema": SCHEMA})

    def last_runs(self) -> dict[str, datetime]:
        """When each timer last ran, to the minute; without those that never ran."""
        rows = self._table.query("PartitionKey eq @app", {"app": APP})
        times = {row["RowKey"]: row.get("ranAt") for row in rows}
        return {
            timer: time.astimezone(UTC)
            for timer, time in times.items()
            if isinstance(time, datetime) and time.tzinfo
        }
