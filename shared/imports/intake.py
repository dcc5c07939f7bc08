"""From an upload to a staged import in the queue, or to its rejection."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties

from shared.devices.report import Report
from shared.devices.validation import Limits, Validation
from shared.imports import reasons
from shared.imports.container import ImportContainer, container_name
from shared.imports.ledger import ConflictError
from shared.imports.record import NO_HUB, ImportRecord, ImportState
from shared.imports.report import build_report
from shared.imports.services import Services

__all__ = ["Intake"]

log = logging.getLogger(__name__)


class Intake:
    """Takes uploads in. Safe to call any number of times for one upload."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._ledger = services.ledger
        self._limits = Limits(
            max_line_bytes=self._settings.max_line_bytes,
            max_problems=self._settings.max_reported_problems,
        )

    def take(self, file: str) -> ImportRecord | None:
        """Validate and stage what the blob holds now.

        Returns:
            The import as this call leaves it; None if the blob is gone. An import that another
            process works on, or that is past validation, is returned as it is.

        Raises:
            Exception: storage trouble; the caller tries again. The import keeps its place.
        """
        blob = self._services.storage.container(self._settings.upload_container).get_blob_client(
            file
        )
        try:
            properties = blob.get_blob_properties()
        except ResourceNotFoundError:
            log.info("%r is gone; nothing to do", file)
            return None
        record, is_new = self._register(file, properties)
        if record.state is not ImportState.VALIDATING:
            return record
        if not is_new and record.lease_until and record.lease_until > self._services.clock():
            log.info("import %s: another process validates %r", record.id, file)
            return record
        try:
            if not is_new:
                record = self._ledger.update(record, **self._claim(record.attempts + 1))
            return self._work(record, blob)
        except ConflictError:
            log.info("import %s: another process has it", record.id)
            return self._ledger.get(record.hub, record.row_key)

    def _work(self, record: ImportRecord, blob: BlobClient) -> ImportRecord:
        log.info("import %s: validating %r (%d bytes)", record.id, record.file, record.size)
        held = _Lease(self._services, record)
        try:
            return self._validate(held, blob)
        except ConflictError:
            raise
        except Exception as error:
            self._give_back(held.record, error)
            raise

    def _register(self, file: str, properties: BlobProperties) -> tuple[ImportRecord, bool]:
        hub = self._services.hub_of(file)
        members: dict[str, Any] = {"size": properties.size, **self._claim(attempts=1)}
        if hub is None:
            members = {
                "size": properties.size,
                "state": ImportState.REJECTED,
                "failure_reason": reasons.unknown_folder(file, self._settings.hubs),
            }
        now = self._services.clock()
        return self._ledger.create(
            ImportRecord.of_upload(
                hub or NO_HUB,
                self._settings.upload_container,
                file,
                properties.etag.strip('"'),
                properties.last_modified,
                created_at=now,
                updated_at=now,
                **members,
            )
        )

    def _claim(self, attempts: int) -> dict[str, Any]:
        return {
            "owner": uuid.uuid4().hex,
            "lease_until": self._services.clock() + self._settings.lease,
            "attempts": attempts,
        }

    def _validate(self, held: _Lease, blob: BlobClient) -> ImportRecord:
        """Read the upload once, as it was when its record was made, and stage its good lines."""
        name = container_name(held.record.id)
        container = ImportContainer(self._services.storage.container(name))
        container.create()
        staging = container.staging()
        validation = Validation(self._limits)
        report = validation.report
        try:
            for batch in validation.run(_chunks(blob, held)):
                if not report.errors:
                    staging.write(batch)
        except _SupersededError:
            return self._ledger.transition(
                held.record,
                ImportState.SUPERSEDED,
                failure_reason=reasons.superseded(held.record.file),
            )
        changes = {
            "container": name,
            "lines": report.lines,
            "invalid_lines": report.lines - report.valid,
            "validation": report.counts_json(),
            "owner": "",
            "lease_until": None,
        }
        if report.errors:
            return self._reject(held.record, container, report, changes)
        staging.commit()
        if not validation.lines.is_identity:
            container.write_line_map(validation.lines)
        record = self._ledger.transition(
            held.record,
            ImportState.QUEUED,
            devices=report.valid,
            has_line_map=not validation.lines.is_identity,
            **changes,
        )
        log.info("import %s: queued for hub %s, %d devices", record.id, record.hub, report.valid)
        return record

    def _reject(
        self,
        record: ImportRecord,
        container: ImportContainer,
        report: Report,
        changes: dict[str, Any],
    ) -> ImportRecord:
        changes["failure_reason"] = reasons.file_rejected(report)
        rejected = record.model_copy(update={**changes, "state": ImportState.REJECTED})
        path = container.write_report(build_report(rejected, problems=report.problems_json()))
        log.warning("import %s: %r rejected; problems: %d", record.id, record.file, report.errors)
        return self._ledger.transition(record, ImportState.REJECTED, report=path, **changes)

    def _give_back(self, record: ImportRecord, error: Exception) -> None:
        """Let the next try begin at once, or end the import if this was the last one."""
        try:
            if record.attempts >= self._settings.max_attempts:
                self._ledger.transition(
                    record,
                    ImportState.FAILED,
                    failure_reason=reasons.validation_gave_up(record.attempts, error),
                )
            else:
                self._ledger.update(record, owner="", lease_until=None)
        except Exception:
            # The lease runs out by itself; the first error is the one to be told.
            log.warning("import %s: could not be given back", record.id, exc_info=True)


class _SupersededError(Exception):
    """The blob holds another version, or is gone."""


class _Lease:
    """Keeps the record ours while a long file is read."""

    def __init__(self, services: Services, record: ImportRecord) -> None:
        self._services = services
        self._lease = services.settings.lease
        self.record = record
        self._renew_at: datetime = services.clock() + self._lease / 3

    def renew(self) -> None:
        """Extend the lease once a third of it is over.

        Raises:
            ConflictError: another process took the import over.
        """
        now = self._services.clock()
        if now >= self._renew_at:
            self.record = self._services.ledger.update(self.record, lease_until=now + self._lease)
            self._renew_at = now + self._lease / 3


def _chunks(blob: BlobClient, held: _Lease) -> Iterator[bytes]:
    """The blob's content in the version of the record."""
    etag = f'"{held.record.upload_etag}"'
    try:
        for chunk in blob.download_blob(
            etag=etag, match_condition=MatchConditions.IfNotModified
        ).chunks():
            held.renew()
            yield chunk
    except (ResourceModifiedError, ResourceNotFoundError) as error:
        raise _SupersededError from error
