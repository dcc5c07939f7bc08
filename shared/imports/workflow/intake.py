"""From an upload to a staged import in the queue, or to its rejection."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties

from shared.device_files.validation_report import Policy, Report
from shared.imports.model import reasons
from shared.imports.model.record import ImportRecord, ImportState
from shared.imports.services import Services
from shared.imports.store.import_container import (
    ForeignContainerError,
    ImportContainer,
    LinesLostError,
    container_name,
)
from shared.imports.store.import_store import NOBODY, NOTHING_TO_WAIT_FOR, ConflictError
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.imports.tracing import concerning, step
from shared.imports.workflow.checking import validation_of
from shared.imports.workflow.completion import finish
from shared.imports.workflow.registration import Upload, is_folder, leads_elsewhere, register
from shared.imports.workflow.report import build_report
from shared.invocation import in_this_invocation
from shared.logs import logger
from shared.storage.client import is_outage, whole

__all__ = ["Intake"]

log = logger(__name__)


class Intake:
    """Takes uploads in. Safe to call any number of times for one upload."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._store = services.store

    def take(self, file: str) -> ImportRecord | None:
        """Validate and stage what the blob holds now.

        Returns:
            The import as this call leaves it; None if there is nothing to import: the blob is gone,
            it marks a folder, or its name leads elsewhere (the sweep, which asks for no single
            blob, rejects it). An import that another process works on, that waits, or that is past
            validation, is returned as it is.

        Raises:
            Exception: storage trouble before or during the validation. The import keeps its place,
            and the sweep goes on with it.
        """
        if leads_elsewhere(file):
            log.warning("%r leads elsewhere and is not looked at", file)
            return None
        try:
            properties = self._blob(file).get_blob_properties()
        except ResourceNotFoundError:
            log.info("%r is gone; nothing to do", file)
            return None
        if is_folder(properties):
            log.info("%r marks a folder; nothing to do", file)
            return None
        try:
            record, is_new = register(self._services, Upload.of(properties), self._lease(1))
        except (UnreadableRowError, NewerRowError) as error:
            log.error("%r is not imported now: %s", file, error)
            return None
        if is_new and record.owner:
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
        now = self._services.clock()
        if record.state is not ImportState.VALIDATING or record.hub not in self._services.hubs:
            return record
        if record.waits(now):
            return record
        if record.is_leased(now):
            log.info("another process validates %r", record.file)
            return record
        try:
            if record.attempts >= self._settings.max_attempts:
                return self._fail(record, reasons.validation_died(record))
            record = self._store.update(
                record, next_try_at=None, **self._lease(record.attempts + 1)
            )
        except ConflictError:
            log.info("another process has it")
            return self._store.get(record.hub, record.row_key)
        return self._work(record, properties)

    def _blob(self, file: str) -> BlobClient:
        container = self._services.storage.container(self._settings.upload_container)
        return container.get_blob_client(file)

    @step("validate")
    def _work(self, record: ImportRecord, properties: BlobProperties | None) -> ImportRecord:
        log.info("validating %r (%d bytes)", record.file, record.size)
        lease = _Lease(self._services, record)
        try:
            return self._validate(lease, record, properties)
        except ConflictError:
            log.info("another process has it")
            return self._store.get(record.hub, record.row_key)
        except Exception as error:
            self._give_back(lease, error)
            raise
        finally:
            lease.stop()

    def _lease(self, attempts: int) -> dict[str, Any]:
        return {
            "owner": uuid.uuid4().hex,
            "lease_until": self._services.clock() + self._settings.lease,
            "attempts": attempts,
        }

    def _fail(self, record: ImportRecord, reason: str) -> ImportRecord:
        """End the import; a retry validates the same upload again."""
        return finish(
            self._services, record, ImportState.FAILED, failure_reason=reason, imported=0, failed=0
        )

    def _validate(
        self, lease: _Lease, record: ImportRecord, properties: BlobProperties | None
    ) -> ImportRecord:
        blob = self._blob(record.file)
        try:
            if properties is None:
                properties = _properties(blob, record)
            changes = self._stage(lease, record, blob, _confirmed_deletes(properties))
        except _SupersededError:
            return finish(
                self._services,
                lease.release(),
                ImportState.SUPERSEDED,
                failure_reason=reasons.superseded(record.file),
                imported=0,
                failed=0,
            )
        return self._store.transition(lease.release(), **changes)

    def _stage(
        self, lease: _Lease, record: ImportRecord, blob: BlobClient, confirmed_deletes: int
    ) -> dict[str, Any]:
        """Read the upload once, as it was when its record was made, and stage its good lines.

        Returns:
            The columns that tell of it.
        """
        # Each attempt has its container: one that was given up and still runs disturbs nothing.
        name = container_name(record.id, record.attempts)
        container = self._services.container(name)
        owner = self._services.owner_of(record)
        if container.create(owner) != owner:
            raise ForeignContainerError(name)
        staging = container.staging()
        policy = self._settings.validation_policy
        validation = validation_of(self._settings, record.file, confirmed_deletes)
        report = validation.report
        for batch in validation.run(_chunks(blob, record)):
            lease.check()
            if policy is Policy.PARTIAL or not report.errors:
                staging.write(batch)
        is_accepted = report.may_be_imported(policy)
        changes: dict[str, Any] = {
            "state": ImportState.QUEUED if is_accepted else ImportState.REJECTED,
            "failure_reason": "" if is_accepted else reasons.file_rejected(report),
            "container": name,
            # Of a file that could not be read to its end, nobody knows how many it has.
            "lines": report.lines if validation.is_complete else None,
            "invalid_lines": report.lines - report.valid if validation.is_complete else None,
            "validation": report.counts_json(),
            **NOBODY,
            **NOTHING_TO_WAIT_FOR,
        }
        if is_accepted:
            if staging.lines != report.valid:
                raise LinesLostError(report.valid, staging.lines)
            changes |= {
                "devices": report.valid,
                "has_line_map": not validation.lines.is_identity,
                "staged_etag": staging.commit(),
                "staged_bytes": staging.size,
            }
            if changes["has_line_map"]:
                container.write_line_map(validation.lines)
        else:
            changes |= {"imported": 0, "failed": 0}
        if report.problems:
            changes |= _write_problems(container, report, record.model_copy(update=changes))
        log.info(
            "%s; good lines: %d, errors: %d, warnings: %d",
            *(changes["state"], report.valid, report.errors, report.warnings),
        )
        return changes

    def _give_back(self, lease: _Lease, error: Exception) -> None:
        """Leave the import to a later try, or end it if this was the last one.

        A try that storage did not allow does not count: while it refuses, nothing can be said about
        the file.
        """
        try:
            record = lease.release()
            if is_outage(error):
                changes = self._services.back_off(record)
                changes["attempts"] = record.attempts - 1
                reason = reasons.storage_refused(error)
            elif record.attempts >= self._settings.max_attempts:
                self._fail(record, reasons.validation_gave_up(record.attempts, error))
                return
            else:
                changes = {"next_try_at": self._services.next_try_at(record.attempts - 1)}
                reason = reasons.validation_failed(record.attempts, error)
            self._store.update(record, failure_reason=reason, **NOBODY, **changes)
        except Exception:
            # The lease runs out by itself; the first error is the one to be told.
            log.warning("could not be given back", exc_info=True)


