"""Which of a hub's next jobs is to take an import that enters the queue."""

from __future__ import annotations

from dataclasses import replace

from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.imports.store.queue_rows import MAX_ROWS
from shared.imports.workflow.job_choice import queue_positions

__all__ = ["note_position"]


def note_position(services: Services, record: ImportRecord) -> ImportRecord:
    """Note the queue position of an import. In a long queue, the sweep counts it.

    Raises:
        ConflictError: another process changed the import.
    """
    rows = services.queue_rows.oldest(record.hub)
    keys = [row.record_key for row in rows]
    if len(rows) == MAX_ROWS or record.row_key not in keys:
        return record
    records = {**services.queries.records(record.hub, keys), record.row_key: record}
    queue = services.with_jobs(records[key] for key in keys if key in records)
    positions = queue_positions(list(queue), services.settings.jobs, services.clock())
    position = next(number for item, number in positions if item.row_key == record.row_key)
    if position == record.queue_position:
        return record
    return services.store.update(replace(record, queue_position=position))
