"""Import records for tests without an upload."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from shared.imports.model.record import ImportRecord, upload_id
from shared.imports.services import Services
from shared.imports.store.rows import NewerRowError, UnreadableRowError, to_record


def import_record(hub: str, file: str, etag: str, at: datetime, **columns: Any) -> ImportRecord:
    """The record of an upload that was written and registered at that time."""
    times = {"uploaded_at": at, "created_at": at, "updated_at": at}
    return ImportRecord(
        hub=hub,
        id=upload_id("Imports", "uploads", file, etag),
        file=file,
        upload_etag=etag,
        **{**times, **columns},
    )


def read_records(services: Services, hub: str) -> list[ImportRecord]:
    """All imports of a hub that can be read, as they are shown, newest upload first."""
    table = services.storage.table(services.settings.storage.imports_table)
    rows = table.query_entities(
        "PartitionKey eq @hub and RowKey ge 'import-' and RowKey lt 'import.'",
        parameters={"hub": hub},
    )
    records = []
    with contextlib.suppress(ResourceNotFoundError):
        for row in rows:
            with contextlib.suppress(UnreadableRowError, NewerRowError):
                records.append(to_record(row))
    return list(services.with_jobs(records))
