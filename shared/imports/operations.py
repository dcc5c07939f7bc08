"""What operators do with an import: cancel it, or try its staged lines again."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from shared.devices.linemap import LineMap
from shared.errors import PermanentError
from shared.imports import reasons
from shared.imports.container import ImportContainer, container_name
from shared.imports.finish import finish
from shared.imports.ledger import ConflictError
from shared.imports.record import ImportRecord, ImportState, Stop
from shared.imports.services import Services
from shared.imports.steps import step
from shared.logs import logger

__all__ = [
    "NotPossibleError",
    "Operations",
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


_CANCELLED: dict[str, Any] = {"failure_reason": reasons.cancelled_in_queue(), "stop": Stop.OPERATOR}


class NotPossibleError(PermanentError):
    """The state of the import does not allow it."""


def can_be_cancelled(record: ImportRecord) -> bool:
    """Whether there is anything to cancel that nobody has asked for yet."""
    return not record.state.is_final and record.stop is not Stop.OPERATOR


def can_be_retried(record: ImportRecord) -> bool:
    """Whether the hub was given lines that it may not have taken."""
    return record.state in _RETRYABLE and bool(
        record.retry if _is_partial(record) else record.devices
    )


def retry_id(import_id: str) -> str:
    """The id of the import that tries this one's lines again: an import is retried once."""
    return hashlib.sha256(f"retry of {import_id}".encode()).hexdigest()[:24]


def _is_partial(record: ImportRecord) -> bool:
    """Whether only what the hub refused is left to be tried again."""
    return record.state is ImportState.COMPLETED_WITH_ERRORS


class Operations:
    """The operators' verbs. Each may be repeated without harm."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ledger = services.ledger

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
                record = self._ledger.get(record.hub, record.row_key)
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
            return self._ledger.update(new, place=self._ledger.place(new))
        except ConflictError:
            return self._ledger.get(new.hub, new.row_key)

    @step("cancel")
    def _cancel(self, record: ImportRecord) -> ImportRecord:
        match record.state:
            case ImportState.VALIDATING:
                return self._ledger.transition(record, ImportState.CANCELLED, **_CANCELLED)
            case ImportState.QUEUED:
                return finish(self._services, record, ImportState.CANCELLED, **_CANCELLED)
            case ImportState.STARTING | ImportState.RUNNING:
                if record.stop is Stop.OPERATOR:
                    return record
                log.info("the job is to be cancelled")
                return self._ledger.update(record, stop=Stop.OPERATOR, next_try_at=None)
        raise NotPossibleError(f"Import {record.id} is {record.state}, which is final.")

    def _copy(self, old: ImportRecord) -> ImportRecord:
        """The import that tries the old one's lines again; made if it is not there yet.

        Its container comes first: it holds the lines and the key of the record, so that a call
        that dies on the way can be repeated.
        """
        try:
            return self._copy_lines(old)
        except ResourceNotFoundError as error:
            raise NotPossibleError(
                f"The lines of import {old.id} are not there any more (IMPORT_RETENTION_DAYS). "
                "Upload the file again."
            ) from error

    def _copy_lines(self, old: ImportRecord) -> ImportRecord:
        if not can_be_retried(old):
            raise NotPossibleError(
                f"Import {old.id} gave the hub no lines that could be tried again. Correct the "
                "file and upload it again."
            )
        import_id = retry_id(old.id)
        if made_before := self._ledger.find(old.hub, import_id):
            return made_before
        source = self._services.container_of(old)
        lines = source.retry_lines() if _is_partial(old) else source.staged_lines(old.fences)
        first = next(lines)
        now = self._services.clock()
        record = ImportRecord(
            hub=old.hub,
            id=import_id,
            file=old.file,
            upload_etag=old.upload_etag,
            uploaded_at=now,
            size=old.size,
            state=ImportState.QUEUED,
            created_at=now,
            updated_at=now,
            retry_of=old.id,
            container=container_name(import_id),
        )
        return self._queue_lines(record, old, source, chain((first,), lines))

    @step("retry")
    def _queue_lines(
        self,
        record: ImportRecord,
        old: ImportRecord,
        source: ImportContainer,
        lines: Iterable[bytes],
    ) -> ImportRecord:
        target = self._services.container_of(record)
        queued = record.created_at.isoformat()
        owner = target.create({**self._services.owner_of(record), "queued": queued})
        record = record.model_copy(update={"uploaded_at": datetime.fromisoformat(owner["queued"])})
        staging = target.staging()
        count = 0
        for line in lines:
            staging.write(line + b"\n")
            count += 1
        # If another call was first, the hub may be reading what that one wrote.
        with contextlib.suppress(ResourceExistsError):
            staging.commit(overwrite=False)
        line_map = _line_map(source, old)
        if not line_map.is_identity:
            target.write_line_map(line_map)
        log.info("tries import %s again", old.id)
        changes = {"lines": count, "devices": count, "has_line_map": not line_map.is_identity}
        return self._ledger.create(record.model_copy(update=changes))[0]


def _line_map(source: ImportContainer, old: ImportRecord) -> LineMap:
    """Leads from the lines that are tried again to those of the upload."""
    whole = source.line_map() if old.has_line_map else LineMap()
    if not _is_partial(old):
        return whole
    line_map = LineMap()
    for number in _positions(source.retry_lines(), source.staged_lines(old.fences)):
        line_map.append(whole.upload_line(number))
    return line_map


def _positions(some: Iterable[bytes], lines: Iterable[bytes]) -> Iterable[int]:
    """Where some of the lines stand among all of them, counted from 1."""
    numbered = enumerate(lines, 1)
    for wanted in some:
        yield next(number for number, line in numbered if line == wanted)