def _write_problems(
    container: ImportContainer, report: Report, record: ImportRecord
) -> dict[str, str]:
    """Write what the validation found beside the staged file; returns the columns that tell so."""
    problems = report.problems_json(record.file)
    return {
        "problems": container.write_problems(report.problems_csv()),
        "report": container.write_report(build_report(record, problems=problems)),
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
    """Keeps the record ours while its file is validated, however long a step of that takes.

    A thread renews the lease each time that a third of it is over.
    """

    def __init__(self, services: Services, record: ImportRecord) -> None:
        self._services = services
        self._lease = services.settings.lease
        self._record = record
        self._lost: ConflictError | None = None
        self._ended = threading.Event()
        renew = in_this_invocation(self._renew)
        self._thread = threading.Thread(target=renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that nobody else took the import over.

        Raises:
            ConflictError: another process did.
        """
        if self._lost is not None:
            raise self._lost

    def release(self) -> ImportRecord:
        """End the renewals; returns the record as it was written last.

        Raises:
            ConflictError: another process took the import over.
        """
        self.stop()
        self.check()
        return self._record

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._ended.wait(self._lease.total_seconds() / 3):
            try:
                until = self._services.clock() + self._lease
                self._record = self._services.store.update(self._record, lease_until=until)
            except ConflictError as conflict:
                self._lost = conflict
                return
            except Exception:
                log.warning("the lease cannot be renewed now", exc_info=True)


def _chunks(blob: BlobClient, record: ImportRecord) -> Iterator[bytes]:
    """The blob's content as it is stored, in the version of the record.

    Raises:
        IncompleteReadError: it is not as long as the blob.
    """
    try:
        yield from whole(blob.download_blob, record.size, **_version(record))
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
