"""The record of an import that an operator asks for: a retry or an undo."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.imports.model.keys import uploaded_at_of
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Act, ActName, Actor
from shared.imports.services import Services
from shared.imports.store.claims import Claim
from shared.imports.store.import_container import container_name
from shared.imports.workflow.holds import configured_safeguards
from shared.imports.workflow.registration import record_deletion

__all__ = ["new_import", "requested_before"]


def requested_before(services: Services, import_id: str) -> ImportRecord | None:
    """The import, if it was requested before: its end if its record was deleted since it ran."""
    record = services.find_record(import_id)
    if record is None and services.container(container_name(import_id)).has_error_log():
        claim = services.claims.find(import_id)
        if claim is not None:
            record_deletion(services, claim.hub, claim.record_key)
        return services.find_record(import_id)
    return record


def new_import(
    services: Services, import_id: str, old: ImportRecord, act: ActName, by: Actor
) -> ImportRecord:
    """The record of an import of a part of an old one, at the end of the queue; not written yet.

    Its claim keeps the queue position by the clock of storage, so that a request that fails
    half-way can be repeated, and tells apart what was requested in the same second: clocks of
    processes differ.
    """
    now = services.clock()
    # Behind everything that was uploaded in this second.
    requested_at = services.storage_time() + timedelta(seconds=1)
    record = ImportRecord(
        hub=old.hub,
        id=import_id,
        file=old.file,
        upload_etag=old.upload_etag,
        uploaded_at=requested_at.replace(microsecond=0),
        size=old.size,
        created_at=now,
        updated_at=now,
        acts=(Act.of(act, by, now),),
        apply=old.apply,
        # Neither settings that were relaxed since nor those of before let it pass.
        safeguards=old.safeguards.joined(configured_safeguards(services.settings)),
    )
    claim, _ = services.claims.make(Claim.of(record))
    if claim.written_at is None:
        claim = services.claims.find(record.id) or claim
    try:
        return replace(
            record,
            uploaded_at=uploaded_at_of(claim.record_key),
            created_at=claim.written_at or now,
        )
    except ValueError:
        # The claim was edited.
        services.claims.restore(Claim.of(record))
        return record
