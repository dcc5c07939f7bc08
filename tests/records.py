"""Import records for tests without an upload."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.imports.model.record import ImportRecord, upload_id


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
