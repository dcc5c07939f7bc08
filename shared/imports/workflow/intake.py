"""From an upload to a staged import in the queue, or to its rejection."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties

from shared.device_files.footprint import FootprintBuilder
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.mapping.file_mapping import NO_MAPPING
from shared.device_files.mapping.folder_mapping import FolderMapping
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy, Report
from shared.imports.model.parts import NO_BACK_OFF, NO_LEASE, Lease, StagedFile
from shared.imports.model.record import Apply, ImportRecord
from shared.imports.model.safeguards import Safeguards
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_container import LinesLostError, container_name
from shared.imports.store.import_store import ConflictError
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.imports.tracing import traced, with_log_context
from shared.imports.workflow import upload_reasons as reasons
from shared.imports.workflow.completion import build_report, end_import
from shared.imports.workflow.folder_mappings import find_mapping, is_accepted_mapping
from shared.imports.workflow.holds import configured_safeguards
from shared.imports.workflow.kept_lease import KeptLease
from shared.imports.workflow.registration import Upload, has_dot_folder, is_folder, register
from shared.logs import logger
from shared.settings import Settings
from shared.storage.blobs import SupersededError, UploadedFile
from shared.storage.client import is_outage

__all__ = ["Intake", "configured_validation"]

log = logger(__name__)

Problems = Sequence[dict[str, Any]]


class Intake:
    """Registers, validates and stages uploads. Safe to call any number of times for one upload."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._store = services.store

    def process_upload(self, file: str) -> ImportRecord | None:
        """Validate and stage the present version of a blob.

        Returns:
            The import after this call; None if there is nothing to import: the blob was deleted, it
            marks a folder, it is a valid mapping, or its name contains a dot folder (the sweep,
            which requests no single blob, rejects it). An import that another process works on,
            that is backing off or that is past validation is returned as it is.

        Raises:
            Exception: storage trouble before or during the validation. The import keeps its place
                in the queue, and the sweep continues with it.
        """
        if has_dot_folder(file):
            log.warning("%r contains a dot folder and is left to the sweep", file)
            return None
        try:
            container = self._services.storage.container(self._settings.uploads.container)
            properties = container.get_blob_client(file).get_blob_properties()
        except ResourceNotFoundError:
            log.info("%r was deleted; nothing to do", file)
            return None
        if is_folder(properties):
            log.info("%r marks a folder; nothing to do", file)
            return None
        upload = Upload.of(properties)
        if is_accepted_mapping(self._services, upload):
            log.info("%r is a valid mapping: it applies to the files that follow", file)
            return None
        try:
            record, is_new = register(self._services, upload, self._new_lease())
        except (UnreadableRowError, NewerRowError) as error:
            log.error("%r is not imported now: %s", file, error)
            return None
        if is_new and record.lease.owner:
            return self._work(record, properties)
        return self.resume(record, properties)

    @with_log_context
    def resume(
        self, record: ImportRecord, properties: BlobProperties | None = None
    ) -> ImportRecord:
        """Validate an upload that has its record, unless another process works on it.

        Args:
            properties: those of its blob, if they are known.

        Raises:
            Exception: as `process_upload`.
        """
        now = self._services.clock()
        if record.state is not ImportState.VALIDATING or record.hub not in self._services.hubs:
            return record
        if record.is_backing_off(now):
            return record
        if record.is_leased(now):
            log.info("another process validates %r", record.file)
            return record
        try:
            if record.validation_attempts >= self._settings.retries.max_attempts:
                return self._fail(record, reasons.validation_terminated(record))
            record = self._store.update(
                replace(
                    record,
                    lease=self._new_lease(),
                    back_off=replace(record.back_off, next_try_at=None),
                    validation_attempts=record.validation_attempts + 1,
                    validated_bytes=None,
                    validated_lines=None,
                )
            )
        except ConflictError as conflict:
            return self._as_changed(record, conflict)
        return self._work(record, properties)

    @traced("validate")
    def _work(self, record: ImportRecord, properties: BlobProperties | None) -> ImportRecord:
        log.info("validating %r (%d bytes)", record.file, record.size)
        progress = _Progress()
        lease = KeptLease(self._services, record, self._store.update, progress.note)
        try:
            return self._validate(lease, record, properties, progress)
        except ConflictError as conflict:
            return self._as_changed(record, conflict)
        except Exception as error:
            self._release_lease(lease, error)
            raise
        finally:
            lease.stop()

    def _validate(
        self,
        lease: KeptLease[ImportRecord],
        record: ImportRecord,
        properties: BlobProperties | None,
        progress: _Progress,
    ) -> ImportRecord:
        file = self._services.uploaded_file(record)
        try:
            deletes = _confirmed_deletes(properties or file.properties())
            result = self._stage(lease, record, file, deletes, progress)
        except SupersededError:
            reason = reasons.superseded(record.file)
            record = replace(lease.release(), failure_reason=reason, imported=0, failed=0)
            return end_import(self._services, record, ImportState.SUPERSEDED)
        record = result.apply_to(lease.release())
        if result.is_accepted:
            return self._store.transition(record, ImportState.QUEUED)
        return end_import(
            self._services, record, ImportState.REJECTED, problems=result.problems_json(record)
        )

    def _stage(
        self,
        lease: KeptLease[ImportRecord],
        record: ImportRecord,
        file: UploadedFile,
        confirmed_deletes: int,
        progress: _Progress,
    ) -> _Result:
        """Read the upload once, in the version of its record, and stage its good lines."""
        # Each attempt has its container: one that lost its lease and still runs changes nothing.
        name = container_name(record.id, record.validation_attempts)
        container = self._services.container(name)
        container.create(self._services.owner_of(record))
        policy = self._settings.validation.policy
        mapping = find_mapping(self._services, record.file)
        validation = configured_validation(self._settings, record.file, confirmed_deletes, mapping)
        report = progress.report = validation.report
        writer, footprint = container.stage(), FootprintBuilder()
        for batch in validation.run(progress.counted(file.chunks())):
            lease.check()
            if policy is Policy.PARTIAL or not report.errors:
                writer.write(batch)
                footprint.add(batch)
        result = _Result(
            validation,
            report.may_be_imported(policy) and not report.is_mapping,
            StagedFile(container=name),
            Apply(self._settings.jobs.apply),
            # A retry keeps those of the import that it retries.
            record.safeguards.joined(configured_safeguards(self._settings)),
        )
        if result.is_accepted:
            if writer.lines != report.valid:
                raise LinesLostError(report.valid, writer.lines)
            has_line_map = not validation.lines.is_identity
            result.staged = StagedFile(
                container=name, etag=writer.commit(), size=writer.size, has_line_map=has_line_map
            )
            result.footprint = footprint.build()
            if has_line_map:
                container.write_line_map(validation.lines)
        if mapping and not mapping.refusal:
            result.mapping = container.write_mapping(mapping.data)
            result.mapping_etag = mapping.etag
        if report.problems:
            result.problems = container.write_problems(report.problems_csv())
        if report.problems and result.is_accepted:
            queued = replace(result.apply_to(record), state=ImportState.QUEUED)
            result.report = container.write_report(
                build_report(queued, result.problems_json(record))
            )
        log.info(
            "%s; good lines: %d, errors: %d, warnings: %d",
            "accepted" if result.is_accepted else "rejected",
            *(report.valid, report.errors, report.warnings),
        )
        return result

    def _release_lease(self, lease: KeptLease[ImportRecord], error: Exception) -> None:
        """Leave the import to a later attempt, or end it if this was the last one.

        An attempt that failed because storage was unavailable does not count: it says nothing about
        the file.
        """
        try:
            record = lease.release()
            attempts = record.validation_attempts
            if is_outage(error):
                attempts -= 1
                back_off = self._services.backing_off(record.back_off)
                reason = reasons.storage_unavailable(error)
            elif attempts >= self._settings.retries.max_attempts:
                self._fail(record, reasons.validation_gave_up(attempts, error))
                return
            else:
                next_try_at = self._services.next_try_at(attempts - 1)
                back_off = replace(record.back_off, next_try_at=next_try_at)
                reason = reasons.validation_failed(attempts, error)
            self._store.update(
                replace(
                    record,
                    failure_reason=reason,
                    validation_attempts=attempts,
                    validated_bytes=None,
                    validated_lines=None,
                    back_off=back_off,
                    lease=NO_LEASE,
                )
            )
        except Exception:
            # The lease ends by itself; the caller raises the first error.
            log.warning("the lease cannot be released", exc_info=True)

    def _fail(self, record: ImportRecord, reason: str) -> ImportRecord:
        """End the import; a retry validates the same upload again."""
        failed = replace(record, failure_reason=reason, imported=0, failed=0)
        return end_import(self._services, failed, ImportState.FAILED)

    def _as_changed(self, record: ImportRecord, conflict: ConflictError) -> ImportRecord:
        log.info("another process has the import")
        return conflict.record or self._store.get(record.hub, record.row_key)

    def _new_lease(self) -> Lease:
        until = self._services.clock() + self._settings.retries.lease
        return Lease(owner=uuid.uuid4().hex, until=until)


