"""A retry: a new import of the lines that an import left undone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import chain

from azure.core.exceptions import ResourceNotFoundError

from shared.device_files.footprint import FootprintBuilder
from shared.device_files.line_map import LineMap
from shared.errors import NotPossibleError
from shared.imports.model.keys import uploaded_at_of
from shared.imports.model.record import ImportRecord, StagedFile
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.claims import Claim
from shared.imports.store.import_container import (
    ImportContainer,
    LinesLostError,
    StagedFileChangedError,
    container_name,
)
from shared.imports.tracing import traced
from shared.imports.workflow.registration import record_deletion
from shared.logs import logger
from shared.storage.blobs import SupersededError

__all__ = ["Retry", "retry_id"]

log = logger(__name__)


def retry_id(import_id: str) -> str:
    """The id of an import's retry: an import is retried once."""
    return hashlib.sha256(f"retry of {import_id}".encode()).hexdigest()[:24]


class Retry:
    """Creates the retries of imports."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def create(self, old: ImportRecord) -> ImportRecord:
        """The import that retries an ended one; created if it does not exist yet.

        Raises:
            NotPossibleError: nothing of it can be retried as it is.
        """
        try:
            return self._create(old)
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

    def _create(self, old: ImportRecord) -> ImportRecord:
        if not old.can_be_retried:
            raise NotPossibleError(f"Import {old.id} cannot be retried. {_remedy(old)}")
        if existing := self._existing(retry_id(old.id)):
            return existing
        if not (old.has_rejected_lines_only or self._is_staged(old)):
            return self._validate_again(old)
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
            self._new_record(old),
            line_map,
            chain((first,), lines),
            is_alone=not old.has_rejected_lines_only,
        )

    def _existing(self, import_id: str) -> ImportRecord | None:
        """The retry, if it was requested before."""
        record = self._services.find_record(import_id)
        if record is None and self._services.container(container_name(import_id)).has_error_log():
            # Its job has run, and its record was deleted.
            claim = self._services.claims.find(import_id)
            if claim is not None:
                record_deletion(self._services, claim.hub, claim.record_key)
            return self._services.find_record(import_id)
        return record

    def _is_staged(self, old: ImportRecord) -> bool:
        """Whether the lines that were validated are still there."""
        if old.devices is None:
            return False
        try:
            self._services.container_of(old).check_staged(old.staged)
        except StagedFileChangedError:
            return False
        return True

    def _validate_again(self, old: ImportRecord) -> ImportRecord:
        """A retry that validates the upload again."""
        try:
            self._services.uploaded_file(old).properties()
        except SupersededError as error:
            raise NotPossibleError(
                f"The lines of import {old.id} were deleted (IMPORT_RETENTION_DAYS), and "
                f"{old.file!r} was overwritten or deleted. Upload the file again."
            ) from error
        return self._services.store.create(self._new_record(old))[0]

    def _new_record(self, old: ImportRecord) -> ImportRecord:
        """The record of a retry, at the end of the queue by the clock of storage.

        Its claim keeps the queue position, so that a request that fails half-way can be repeated,
        and tells apart what was requested in the same second: clocks of processes differ.
        """
        now = self._services.clock()
        # Behind everything that was uploaded in this second.
        requested_at = self._services.storage_time() + timedelta(seconds=1)
        record = ImportRecord(
            hub=old.hub,
            id=retry_id(old.id),
            file=old.file,
            upload_etag=old.upload_etag,
            uploaded_at=requested_at.replace(microsecond=0),
            size=old.size,
            created_at=now,
            updated_at=now,
            retry_of=old.id,
            apply=old.apply,
        )
        claim, _ = self._services.claims.make(Claim.of(record))
        if claim.written_at is None:
            claim = self._services.claims.find(record.id) or claim
        try:
            return replace(
                record,
                uploaded_at=uploaded_at_of(claim.record_key),
                created_at=claim.written_at or now,
            )
        except ValueError:
            # The claim was edited.
            self._services.claims.restore(Claim.of(record))
            return record

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
    if not old.upload_etag:
        return "Compare some of the devices with the hub, then upload the file again."
    if old.has_rejected_lines_only and old.failed == 0:
        return (
            "The hub rejected none of its lines. Correct those that were left out, and upload them."
        )
    return "Correct the file and upload it again."
