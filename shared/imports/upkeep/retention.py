"""Deletes the container, the upload and the record of an import that ended long ago.

And exports of the registry that a process left behind, which may contain keys.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.paging import ItemPaged
from azure.storage.blob import BlobClient, ContainerProperties

from shared import logs
from shared.device_files.mapping.file_mapping import is_mapping_name
from shared.errors import first_line
from shared.imports.model.keys import import_id_of
from shared.imports.services import Services
from shared.imports.store.claims import Claim
from shared.imports.store.import_container import BACKUP_PREFIX, PREFIX
from shared.imports.store.queries import KnownImport
from shared.imports.store.rows import NewerRowError, UnreadableRowError, to_record
from shared.imports.workflow.registration import Upload, has_dot_folder, record_of
from shared.storage.client import IncompleteReadError, is_outage, whole

__all__ = ["Retention"]

log = logs.logger(__name__)

#: Pages of 5,000 blobs or containers that one run reads of each.
MAX_PAGES = 4

#: How often the app tries to delete or move an upload.
MAX_REMOVALS = 5

#: Records that one run deletes of each hub.
MAX_RECORDS = 1000

#: How long the container of an export is kept after its job must have ended.
EXPORT_MARGIN = timedelta(hours=1)

_EXPORT_NAME = re.compile(re.escape(PREFIX) + "([0-9a-f]{24})-snapshot-.+")


class Retention:
    """Deletes what was kept long enough, never anything of an open import."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._claims = services.claims

    def tasks(self) -> dict[str, Callable[[], None]]:
        """The tasks that the settings ask for, by name."""
        tasks: dict[str, Callable[[], None]] = {"containers": self.delete_containers}
        if self._settings.uploads.retention != "keep":
            tasks["final uploads"] = self.remove_uploads
        if self._settings.retention.record_days:
            tasks["records"] = self.delete_records
        return tasks

    def delete_containers(self) -> None:
        """Delete containers of imports that became final before the time kept: they hold keys.

        Also those of exports, whose process deletes them unless it is terminated.
        """
        days = self._settings.retention.import_days
        before = self._before(days)
        exported_before = self._services.clock() - self._settings.jobs.deadline - EXPORT_MARGIN
        for page in self._pages("containers", self._services.storage.containers(PREFIX)):
            for container in page:
                if export := _export_of(container):
                    if container.last_modified < exported_before:
                        self._delete_export(container, import_id=export)
                elif days:
                    self._delete_old(container, before)
        if days and self._services.known_hubs.guarded():
            backups = self._services.storage.containers(BACKUP_PREFIX)
            for page in self._pages("backups", backups):
                for container in page:
                    self._delete_old(container, before)

    def _delete_old(self, container: ContainerProperties, before: datetime) -> None:
        if container.last_modified < before and self._is_over(container, before):
            log.info("container %s was kept long enough and is deleted", container.name)
            self._delete_container(container)

    def remove_uploads(self) -> None:
        """Move the uploads whose imports are final, or delete those that were imported in full.

        Only uploads that are proven to be imported are deleted: the others may be the only copy of
        what has to be corrected.
        """
        container = self._services.storage.container(self._settings.uploads.container)
        moves = self._settings.uploads.retention == "move"
        if moves:
            with contextlib.suppress(ResourceExistsError):
                self._services.storage.container(
                    self._settings.uploads.archive_container
                ).create_container()
        hubs = self._services.all_hubs()
        for page in self._pages(f"final {container.container_name}", container.list_blobs()):
            uploads = [
                (upload, record_of(self._services, upload))
                for upload in map(Upload.of, page)
                # Without it, the files that follow would be imported as they are.
                if not is_mapping_name(upload.file)
            ]
            times = [upload.uploaded_at for upload, _ in uploads]
            known: dict[str, KnownImport] = {}
            for hub in hubs if times else ():
                # Wherever their folders lead now, they belong to the hubs of their claims.
                known |= self._services.queries.known(hub, min(times), max(times))
            for upload, record in uploads:
                is_known = known.get(record.row_key, KnownImport())
                may_be_removed = is_known.is_final if moves else is_known.is_fully_imported
                if may_be_removed and not has_dot_folder(upload.file):
                    with logs.log_context(logs.LogContext(record.id)):
                        self._remove(upload, record.id)

    def delete_records(self) -> None:
        """Delete records of imports that became final before the time kept."""
        before = self._before(self._settings.retention.record_days)
        for hub in self._services.all_hubs():
            if ended := self._services.queries.ended_before(hub, before, MAX_RECORDS):
                # In this order: a claim without a record would never be deleted.
                self._claims.delete(map(import_id_of, ended))
                self._services.queries.delete(hub, ended)
                with logs.log_context(logs.LogContext(hub=hub)):
                    log.info("%d records were kept long enough and are deleted", len(ended))
            self._services.jobs.forget(hub, self._services.jobs.ended_before(hub, before))

    def _before(self, days: int) -> datetime:
        return self._services.clock() - timedelta(days=days)

    def _is_over(self, container: ContainerProperties, before: datetime) -> bool:
        """Whether the import of a container ended before that, or its record was deleted."""
        try:
            return self._is_final_since(container, before)
        except (UnreadableRowError, NewerRowError, HttpResponseError) as error:
            if is_outage(error):
                raise
            log.warning("container %s stays: %s", container.name, first_line(error))
            return False

    def _is_final_since(self, container: ContainerProperties, before: datetime) -> bool:
        owner = container.metadata or {}
        table = self._settings.storage.imports_table
        if owner.get("table", table) != table:
            return False
        hub, key = owner.get("hub"), owner.get("record")
        if hub and "job" in owner:
            return self._is_job_over(hub, owner["job"], before)
        claim = self._claims.find(container.name.split("-")[1])
        if claim is not None:
            hub, key = claim.hub, claim.record_key
        elif not (hub and key):
            # The metadata were removed. Without a claim it may be another deployment's.
            return False
        try:
            record = self._services.store.get(hub, key)
        except ResourceNotFoundError:
            return True
        return record.finished_at is not None and record.finished_at < before

    def _is_job_over(self, hub: str, job_record: str, before: datetime) -> bool:
        """Whether all imports of a job ended before that, or were deleted."""
        if self._services.jobs.find(hub, job_record) is not None:
            return False
        keys = self._services.jobs.members_of(hub, job_record)
        rows = self._services.queries.rows(hub, keys) if keys else ()
        ends = [to_record(row).finished_at for row in rows]
        return all(ended is not None and ended < before for ended in ends)

    def _delete_container(self, container: ContainerProperties) -> None:
        """Delete the container of an import, whose claim proves from then on that it existed."""
        name = container.name
        try:
            if "job" not in (container.metadata or {}):
                self._claims.note_end(name.split("-")[1])
            self._services.storage.container(name).delete_container()
        except HttpResponseError:
            log.exception("container %s stays", name)

    def _delete_export(self, container: ContainerProperties, import_id: str) -> None:
        """Delete the container of an export that is of no open comparison."""
        owner, table = container.metadata or {}, self._settings.storage.imports_table
        if owner.get("table", table) != table:
            return
        try:
            job = self._services.jobs.find(owner["hub"], import_id) if "record" in owner else None
            if job is not None and job.staged.container == container.name:
                return
            log.warning("container %s of an export was left behind and is deleted", container.name)
            self._services.storage.container(container.name).delete_container()
        except (UnreadableRowError, NewerRowError, HttpResponseError, KeyError) as error:
            if is_outage(error):
                raise
            log.warning("container %s stays: %s", container.name, first_line(error))

    def _remove(self, upload: Upload, import_id: str) -> None:
        """Delete the upload, or move it to `<import id>/<its name>` in the archive container."""
        container = self._services.storage.container(self._settings.uploads.container)
        blob = container.get_blob_client(upload.file)
        version: dict[str, Any] = {
            "etag": f'"{upload.etag}"',
            "match_condition": MatchConditions.IfNotModified,
        }
        try:
            claim = self._claims.find(import_id)
        except (UnreadableRowError, NewerRowError) as error:
            log.warning("upload %r stays: %s", upload.file, error)
            return
        if claim is not None and claim.failed_removals >= MAX_REMOVALS:
            return
        try:
            if self._settings.uploads.retention == "move":
                self._archive(blob, upload, import_id, version)
            blob.delete_blob(**version)
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            if getattr(error, "error_code", "") == "LeaseIdMissing":
                self._note_failed_removal(upload, claim, error)
            else:
                log.info("upload %r was overwritten or deleted and is left alone", upload.file)
        except (HttpResponseError, IncompleteReadError) as error:
            # It must not hold up the others; the next round tries again.
            if is_outage(error) or claim is None:
                log.exception("upload %r stays", upload.file)
            else:
                self._note_failed_removal(upload, claim, error)

    def _note_failed_removal(self, upload: Upload, claim: Claim | None, error: Exception) -> None:
        """Stop after some attempts: a snapshot, a lease or a legal hold keeps the upload."""
        if claim is None:
            return
        claim = self._claims.note_failed_removal(claim)
        if claim.failed_removals < MAX_REMOVALS:
            log.warning("upload %r stays for now: %s", upload.file, first_line(error))
            return
        log.error(
            "upload %r could not be deleted or moved %d times and is left alone (%s). Remove its "
            "snapshots, lease or legal hold, then delete it yourself",
            *(upload.file, MAX_REMOVALS, first_line(error)),
        )

    def _archive(
        self, blob: BlobClient, upload: Upload, import_id: str, version: dict[str, Any]
    ) -> None:
        """Copy the upload as it is stored, with its properties and metadata."""
        archive = self._services.storage.container(self._settings.uploads.archive_container)
        properties = blob.get_blob_properties(**version)
        archive.upload_blob(
            # A blob's name has 1,024 characters at most.
            f"{import_id}/{upload.file}"[:1024],
            whole(blob.download_blob, upload.size, **version),
            length=upload.size,
            overwrite=True,
            metadata=properties.metadata,
            content_settings=properties.content_settings,
        )

    def _pages(self, task: str, items: ItemPaged[Any]) -> Iterator[list[Any]]:
        """Some pages of a listing, from where the last run ended, or from the first."""
        cursor = self._services.cursors.load(task)
        pages = items.by_page(cursor.position or None)
        position = ""
        try:
            for _, page in zip(range(MAX_PAGES), pages, strict=False):
                items_of_page = list(page)
                position = pages.continuation_token or ""  # type: ignore[attr-defined]
                yield items_of_page
        except HttpResponseError as error:
            if not cursor.position or is_outage(error):
                raise
            log.warning("%s starts from the beginning: %s", task, first_line(error))
        if (cursor.position, position) != ("", ""):
            self._services.cursors.save(replace(cursor, position=position))


def _export_of(container: ContainerProperties) -> str:
    """The id in the name of the container of an export; "" for other containers.

    It is that of the import to be planned, or of none if an operator made the export.
    """
    match = _EXPORT_NAME.fullmatch(container.name)
    return match[1] if match and "snapshot" in (container.metadata or {}) else ""
