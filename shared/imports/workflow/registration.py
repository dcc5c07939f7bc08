"""The first thing that happens to an upload: it gets its record, and so its place in the queue."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties, BlobType

from shared.imports.model import reasons
from shared.imports.model.record import (
    NO_HUB,
    ImportRecord,
    ImportState,
    import_id_of,
    uploaded_at_of,
)
from shared.imports.services import Services
from shared.imports.store.claims import Claim
from shared.imports.store.rows import UnreadableRowError
from shared.logs import logger

__all__ = ["Upload", "is_folder", "leads_elsewhere", "record_deletion", "record_of", "register"]

log = logger(__name__)

#: How long a blob that may still be written has to stay as it is before it is read.
SETTLING_TIME = timedelta(minutes=1)

_REJECTED = {"state": ImportState.REJECTED, "imported": 0, "failed": 0}


@dataclass(frozen=True)
class Upload:
    """One version of a blob in the upload container."""

    file: str
    etag: str
    uploaded_at: datetime
    #: Bytes.
    size: int
    #: False for a blob that its writer may not have finished: an empty one, which some clients
    #: create before they write the content, and an append blob, which has no end.
    is_settled: bool = True

    @classmethod
    def of(cls, blob: BlobProperties) -> Self:
        is_settled = bool(blob.size) and blob.blob_type != BlobType.APPENDBLOB
        return cls(blob.name, blob.etag.strip('"'), blob.last_modified, blob.size, is_settled)


def is_folder(blob: BlobProperties) -> bool:
    """Whether the blob marks a folder of an account with hierarchical namespace."""
    metadata = {name.lower(): value for name, value in (blob.metadata or {}).items()}
    return metadata.get("hdi_isfolder", "").lower() == "true"


def leads_elsewhere(file: str) -> bool:
    """Whether HTTP clients take the name for a path to another place (RFC 3986, 5.2.4)."""
    return not {".", ".."}.isdisjoint(file.split("/"))


def record_of(services: Services, upload: Upload) -> ImportRecord:
    """The record that the upload would get now; its id and RowKey are the same each time."""
    now = services.clock()
    settings = services.settings
    return ImportRecord.of_upload(
        settings.hub.routes.hub_of(upload.file) or NO_HUB,
        settings.storage.imports_table,
        settings.uploads.container,
        upload.file,
        upload.etag,
        upload.uploaded_at,
        created_at=now,
        updated_at=now,
        size=upload.size,
    )


def register(
    services: Services, upload: Upload, lease: Mapping[str, Any] | None = None
) -> tuple[ImportRecord, bool]:
    """Give the upload its record, in the partition of the hub that it was first seen for.

    Args:
        lease: columns of a new record whose validation the caller begins at once.

    Returns:
        The record in the table, and whether this call made it.

    Raises:
        UnreadableRowError, NewerRowError: it has a record or a claim that cannot be used.
    """
    routed = record_of(services, upload)
    store, claims = services.store, services.claims
    folder, slash, _ = upload.file.partition("/")
    # Where the record may be: the settings may have changed since the upload was seen first.
    hubs = claims.remember_hub(
        routed.hub, folder if slash else "", for_all=services.settings.hub.routes.is_single
    )
    wanted = Claim(routed.id, routed.hub, routed.row_key, routed.file)
    claim: Claim | None = None
    is_new = False
    try:
        if hubs > {routed.hub}:
            claim = claims.find(routed.id)
        else:
            claim, is_new = claims.make(wanted)
    except UnreadableRowError as error:
        log.error("%s It is written again.", error)
        claims.restore(wanted)
    if claim is not None and not is_new:
        with contextlib.suppress(ResourceNotFoundError):
            return store.get(claim.hub, claim.record_key), False
    visited = claim.hub if claim is not None else routed.hub
    if former := _record_at(services, routed, hubs - {visited}):
        claims.restore(Claim(former.id, former.hub, former.row_key, former.file))
        return former, False
    if claim is None:
        claim, is_new = claims.make(wanted)
    # People may have edited the claim.
    is_known = claim.record_key == routed.row_key and (is_new or claims.knows(claim.hub))
    record = routed.model_copy(update={"hub": claim.hub}) if is_known else routed
    if not is_new:
        owner = services.owner_by_container(record.id)
        if owner is not None:
            record = record.model_copy(update={"hub": owner.hub})
        if (record.hub, record.row_key) != (claim.hub, claim.record_key):
            claims.restore(Claim(record.id, record.hub, record.row_key, record.file))
        if owner is not None or claim.has_ended or store.has_marker(record):
            log.error("the record of %r was deleted", upload.file)
            claims.note_end(record.id)
            return store.create(_deleted(record))
    return store.create(record.model_copy(update=_beginning(services, record, upload, lease)))


def _record_at(
    services: Services, record: ImportRecord, hubs: Iterable[str]
) -> ImportRecord | None:
    """The record of an upload in the partition of one of these hubs."""
    for hub in hubs:
        with contextlib.suppress(ResourceNotFoundError):
            return services.store.get(hub, record.row_key)
    return None


def record_deletion(services: Services, hub: str, row_key: str) -> None:
    """Write the final record of an open import whose record people deleted."""
    uploaded_at, now = uploaded_at_of(row_key), services.clock()
    try:
        claim = services.claims.find(import_id_of(row_key))
    except UnreadableRowError:
        claim = None
    record = ImportRecord(
        hub=hub,
        id=import_id_of(row_key),
        file=claim.file if claim else "(unknown)",
        upload_etag="",
        uploaded_at=uploaded_at,
        created_at=now,
        updated_at=now,
    )
    services.claims.note_end(record.id)
    services.store.create(_deleted(record))


def _deleted(record: ImportRecord) -> ImportRecord:
    """Its final record. It cannot be retried as it is: the devices may have been applied."""
    reason = reasons.record_deleted()
    changes = {"state": ImportState.FAILED, "failure_reason": reason, "upload_etag": ""}
    return record.model_copy(update=changes)


def _beginning(
    services: Services, record: ImportRecord, upload: Upload, lease: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Columns that a new record begins with."""
    if leads_elsewhere(upload.file):
        return {**_REJECTED, "failure_reason": reasons.dots_in_name(upload.file)}
    if record.hub == NO_HUB:
        folders = services.settings.hub.routes.folders
        return {**_REJECTED, "failure_reason": reasons.unknown_folder(upload.file, folders)}
    retention = services.settings.retention.record_days
    if retention and upload.uploaded_at < record.created_at - timedelta(days=retention):
        # It may have been imported by a record that was deleted since.
        return {**_REJECTED, "failure_reason": reasons.older_than_records(retention)}
    if not upload.is_settled:
        settled_at = record.created_at + SETTLING_TIME
        reason = reasons.unsettled(upload.file, SETTLING_TIME)
        return {"next_try_at": settled_at, "failure_reason": reason}
    return lease if lease and record.hub in services.hubs else {}
