"""What people decide about held imports: approve or decline them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

from shared.errors import LaterImportsError, NotPossibleError
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Act, ActName, Actor
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_container import StagedFileChangedError
from shared.imports.store.import_store import ConflictError
from shared.imports.tracing import traced
from shared.imports.workflow import hold_reasons as reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.events import event_of_approval
from shared.imports.workflow.holds import end_if_over, later_imports
from shared.logs import logger
from shared.text import clean

__all__ = ["Approvals"]

log = logger(__name__)

#: How somebody asks for an import.
_ASKING = (ActName.UPLOAD, ActName.RETRY, ActName.UNDO)

#: Characters of a reason that are kept.
MAX_NOTE = 500

#: Attempts to change a record that other processes change at the same time.
MAX_ATTEMPTS = 10


class Approvals:
    """Decides about held imports. Each decision may be repeated without harm."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def approve(self, record: ImportRecord, digest: str, later: int, by: Actor) -> ImportRecord:
        """Queue a held import, behind all that waits now. It does what its plan says.

        Args:
            digest: what is approved: `hold.digest` of the import as it was shown.
            later: how many later imports were shown that may have changed its devices.

        Returns:
            The import, queued; or as it is now if the same was approved before.

        Raises:
            NotPossibleError: it is not held, or not any more, or what is approved is not what it
                will do, or who approves may not.
            LaterImportsError: other imports may have changed its devices since that was shown.
            ConflictError: other processes changed the import again and again.
            AzureError: storage is unavailable.
        """
        for _ in range(MAX_ATTEMPTS - 1):
            with contextlib.suppress(ConflictError):
                return self._approve(record, digest, later, by)
        return self._approve(record, digest, later, by)

    def _approve(self, record: ImportRecord, digest: str, later: int, by: Actor) -> ImportRecord:
        current = self._services.store.get(record.hub, record.row_key)
        if current.state is not ImportState.HELD:
            if digest == current.hold.digest and _is_approved(current):
                return current
            raise NotPossibleError(
                f"Import {current.id} is {current.state.label}. Only an import that waits for "
                "approval can be approved."
            )
        if digest != current.hold.digest:
            raise NotPossibleError(
                f"What was approved is not the plan of import {current.id}. Look at it again, then "
                f"approve its digest {current.hold.digest}."
            )
        return self._queue(current, later, by)

    @traced("approve")
    def _queue(self, record: ImportRecord, later: int, by: Actor) -> ImportRecord:
        _check_four_eyes(record, by)
        if ended := end_if_over(self._services, record):
            raise NotPossibleError(ended.failure_reason)
        try:
            self._services.check_files(record)
        except StagedFileChangedError as error:
            # What was shown cannot be done any more; a retry compares the import again.
            failed = replace(record, failure_reason=str(error), imported=0, failed=0)
            end_import(self._services, failed, ImportState.FAILED)
            raise NotPossibleError(str(error)) from error
        found = later_imports(self._services, record)
        if found.count != later:
            raise LaterImportsError(
                record.id,
                [other.id for other in found],
                is_guarded=record.plan.as_of is not None,
            )
        approved = replace(
            record,
            failure_reason="",
            acts=(*record.acts, Act.of(ActName.APPROVE, by, self._services.clock())),
            hold=replace(record.hold, compared_again=False if record.plan.prints else None),
        )
        # Behind everything that was uploaded in this second.
        approved_at = self._services.storage_time() + timedelta(seconds=1)
        key = record.queue_key_of_approval(approved_at)
        queued = self._services.store.approve(approved, key, event_of_approval)
        log.info("approved by %s", by)
        return queued

    def decline(self, record: ImportRecord, reason: str, by: Actor) -> ImportRecord:
        """End a held import.

        Args:
            reason: what is said about it; may be "".

        Raises:
            NotPossibleError: it is not held.
            ConflictError: other processes changed the import again and again.
            AzureError: storage is unavailable.
        """
        for _ in range(MAX_ATTEMPTS - 1):
            with contextlib.suppress(ConflictError):
                return self._decline(record, reason, by)
        return self._decline(record, reason, by)

    @traced("decline")
    def _decline(self, record: ImportRecord, reason: str, by: Actor) -> ImportRecord:
        record = self._services.store.get(record.hub, record.row_key)
        if record.state is not ImportState.HELD:
            raise NotPossibleError(
                f"Import {record.id} is {record.state.label}. Only an import that waits for "
                "approval can be declined."
            )
        note = clean(reason, MAX_NOTE)
        declined = replace(
            record,
            failure_reason=reasons.declined(note),
            acts=(*record.acts, Act.of(ActName.DECLINE, by, self._services.clock(), note)),
            imported=0,
            failed=0,
        )
        return end_import(self._services, declined, ImportState.CANCELLED)


def _is_approved(record: ImportRecord) -> bool:
    return any(act.name is ActName.APPROVE for act in record.acts)


def _check_four_eyes(record: ImportRecord, by: Actor) -> None:
    """Check that somebody else approves than who asked for the import.

    Raises:
        NotPossibleError: it is the same person, or it is not known who one of them is.
    """
    if not record.safeguards.four_eyes:
        return
    if not by.id:
        raise NotPossibleError(
            f"It is not known who approves ({by.who}), which APPROVAL_FOUR_EYES demands. Sign in: "
            "approve on the dashboard with App Service Authentication, or at the command line with "
            "Entra ID instead of a key."
        )
    asked = next((act for act in reversed(record.acts) if act.name in _ASKING), None)
    if asked is None or not asked.id:
        raise NotPossibleError(
            f"It is not known who asked for import {record.id}, which APPROVAL_FOUR_EYES demands. "
            "Decline it. Then one person, signed in, uploads it again on the dashboard or retries "
            "it, and another approves that."
        )
    same_id = by.id.casefold() == asked.id.casefold()
    if same_id or by.who.casefold() == asked.who.casefold():
        raise NotPossibleError(
            f"{by.who} asked for import {record.id}. With APPROVAL_FOUR_EYES somebody else has to "
            "approve it."
        )
