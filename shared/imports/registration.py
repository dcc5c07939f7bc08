"""The first thing that happens to an upload: it gets its record, and so its place in the queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from azure.storage.blob import BlobProperties

from shared.imports import reasons
from shared.imports.record import NO_HUB, ImportRecord, ImportState
from shared.imports.services import Services

__all__ = ["Upload", "hub_of", "leads_elsewhere", "record_of", "register"]


@dataclass(frozen=True)
class Upload:
    """One version of a blob in the upload container."""

    file: str
    etag: str
    uploaded_at: datetime
    #: Bytes.
    size: int

    @classmethod
    def of(cls, blob: BlobProperties) -> Self:
        return cls(blob.name, blob.etag.strip('"'), blob.last_modified, blob.size)


def leads_elsewhere(file: str) -> bool:
    """Whether HTTP clients take the name for a path to another place (RFC 3986, 5.2.4)."""
    return not {".", ".."}.isdisjoint(file.split("/"))


def hub_of(services: Services, file: str) -> str:
    """The hub that an upload is for: the only one, or the one its first folder names."""
    if len(services.hubs) == 1:
        return next(iter(services.hubs))
    folder, slash, _ = file.partition("/")
    return folder if slash and folder in services.hubs else NO_HUB


def record_of(services: Services, upload: Upload) -> ImportRecord:
    """The record that the upload has or would get; its keys are the same each time."""
    now = services.clock()
    return ImportRecord.of_upload(
        hub_of(services, upload.file),
        services.settings.upload_container,
        upload.file,
        upload.etag,
        upload.uploaded_at,
        created_at=now,
        updated_at=now,
        size=upload.size,
    )


def register(services: Services, upload: Upload, **claim: Any) -> tuple[ImportRecord, bool]:
    """Give the upload its record, to be validated by whoever makes the claim, or by anyone.

    Returns:
        The record as the table has it, and whether this call made it.
    """
    record = record_of(services, upload)
    if leads_elsewhere(upload.file):
        claim = {
            "state": ImportState.REJECTED,
            "failure_reason": reasons.dots_in_name(upload.file),
        }
    elif record.hub == NO_HUB:
        claim = {
            "state": ImportState.REJECTED,
            "failure_reason": reasons.unknown_folder(upload.file, services.hubs),
        }
    return services.ledger.create(record.model_copy(update=claim))
