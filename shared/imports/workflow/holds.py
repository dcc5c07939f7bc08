"""Imports that wait for an approval: which ones, and what ends the wait without one.

An import is held when it was compared with the registry, with what it will do. It stands in no
queue then. Its approval queues it again; see `operate.approvals`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.device_files.footprint import Footprint
from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Hold, Safeguards, When
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.workflow import hold_reasons as reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.events import event_of_hold
from shared.logs import logger
from shared.plan.model import Action, Note
from shared.plan.planner import PlanCounts
from shared.settings import Settings
from shared.storage.blobs import SupersededError, digest_of

__all__ = [
    "LaterImports",
    "configured_safeguards",
    "end_if_over",
    "hold",
    "later_imports",
    "reason_to_hold",
]

log = logger(__name__)

#: Open imports of a hub that are looked at.
MAX_QUEUED = 200


def configured_safeguards(settings: Settings) -> Safeguards:
    """What the settings demand now; it is fixed in the record of an import."""
    wanted = settings.safeguards
    safeguards = Safeguards(backup=When(wanted.backup))
    if wanted.approval == "never":
        return safeguards
    return replace(
        safeguards,
        approval=When(wanted.approval),
        unapproved=settings.validation.max_deletes,
        unapproved_share=wanted.hub_share,
        unapproved_lines=settings.validation.max_delete_share,
        deadline_days=wanted.deadline_days,
        four_eyes=wanted.four_eyes,
    )


def reason_to_hold(record: ImportRecord, counts: PlanCounts, hub_devices: int | None) -> str:
    """Why an import that was planned has to be approved; "" if it need not.

    Args:
        hub_devices: how many devices the hub has; None if that is not known.
    """
    safeguards = record.safeguards
    if safeguards.approval is When.NEVER:
        return ""
    allowed = safeguards.unapproved or 0
    if hub_devices is not None and safeguards.unapproved_share is not None:
        allowed = min(allowed, math.floor(safeguards.unapproved_share * hub_devices))
    deletes = counts.actions[Action.DELETE]
    # Where keys cannot be compared, they may be new.
    new_keys = counts.new_keys + counts.notes[Note.KEYS_NOT_COMPARED]
    if safeguards.approval is When.ALWAYS:
        return reasons.always(
            {
                "creates": counts.actions[Action.CREATE],
                "updates": counts.actions[Action.UPDATE],
                "deletes": deletes,
                "replaces the keys of": new_keys,
                "disables": counts.disables,
            }
        )
    found = [
        reasons.too_many(what, count, allowed)
        for what, count in (
            ("deletes", deletes),
            ("replaces the keys of", new_keys),
            ("disables", counts.disables),
        )
        if count > allowed
    ]
    lines = record.lines or 0
    share = safeguards.unapproved_lines
    if not found and share is not None and deletes > int(share * lines):
        found.append(reasons.too_many_of_lines(deletes, lines))
    return reasons.held(found) if found else ""


def hold(
    services: Services, job: JobRecord, former: ImportRecord, record: ImportRecord, reason: str
) -> ImportRecord:
    """Take an import out of the queue until somebody decides about it.

    Args:
        job: that of its comparison with the registry, which is over.
        former: the record as it was read.
        record: with its plan, if there is one.

    Raises:
        ConflictError: another process changed the import first.
        AzureError: storage is unavailable.
    """
    now = services.clock()
    days = record.safeguards.deadline_days
    digest = record.plan.digest
    if not digest:
        file = services.container_of(record).file(record.staged.name)
        digest = digest_of(file.chunks()).hex()[:32]
    held = Hold(
        since=now,
        until=now + timedelta(days=days) if days else None,
        reason=reason,
        digest=digest,
    )
    # First: a row that nobody looks for would never be found.
    services.known_hubs.add_guarded(record.hub)
    record = replace(record, hold=held, failure_reason=reason)
    services.jobs.hold(job, former, record, event_of_hold)
    log.warning("%s", reason)
    return services.store.get(record.hub, record.row_key)


def end_if_over(services: Services, record: ImportRecord) -> ImportRecord | None:
    """End a held import whose time is over or whose upload was replaced.

    Returns:
        The final record; None if it is still to be decided about.
    """
    if record.hold.until is not None and services.clock() >= record.hold.until:
        days = record.safeguards.deadline_days or 0
        return _end(services, record, ImportState.CANCELLED, reasons.deadline_passed(days))
    if record.undo_of:
        return None
    upload = services.uploaded_file(record)
    try:
        upload.properties()
    except SupersededError:
        # The upload of an import that is retried may have been deleted or moved by retention.
        if not (record.retry_of and upload.is_deleted()):
            return _end(services, record, ImportState.SUPERSEDED, reasons.superseded(record.file))
    return None


def _end(services: Services, record: ImportRecord, state: ImportState, reason: str) -> ImportRecord:
    ended = replace(record, failure_reason=reason, imported=0, failed=0)
    return end_import(services, ended, state)


@dataclass(frozen=True)
class LaterImports:
    """Imports that touched, or will touch before it, devices of a held import."""

    touching: Sequence[ImportRecord]
    #: Those of which it is not known which devices they touch.
    unknown: Sequence[ImportRecord]
    #: Whether there may be more.
    is_truncated: bool

    @property
    def count(self) -> int:
        return len(self.touching) + len(self.unknown)

    def __iter__(self) -> Iterator[ImportRecord]:
        yield from self.touching
        yield from self.unknown


def later_imports(services: Services, record: ImportRecord) -> LaterImports:
    """The imports of the hub that may have changed its devices since it was planned.

    Three queries at most. Its plan is guarded: a line whose device has changed fails.
    """
    since = record.plan.as_of or record.hold.since or record.created_at
    imports, is_whole = services.queries.imports_since(record.hub, since)
    by_key = {other.row_key: other for other in imports}
    queue = services.queue_rows.oldest(record.hub, MAX_QUEUED)
    if keys := {row.record_key for row in queue} - by_key.keys():
        by_key |= services.queries.records(record.hub, keys)
    own = Footprint.from_bytes(record.footprint)
    touching, unknown = [], []
    for other in by_key.values():
        if other.id == record.id or (other.state.is_final and other.imported == 0):
            continue
        footprint = Footprint.from_bytes(other.footprint)
        if own is None or footprint is None:
            unknown.append(other)
        elif own.touches(footprint):
            touching.append(other)
    return LaterImports(touching, unknown, not is_whole or len(queue) == MAX_QUEUED)
