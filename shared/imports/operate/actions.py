"""What operators do with an import: cancel it, or try its staged lines again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from itertools import chain
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from shared.device_files.line_map import LineMap
from shared.errors import PermanentError
from shared.imports.model import reasons
from shared.imports.model.record import ImportRecord, ImportState, Stop, uploaded_at_of
from shared.imports.services import Services
from shared.imports.store.claims import Claim
from shared.imports.store.import_container import (
    ForeignContainerError,
    ImportContainer,
    LinesLostError,
    StagedFileChangedError,
    container_name,
)
from shared.imports.store.import_store import ConflictError
from shared.imports.tracing import step
from shared.imports.workflow.completion import finish
from shared.imports.workflow.registration import record_deletion
from shared.logs import logger

__all__ = [
    "Actions",
    "NotPossibleError",
    "can_be_cancelled",
    "can_be_retried",
    "retry_id",
]

log = logger(__name__)

#: How often a change is tried while other processes change the record.
TRIES = 10

#: Final states with lines that the hub was given and that may not have been imported.
_RETRYABLE = frozenset(
    {ImportState.FAILED, ImportState.CANCELLED, ImportState.COMPLETED_WITH_ERRORS}
)


_CANCELLED: dict[str, Any] = {
    "failure_reason": reasons.cancelled_in_queue(),
    "stop": Stop.OPERATOR,
    "imported": 0,
    "failed": 0,
}


class NotPossibleError(PermanentError):
    """The state of the import does not allow it."""


def can_be_cancelled(record: ImportRecord) -> bool:
    """Whether there is anything to cancel that nobody has asked for yet."""
    return not record.state.is_final and record.stop is not Stop.OPERATOR


def can_be_retried(record: ImportRecord) -> bool:
    """Whether something of the import is left that may be tried again as it is."""
    if _is_partial(record):
        return bool(record.retry)
    if record.state is ImportState.FAILED and record.devices is None:
        # Not staged, for no fault of the file: it is validated again.
        return bool(record.upload_etag)
    return record.state in _RETRYABLE and bool(record.devices)


def retry_id(import_id: str) -> str:
    """The id of the import that tries this one's lines again: an import is retried once."""
    return hashlib.sha256(f"retry of {import_id}".encode()).hexdigest()[:24]


def _is_partial(record: ImportRecord) -> bool:
    """Whether only what the hub refused is left to be tried again."""
    return record.state is ImportState.COMPLETED_WITH_ERRORS


