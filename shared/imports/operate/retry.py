"""A retry: a new import of the lines that an import left undone."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from azure.core.exceptions import ResourceNotFoundError

from shared.device_files.footprint import FootprintBuilder
from shared.device_files.line_map import LineMap
from shared.errors import NotPossibleError
from shared.imports.model.parts import StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import ActName, Actor
from shared.imports.model.states import ImportState
from shared.imports.operate.new_import import new_import, requested_before
from shared.imports.services import Services
from shared.imports.store.import_container import (
    ImportContainer,
    LinesLostError,
    StagedFileChangedError,
    container_name,
)
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.imports.tracing import traced
from shared.logs import logger
from shared.storage.blobs import SupersededError

__all__ = ["Retry", "retry_id", "was_retried"]

log = logger(__name__)


def retry_id(import_id: str) -> str:
    """The id of an import's retry: an import is retried once."""
    return hashlib.sha256(f"retry of {import_id}".encode()).hexdigest()[:24]


def was_retried(services: Services, import_id: str) -> bool:
    """Whether an import was retried: one request, two if it was."""
    new = retry_id(import_id)
    with contextlib.suppress(UnreadableRowError, NewerRowError):
        return services.claims.find(new) is not None and services.find_record(new) is not None
    return False


class Retry:
    """Creates the retries of imports."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def create(self, old: ImportRecord, by: Actor) -> ImportRecord:
        """The import that retries an ended one; created if it does not exist yet.

        Raises:
            NotPossibleError: nothing of it can be retried as it is.
        """
        try:
            return self._create(old, by)
        except (LinesLostError, StagedFileChangedError) as error:
            raise NotPossibleError(
                f"The lines of import {old.id} were changed after they were validated. Upload the "
                "file again."
            ) from error
        except ResourceNotFoundError as error:
            raise NotPossibleError(
                f"The lines of import {old.id} were deleted (IMPORT_RETENTION_DAYS). Upload the "
                "file again."
            ) from error

    def _create(self, old: ImportRecord, by: Actor) -> ImportRecord:
        if not old.can_be_retried:
            raise NotPossibleError(f"Import {old.id} cannot be retried. {_remedy(old)}")
        if existing := requested_before(self._services, retry_id(old.id)):
            return existing
        if not (old.has_rejected_lines_only or self._is_staged(old)):
            return self._validate_again(old, by)
        source = self._services.container_of(old)
        lines = (
            source.rejected_lines(old)
            if old.has_rejected_lines_only
            else source.staged_lines(old.staged, old.devices or 0)
        )
        # A missing file is noticed before there is a claim.
        first = next(lines, None)
        if first is None:
            raise LinesLostError(1, 0)
        line_map = _line_map(source, old)
        # Where a job did not complete, its lines may be why: they get a job of their own.
        return self._queue_lines(
            self._new_record(old, by),
            line_map,
            chain((first,), lines),
            is_alone=not old.has_rejected_lines_only,
        )

    def _is_staged(self, old: ImportRecord) -> bool:
        """Whether the lines that were validated are still there."""
        if old.devices is None:
            return False
        try:
            self._services.container_of(old).check_staged(old.staged)
        except StagedFileChangedError:
            return False
        return True

    def _validate_again(self, old: ImportRecord, by: Actor) -> ImportRecord:
        """A retry that validates the upload again."""
        try:
            self._services.uploaded_file(old).properties()
        except SupersededError as error:
            raise NotPossibleError(
                f"The lines of import {old.id} were deleted (IMPORT_RETENTION_DAYS), and "
                f"{old.file!r} was overwritten or deleted. Upload the file again."
            ) from error
        return self._services.store.create(self._new_record(old, by))[0]

    def _new_record(self, old: ImportRecord, by: Actor) -> ImportRecord:
        record = new_import(self._services, retry_id(old.id), old, ActName.RETRY, by)
        return replace(record, retry_of=old.id)

    @traced("retry")
    def _queue_lines(
        self, record: ImportRecord, line_map: LineMap, lines: Iterable[bytes], *, is_alone: bool
    ) -> ImportRecord:
        """Stage the lines and write the record."""
        name = container_name(record.id)
        target = self._services.container(name)
        target.create(self._services.owner_of(record))
        writer, footprint = target.stage(), FootprintBuilder()
        for line in lines:
            writer.write(line + b"\n")
            footprint.add(line + b"\n")
        if not line_map.is_identity:
            target.write_line_map(line_map)
        log.info("retrying import %s", record.retry_of)
        staged = StagedFile(
            container=name,
            # If another request was first, the hub may be reading what that one wrote.
            etag=target.commit_once(writer),
            size=writer.size,
            has_line_map=not line_map.is_identity,
        )
        queued = replace(
            record,
            state=ImportState.QUEUED,
            lines=writer.lines,
            devices=writer.lines,
            invalid_lines=0,
            staged=staged,
            footprint=b"" if is_alone else footprint.build(),
        )
        return self._services.store.create(queued)[0]


def _line_map(source: ImportContainer, old: ImportRecord) -> LineMap:
    """Maps the retried lines to those of the upload."""
    all_lines = source.line_map(old.staged)
    if not old.has_rejected_lines_only:
        return all_lines
    line_map = LineMap()
    for number in _numbers_of(
        source.rejected_lines(old), source.staged_lines(old.staged, old.devices or 0)
    ):
        line_map.append(all_lines.upload_line(number))
    return line_map


def _numbers_of(part: Iterable[bytes], lines: Iterable[bytes]) -> Iterable[int]:
    """The numbers, from 1, of some of the lines among all of them.

    Raises:
        StagedFileChangedError: one of them is not there.
    """
    numbered = enumerate(lines, 1)
    for wanted in part:
        number = next((number for number, line in numbered if line == wanted), None)
        if number is None:
            raise StagedFileChangedError
        yield number
    for _ in numbered:
        # To the end, so that all lines are counted.
        pass


def _remedy(old: ImportRecord) -> str:
    if old.undo_of:
        return f"It is an undo: undo import {old.undo_of} again."
    if not old.upload_etag:
        return "Compare some of the devices with the hub, then upload the file again."
    if old.has_rejected_lines_only and old.failed == 0:
        return (
            "The hub rejected none of its lines. Correct those that were left out, and upload them."
        )
    return "Correct the file and upload it again."