@dataclass
class _Progress:
    """How far a validation is."""

    #: Bytes of the upload as it is stored; None before the first ones.
    read: int | None = None
    report: Report | None = None

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            # By then it is validated.
            self.read = (self.read or 0) + len(chunk)

    def note(self, record: ImportRecord) -> ImportRecord:
        lines = self.report.lines if self.report else None
        return replace(record, validated_bytes=self.read, validated_lines=lines)


@dataclass
class _Result:
    """What a validation found, and what was written of it."""

    validation: Validation
    is_accepted: bool
    staged: StagedFile
    apply: Apply
    safeguards: Safeguards
    footprint: bytes = b""
    mapping_etag: str = ""
    #: Paths; "" if they were not written.
    mapping: str = ""
    problems: str = ""
    report: str = ""

    def apply_to(self, record: ImportRecord) -> ImportRecord:
        report = self.validation.report
        # How many lines a file has is not known if it was not read to its end.
        is_complete = self.validation.is_complete
        count = None if self.is_accepted else 0
        return replace(
            record,
            failure_reason="" if self.is_accepted else reasons.file_rejected(report),
            lines=report.lines if is_complete else None,
            invalid_lines=report.lines - report.valid if is_complete else None,
            devices=report.valid if self.is_accepted else None,
            imported=count,
            failed=count,
            validation=report.counts_json(),
            validated_bytes=None,
            validated_lines=None,
            apply=self.apply,
            safeguards=self.safeguards,
            staged=self.staged,
            footprint=self.footprint,
            mapping_etag=self.mapping_etag,
            mapping=self.mapping,
            problems=self.problems,
            report=self.report,
            back_off=NO_BACK_OFF,
            lease=NO_LEASE,
        )

    def problems_json(self, record: ImportRecord) -> Problems:
        return self.validation.report.problems_json(record.file)


