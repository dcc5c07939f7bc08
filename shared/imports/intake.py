"""From an upload to a staged import in the queue, or to its rejection."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties

from shared.devices.report import Policy, Report
from shared.imports import reasons
from shared.imports.checking import validation_of
from shared.imports.container import ImportContainer, container_name
from shared.imports.ledger import NOBODY, ConflictError
from shared.imports.record import ImportRecord, ImportState
from shared.imports.registration import Upload, leads_elsewhere, register
from shared.imports.report import build_report
from shared.imports.services import Services
from shared.imports.steps import concerning, step
from shared.logs import logger

__all__ = ["Intake"]

log = logger(__name__)


class Intake:
    """Takes uploads in. Safe to call any number of times for one upload."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._ledger = services.ledger

    def take(self, file: str) -> ImportRecord | None:
        """Validate and stage what the blob holds now.

        Returns:
            The import as this call leaves it; None if the blob is gone, or if its name leads
            elsewhere: the sweep, which asks for no single blob, rejects it. An import that another
            process works on, or that is past validation, is returned as it is.

        Raises:
            Exception: storage trouble; the caller tries again. The import keeps its place.
        """
        if leads_elsewhere(file):
            log.warning("%r leads elsewhere and is not looked at", file)
            return None
        try:
            properties = self._blob(file).get_blob_properties()
        except ResourceNotFoundError:
            log.info("%r is gone; nothing to do", file)
            return None
        record, is_new = register(self._services, Upload.of(properties), **self._claim(attempts=1))
        if is_new and record.state is ImportState.VALIDATING:
            return self._work(record, properties)
        return self.resume(record, properties)

    @concerning
    def resume(
        self, record: ImportRecord, properties: BlobProperties | None = None
    ) -> ImportRecord:
        """Validate an upload that has its record already, unless somebody is at work on it.

        Args:
            properties: those of its blob, if they are known.

        Raises:
            Exception: as `take`.
        """
        if record.state is not ImportState.VALIDATING:
            return record
        if record.lease_until and record.lease_until > self._services.clock():
            log.info("another process validates %r", record.file)
            return record
        try:
            if record.attempts >= self._settings.max_attempts:
                reason = reasons.validation_died(record)
                return self._ledger.transition(record, ImportState.FAILED, failure_reason=reason)
            record = self._ledger.update(record, **self._claim(record.attempts + 1))
        except ConflictError:
            log.info("another process has it")
            return self._ledger.get(record.hub, record.row_key)
        return self._work(record, properties)

    def _blob(self, file: str) -> BlobClient:
        container = self._services.storage.container(self._settings.upload_container)
        return container.get_blob_client(file)

    @step("validate")
    def _work(self, record: ImportRecord, properties: BlobProperties | None) -> ImportRecord:
        log.info("validating %r (%d bytes)", record.file, record.size)
        held = _Lease(self._services, record)
        try:
            return self._validate(held, self._blob(record.file), properties)
        except ConflictError:
            log.info("another process has it")
            return self._ledger.get(record.hub, record.row_key)
        except Exception as error:
            self._give_back(held.record, error)
            raise

    def _claim(self, attempts: int) -> dict[str, Any]:
        return {
            "owner": uuid.uuid4().hex,
            "lease_until": self._services.clock() + self._settings.lease,
            "attempts": attempts,
        }

    def _validate(
        self, held: _Lease, blob: BlobClient, properties: BlobProperties | None
    ) -> ImportRecord:
        try:
            if properties is None:
                properties = _properties(blob, held.record)
            return self._stage(held, blob, _confirmed_deletes(properties))
        except _SupersededError:
            return self._ledger.transition(
                held.record,
                ImportState.SUPERSEDED,
                failure_reason=reasons.superseded(held.record.file),
            )

    def _stage(self, held: _Lease, blob: BlobClient, confirmed_deletes: int) -> ImportRecord:
        """Read the upload once, as it was when its record was made, and stage its good lines."""
        # Each attempt has its container: one that was given up and still runs disturbs nothing.
        name = container_name(held.record.id, held.record.attempts)
        container = self._services.container(name)
        container.create(self._services.owner_of(held.record))
        staging = container.staging()
        policy = self._settings.validation_policy
        validation = validation_of(self._settings, held.record.file, confirmed_deletes)
        report = validation.report
        for batch in validation.run(_chunks(blob, held)):
            if policy is Policy.PARTIAL or not report.errors:
                staging.write(batch)
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
            **NOBODY,
        }
        if report.problems:
            changes |= _write_problems(container, report, held.record.model_copy(update=changes))
        log.info(
            "%s; good lines: %d, errors: %d, warnings: %d",
            *(changes["state"], report.valid, report.errors, report.warnings),
        )
        return self._ledger.transition(held.record, **changes)

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
                reason = reasons.validation_failed(record.attempts, error)
                self._ledger.update(record, failure_reason=reason, **NOBODY)
        except Exception:
            # The lease runs out by itself; the first error is the one to be told.
            log.warning("could not be given back", exc_info=True)


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
    try:
        for chunk in blob.download_blob(**_version(held.record)).chunks():
            held.renew()
            yield chunk
    except (ResourceModifiedError, ResourceNotFoundError) as error:
        raise _SupersededError from error


def _properties(blob: BlobClient, record: ImportRecord) -> BlobProperties:
    try:
        return blob.get_blob_properties(**_version(record))
    except (ResourceModifiedError, ResourceNotFoundError) as error:
        raise _SupersededError from error


def _version(record: ImportRecord) -> dict[str, Any]:
    """Conditions of a read: the blob as it was when its record was made."""
    etag = f'"{record.upload_etag}"'
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}