class Actions:
    """The operators' verbs. Each may be repeated without harm."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store

    def cancel(self, record: ImportRecord) -> ImportRecord:
        """Cancel an import that is not final.

        Returns:
            The import: cancelled; or still starting or running, until the hub says how its job
            ended. A job that ends before the hub hears of it is recorded as it ended.

        Raises:
            NotPossibleError: the import is final.
            ConflictError: other processes changed it again and again; try once more.
        """
        for _ in range(TRIES - 1):
            try:
                return self._cancel(record)
            except ConflictError:
                record = self._store.get(record.hub, record.row_key)
        return self._cancel(record)

    def retry(self, old: ImportRecord) -> ImportRecord:
        """Import again what an import left undone, as a new one at the end of its hub's queue.

        After `completedWithErrors` these are the lines that the hub refused, otherwise all that
        were staged. An import is retried once: whoever asks again gets the same new import.

        Returns:
            The new import. It is queued; a tick starts it when its turn has come.

        Raises:
            NotPossibleError: it is not final, or nothing of it is left to try again.
        """
        if old.state not in _RETRYABLE:
            raise NotPossibleError(
                f"Import {old.id} is {old.state}; only imports that failed, were cancelled or were "
                "completed with errors can be tried again."
            )
        new = self._copy(old)
        if new.state is not ImportState.QUEUED:
            return new
        try:
            return self._store.update(new, place=self._store.place(new))
        except ConflictError:
            return self._store.get(new.hub, new.row_key)

    @step("cancel")
    def _cancel(self, record: ImportRecord) -> ImportRecord:
        match record.state:
            case ImportState.VALIDATING:
                return finish(self._services, record, ImportState.CANCELLED, **_CANCELLED)
            case ImportState.QUEUED if not record.staged_generation:
                return finish(self._services, record, ImportState.CANCELLED, **_CANCELLED)
            case ImportState.QUEUED | ImportState.STARTING | ImportState.RUNNING:
                if record.hub not in self._services.hubs:
                    return finish(
                        self._services,
                        record,
                        ImportState.CANCELLED,
                        failure_reason=reasons.cancelled_without_hub(record.hub),
                        stop=Stop.OPERATOR,
                        imported=None,
                        failed=None,
                    )
                # There may be a job, so a tick ends it when the hub has told.
                if record.stop is Stop.OPERATOR:
                    return record
                log.info("the job is to be cancelled")
                return self._store.update(record, stop=Stop.OPERATOR, next_try_at=None)
        raise NotPossibleError(f"Import {record.id} is {record.state}, which is final.")

    def _copy(self, old: ImportRecord) -> ImportRecord:
        """The import that tries the old one's lines again; made if it is not there yet."""
        try:
            return self._copy_lines(old)
        except (LinesLostError, StagedFileChangedError) as error:
            raise NotPossibleError(
                f"The lines of import {old.id} were changed after they were validated. Upload the "
                "file again."
            ) from error
        except ResourceNotFoundError as error:
            raise NotPossibleError(
                f"The lines of import {old.id} are not there any more (IMPORT_RETENTION_DAYS). "
                "Upload the file again."
            ) from error

    def _copy_lines(self, old: ImportRecord) -> ImportRecord:
        if not can_be_retried(old):
            raise NotPossibleError(
                f"Nothing of import {old.id} can be tried again as it is. Correct the file and "
                "upload it again."
            )
        import_id = retry_id(old.id)
        if made_before := self._find(import_id):
            return made_before
        if not (_is_partial(old) or self._is_staged(old)):
            self._check_upload(old)
            changes = {"state": ImportState.VALIDATING, "container": ""}
            record = self._place(old, import_id).model_copy(update=changes)
            return self._store.create(record)[0]
        source = self._services.container_of(old)
        lines = source.retry_lines(old) if _is_partial(old) else source.staged_lines(old)
        # What is missing is missed before there is a claim.
        first = next(lines, None)
        if first is None:
            raise LinesLostError(1, 0)
        line_map = _line_map(source, old)
        record = self._place(old, import_id)
        return self._queue_lines(record, old, line_map, chain((first,), lines))

    def _is_staged(self, old: ImportRecord) -> bool:
        """Whether the lines that were validated are still there."""
        if old.devices is None:
            return False
        try:
            self._services.container_of(old).check_staged(old)
        except StagedFileChangedError:
            return False
        return True

    def _check_upload(self, old: ImportRecord) -> None:
        """Make sure that the upload can be validated again.

        Raises:
            NotPossibleError: it is gone.
        """
        container = self._services.storage.container(self._services.settings.upload_container)
        try:
            container.get_blob_client(old.file).get_blob_properties(
                etag=f'"{old.upload_etag}"', match_condition=MatchConditions.IfNotModified
            )
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise NotPossibleError(
                f"The lines of import {old.id} are not there any more (IMPORT_RETENTION_DAYS), and "
                f"{old.file!r} was overwritten or deleted. Upload the file again."
            ) from error

    def _place(self, old: ImportRecord, import_id: str) -> ImportRecord:
        """The record of a retry, at the end of the queue by the clock of storage.

        Its claim keeps the place, so that a call that dies on the way can be repeated.
        """
        now = self._services.clock()
        # Behind everything that was uploaded in this second.
        asked_at = self._services.storage_time() + timedelta(seconds=1)
        record = ImportRecord(
            hub=old.hub,
            id=import_id,
            file=old.file,
            upload_etag=old.upload_etag,
            uploaded_at=asked_at.replace(microsecond=0),
            size=old.size,
            state=ImportState.QUEUED,
            created_at=now,
            updated_at=now,
            retry_of=old.id,
            container=container_name(import_id),
        )
        claim, _ = self._services.claims.make(
            Claim(import_id, record.hub, record.row_key, record.file)
        )
        try:
            return record.model_copy(update={"uploaded_at": uploaded_at_of(claim.record_key)})
        except ValueError:
            # People edited the claim.
            self._services.claims.restore(Claim(import_id, record.hub, record.row_key, record.file))
            return record

    def _find(self, import_id: str) -> ImportRecord | None:
        """The record of a retry that was asked for before."""
        record = self._services.find_record(import_id)
        container = self._services.container(container_name(import_id))
        if record is None and container.has_error_log():
            # Its job has run, and people deleted its record.
            claim = self._services.claims.find(import_id)
            if claim is not None:
                record_deletion(self._services, claim.hub, claim.record_key)
            return self._services.find_record(import_id)
        return record

    @step("retry")
    def _queue_lines(
        self,
        record: ImportRecord,
        old: ImportRecord,
        line_map: LineMap,
        lines: Iterable[bytes],
    ) -> ImportRecord:
        target = self._services.container_of(record)
        owner = self._services.owner_of(record)
        if target.create(owner) != owner:
            raise ForeignContainerError(record.container)
        staging = target.staging()
        for line in lines:
            staging.write(line + b"\n")
        if not line_map.is_identity:
            target.write_line_map(line_map)
        log.info("tries import %s again", old.id)
        changes = {
            "lines": staging.lines,
            "devices": staging.lines,
            "invalid_lines": 0,
            "has_line_map": not line_map.is_identity,
            # If another call was first, the hub may be reading what that one wrote.
            "staged_etag": target.commit_once(staging),
            "staged_bytes": staging.size,
        }
        return self._store.create(record.model_copy(update=changes))[0]


def _line_map(source: ImportContainer, old: ImportRecord) -> LineMap:
    """Leads from the lines that are tried again to those of the upload."""
    whole = source.line_map() if old.has_line_map else LineMap()
    if not _is_partial(old):
        return whole
    line_map = LineMap()
    for number in _positions(source.retry_lines(old), source.staged_lines(old)):
        line_map.append(whole.upload_line(number))
    return line_map


def _positions(some: Iterable[bytes], lines: Iterable[bytes]) -> Iterable[int]:
    """Where some of the lines stand among all of them, counted from 1.

    Raises:
        StagedFileChangedError: one of them is not there.
    """
    numbered = enumerate(lines, 1)
    for wanted in some:
        position = next((number for number, line in numbered if line == wanted), None)
        if position is None:
            raise StagedFileChangedError
        yield position
    for _ in numbered:
        # To the end, so that all lines are counted.
        pass