def configured_validation(
    settings: Settings, name: str, confirmed_deletes: int, mapping: FolderMapping | None = None
) -> Validation:
    """The validation of the file with this name, which may delete so many devices.

    Args:
        mapping: that of its folder.
    """
    limits = Limits(
        max_devices=settings.validation.max_devices,
        max_line_bytes=settings.validation.max_line_bytes,
        max_file_bytes=settings.validation.max_file_bytes,
        max_expansion=settings.validation.max_expansion,
        max_problems=settings.validation.max_reported_problems,
        max_deletes=settings.validation.max_deletes,
        max_delete_share=settings.validation.max_delete_share,
        approves_deletes=settings.safeguards.approval != "never",
    )
    defaults = CsvDefaults(
        settings.validation.csv_default_status, settings.validation.csv_default_import_mode or ""
    )
    return Validation(
        limits,
        name=name,
        defaults=defaults,
        mapping=mapping.applied if mapping else NO_MAPPING,
        refusal=mapping.refusal if mapping else None,
        confirmed_deletes=confirmed_deletes,
    )


def _confirmed_deletes(properties: BlobProperties) -> int:
    """How many devices the file may delete by the blob's metadata; 0 if they do not say."""
    for name, value in (properties.metadata or {}).items():
        if name.lower() == "confirmdeletes" and value.isdecimal():
            return int(value)
    return 0
