"""The lines of an import that was approved, when it is compared with the registry again.

An approval may take days, and a hub compares an ETag of the identity alone before it deletes a
device with its twin and its modules. So what was approved is compared once more, and a line whose
device has changed is not sent.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from shared.plan.model import Action, Note
from shared.plan.planner import PlannedText
from shared.plan.snapshot import Snapshot

__all__ = ["NOT_SENT", "approved_line", "print_of"]

#: Instead of the print of a line that is not sent.
NOT_SENT = "-"


def print_of(line: PlannedText, snapshot: Snapshot) -> str:
    """A digest of what a line does, and of the device that it deletes; the same while both are."""
    if not line.guarded:
        return NOT_SENT
    digest = blake2b(line.guarded, digest_size=12)
    planned = line.planned
    if planned.action is Action.DELETE:
        present = snapshot.find(planned.id, planned.module_id)
        digest.update((present.twin_etag if present else "").encode())
        if not planned.module_id:
            modules = snapshot.modules_of(planned.id)
            states = sorted((name, entry.etag, entry.twin_etag) for name, entry in modules)
            digest.update(f"{snapshot.modules(planned.id)} {states}".encode())
    return digest.hexdigest()


def approved_line(line: PlannedText, approved: str, now: str) -> PlannedText:
    """The line as it is sent, if at all.

    Args:
        approved: its print when that was shown.
        now: its print.
    """
    if not line.guarded or now == approved:
        return line
    planned = line.planned
    if approved == NOT_SENT and planned.action is Action.UPDATE and not planned.changes:
        # It was unchanged, and it is not known to be otherwise.
        return replace(line, planned=replace(planned, action=Action.UNCHANGED), guarded=b"")
    failing = replace(
        planned,
        action=Action.FAIL,
        code="PreconditionFailed",
        notes=(Note.CHANGED_WHILE_HELD, *planned.notes),
        new_keys=None,
        disables=False,
        deleted_modules=0,
    )
    return replace(line, planned=failing, guarded=b"")
