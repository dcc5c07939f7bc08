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

from shared.devices.csvtable import CsvDefaults
from shared.devices.report import Policy, Report
from shared.devices.source import Limits
from shared.devices.validation import Validation
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
        settings = self._settings
        self._limits = Limits(
            max_devices=settings.max_devices,
            max_line_bytes=settings.max_line_bytes,
            max_file_bytes=settings.max_file_bytes,
            max_expansion=settings.max_expansion,
            max_problems=settings.max_reported_problems,
            max_deletes=settings.max_deletes,
            max_delete_share=settings.max_delete_share,
        )
        self._csv_defaults = CsvDefaults(
            settings.csv_default_status, settings.csv_default_import_mode
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
            return self._work(record, blob, _confirmed_deletes(properties))
        except ConflictError:
            log.info("import %s: another process has it", record.id)
            return self._ledger.get(record.hub, record.row_key)

    def _work(self, record: ImportRecord, blob: BlobClient, confirmed_deletes: int) -> ImportRecord:
        log.info("import %s: validating %r (%d bytes)", record.id, record.file, record.size)
        held = _Lease(self._services, record)
        try:
            return self._validate(held, blob, confirmed_deletes)
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

    def _validate(self, held: _Lease, blob: BlobClient, confirmed_deletes: int) -> ImportRecord:
        """Read the upload once, as it was when its record was made, and stage its good lines."""
        name = container_name(held.record.id)
        container = ImportContainer(self._services.storage.container(name))
        container.create()
        staging = container.staging()
        policy = self._settings.validation_policy
        validation = Validation(
            self._limits,
            name=held.record.file,
            defaults=self._csv_defaults,
            confirmed_deletes=confirmed_deletes,
        )
        report = validation.report
        try:
            for batch in validation.run(_chunks(blob, held)):
                if policy is Policy.PARTIAL or not report.errors:
                    staging.write(batch)
        except _SupersededError:
            return self._ledger.transition(
                held.record,
                ImportState.SUPERSEDED,
                failure_reason=reasons.superseded(held.record.file),
            )
        is_accepted = report.may_be_imported(policy)
        if is_accepted:
            staging.commit()
            if not validation.lines.is_identity:
                container.write_line_map(validation.lines)
        changes: dict[str, Any] = {
            "state": ImportState.QUEUED if is_accepted else ImportState.REJECTED,
            "failure_reason": "" if is_accepted else reasons.file_rejected(report),
            "container": name,
            "lines": report.lines,
            "invalid_lines": report.lines - report.valid,
            "devices": report.valid if is_accepted else None,
            "has_line_map": is_accepted and not validation.lines.is_identity,
            "validation": report.counts_json(),
            "owner": "",
            "lease_until": None,
        }
        if report.problems:
            changes |= _write_problems(container, report, held.record.model_copy(update=changes))
        record = self._ledger.transition(held.record, **changes)
        log.log(
            logging.INFO if is_accepted else logging.WARNING,
            "import %s: %s; hub %s, good lines: %d, errors: %d, warnings: %d",
            *(record.id, record.state, record.hub, report.valid, report.errors, report.warnings),
        )
        return record

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


def _write_problems(
    container: ImportContainer, report: Report, record: ImportRecord
) -> dict[str, str]:
    """Write what the validation found beside the staged file; returns the columns that tell so."""
    return {
        "problems": container.write_problems(report.problems_csv()),
        "report": container.write_report(build_report(record, problems=report.problems_json())),
    }


def _confirmed_deletes(properties: BlobProperties) -> int:
    """How many devices the file may delete, as the blob's metadata says; 0 if it does not."""
    for name, value in (properties.metadata or {}).items():
        if name.lower() == "confirmdeletes" and value.isdecimal():
            return int(value)
    return 0


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
