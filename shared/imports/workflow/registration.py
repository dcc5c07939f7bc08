"""An upload gets its record, and with it its queue position."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties, BlobType

from shared.imports.model.keys import import_id_of, uploaded_at_of
from shared.imports.model.parts import BackOff, Lease
from shared.imports.model.record import NO_HUB, ImportRecord, upload_id
from shared.imports.model.safeguards import Act, ActName
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.claims import Claim
from shared.imports.store.rows import UnreadableRowError
from shared.imports.store.tickets import ticket_of
from shared.imports.workflow import upload_reasons as reasons
from shared.imports.workflow.completion import create_ended
from shared.logs import logger

__all__ = [
    "Upload",
    "has_dot_folder",
    "is_folder",
    "record_deletion",
    "record_of",
    "register",
]

log = logger(__name__)

#: How long a blob that may still be written has to stay unchanged before it is read.
SETTLING_TIME = timedelta(minutes=1)


@dataclass(frozen=True)
class Upload:
    """One version of a blob in the upload container."""

    file: str
    etag: str
    uploaded_at: datetime
    #: Bytes.
    size: int
    #: False for a blob that may not be complete: an empty one, which some clients create before
    #: they write the content, an append blob, which has no end, and a page blob, which has its size
    #: before its content.
    is_settled: bool = True
    #: The id of its `UploadTicket` by its metadata, which may be forged; "" if they name none.
    ticket: str = ""

    @classmethod
    def of(cls, blob: BlobProperties) -> Self:
        is_settled = bool(blob.size) and blob.blob_type == BlobType.BLOCKBLOB
        ticket = ticket_of(blob.metadata)
        etag = blob.etag.strip('"')
        return cls(blob.name, etag, blob.last_modified, blob.size, is_settled, ticket)


def is_folder(blob: BlobProperties) -> bool:
    """Whether the blob marks a folder of an account with hierarchical namespace."""
    metadata = {name.lower(): value for name, value in (blob.metadata or {}).items()}
    return metadata.get("hdi_isfolder", "").lower() == "true"


def has_dot_folder(path: str) -> bool:
    """Whether HTTP clients resolve the path to another one (RFC 3986, 5.2.4)."""
    return not {".", ".."}.isdisjoint(path.split("/"))


def record_of(services: Services, upload: Upload) -> ImportRecord:
    """The record that the upload would get now; id and row key are the same each time."""
    now = services.clock()
    settings = services.settings
    return ImportRecord(
        hub=settings.hub.routes.hub_of(upload.file) or NO_HUB,
        id=upload_id(
            settings.storage.imports_table, settings.uploads.container, upload.file, upload.etag
        ),
        file=upload.file,
        upload_etag=upload.etag,
        uploaded_at=upload.uploaded_at,
        size=upload.size,
        created_at=now,
        updated_at=now,
    )


def register(
    services: Services, upload: Upload, lease: Lease | None = None
) -> tuple[ImportRecord, bool]:
    """Give the upload its record, in the partition of the hub that it was first seen for.

    Args:
        lease: for a new record whose validation the caller begins at once.

    Returns:
        The record in the table, and whether this call created it.

    Raises:
        UnreadableRowError, NewerRowError: it has a record or a claim that cannot be used.
    """
    routed = record_of(services, upload)
    store, claims = services.store, services.claims
    folder, slash, _ = upload.file.partition("/")
    # Where the record may be: the settings may have changed since the upload was first seen.
    hubs = services.known_hubs.add(
        routed.hub, folder if slash else "", for_all=services.settings.hub.routes.is_single
    )
    claim: Claim | None = None
    is_new = False
    try:
        if hubs > {routed.hub}:
            claim = claims.find(routed.id)
        else:
            claim, is_new = claims.make(Claim.of(routed))
    except UnreadableRowError as error:
        log.error("%s It is written again.", error)
        claims.restore(Claim.of(routed))
    if claim is not None and not is_new:
        with contextlib.suppress(ResourceNotFoundError):
            return store.get(claim.hub, claim.record_key), False
    visited = claim.hub if claim is not None else routed.hub
    if former := _record_at(services, routed, hubs - {visited}):
        claims.restore(Claim.of(former))
        return former, False
    if claim is None:
        claim, is_new = claims.make(Claim.of(routed))
    # The claim may have been edited.
    is_usable = claim.record_key == routed.row_key and (
        is_new or services.known_hubs.includes(claim.hub)
    )
    record = replace(routed, hub=claim.hub) if is_usable else routed
    if not is_new:
        owner = services.owner_by_container(record.id)
        if owner is not None:
            record = replace(record, hub=owner.hub)
        if (record.hub, record.row_key) != (claim.hub, claim.record_key):
            claims.restore(Claim.of(record))
        if owner is not None or claim.has_ended or services.queue_rows.has_row(record):
            # Another process may have written the record since it was read.
            with contextlib.suppress(ResourceNotFoundError):
                return store.get(record.hub, record.row_key), False
            log.error("the record of %r was deleted", upload.file)
            return _create_deleted(services, record)
    record = _first_record(services, _with_uploader(services, record, upload), upload, lease)
    if record.state.is_final:
        return create_ended(services, record)
    return store.create(record)


def record_deletion(services: Services, hub: str, row_key: str) -> None:
    """Write the final record of an open import whose record was deleted."""
    import_id, now = import_id_of(row_key), services.clock()
    try:
        claim = services.claims.find(import_id)
    except UnreadableRowError:
        claim = None
    record = ImportRecord(
        hub=hub,
        id=import_id,
        file=claim.file if claim else "(unknown)",
        uploaded_at=uploaded_at_of(row_key),
        created_at=now,
        updated_at=now,
    )
    _create_deleted(services, record)


def _record_at(
    services: Services, record: ImportRecord, hubs: Iterable[str]
) -> ImportRecord | None:
    """The record of an upload in the partition of one of these hubs."""
    for hub in hubs:
        with contextlib.suppress(ResourceNotFoundError):
            return services.store.get(hub, record.row_key)
    return None


def _create_deleted(services: Services, record: ImportRecord) -> tuple[ImportRecord, bool]:
    """Write the final record of an import whose record was deleted.

    It cannot be retried as it is: the devices may have been applied.
    """
    services.claims.note_end(record.id)
    failed = replace(
        record, state=ImportState.FAILED, failure_reason=reasons.record_deleted(), upload_etag=""
    )
    return create_ended(services, failed)


def _with_uploader(services: Services, record: ImportRecord, upload: Upload) -> ImportRecord:
    """The record with who uploaded the file, if that is known."""
    if not upload.ticket:
        return record
    by = services.tickets.use(upload.ticket, upload.file, upload.uploaded_at, record.id)
    if by is None:
        return record
    return replace(record, acts=(Act.of(ActName.UPLOAD, by, upload.uploaded_at),))


def _first_record(
    services: Services, record: ImportRecord, upload: Upload, lease: Lease | None
) -> ImportRecord:
    """The record as it is written first."""
    rejection = ""
    retention = services.settings.retention.record_days
    if has_dot_folder(upload.file):
        rejection = reasons.dot_folder(upload.file)
    elif record.hub == NO_HUB:
        rejection = reasons.unknown_folder(upload.file, services.settings.hub.routes.folders)
    elif retention and upload.uploaded_at < record.created_at - timedelta(days=retention):
        # It may have been imported by a record that was deleted since.
        rejection = reasons.older_than_records(retention)
    if rejection:
        return replace(
            record, state=ImportState.REJECTED, failure_reason=rejection, imported=0, failed=0
        )
    if not upload.is_settled:
        return replace(
            record,
            back_off=BackOff(next_try_at=record.created_at + SETTLING_TIME),
            failure_reason=reasons.unsettled(upload.file, SETTLING_TIME),
        )
    if lease is not None and record.hub in services.hubs:
        return replace(record, lease=lease, validation_attempts=1)
    return record
