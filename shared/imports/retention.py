"""What may be deleted once an import is final: its container, its upload, its record."""

from __future__ import annotations

import contextlib
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
from azure.storage.blob import ContainerProperties

from shared import logs
from shared.imports.container import PREFIX
from shared.imports.record import NO_HUB, ImportState
from shared.imports.registration import Upload, leads_elsewhere, record_of
from shared.imports.services import Services
from shared.imports.survey import Survey

__all__ = ["Retention"]

log = logs.logger(__name__)

#: Pages of 5,000 blobs or containers that one run reads of each.
MAX_PAGES = 4

#: Records that one run deletes of each hub.
MAX_PRUNED = 1000


class Retention:
    """Deletes what has served its time. Nothing that belongs to an open import is touched."""

    def __init__(self, services: Services, survey: Survey) -> None:
        self._services = services
        self._settings = services.settings
        self._survey = survey

    def tasks(self) -> dict[str, Callable[[], None]]:
        """What the settings ask for, by name."""
        tasks: dict[str, Callable[[], None]] = {}
        if self._settings.import_retention_days:
            tasks["containers"] = self.delete_containers
        if self._settings.upload_retention != "keep":
            tasks["final uploads"] = self.put_away_uploads
        if self._settings.record_retention_days:
            tasks["records"] = self.prune_records
        return tasks

    def delete_containers(self) -> None:
        """Delete containers of imports that became final before the time kept: they hold keys."""
        before = self._before(self._settings.import_retention_days)
        containers = self._services.storage.containers(PREFIX)
        for page in self._pages("containers", containers):
            for container in page:
                if container.last_modified < before and self._is_over(container, before):
                    log.info("container %s goes", container.name)
                    try:
                        self._services.storage.container(container.name).delete_container()
                    except HttpResponseError:
                        log.exception("container %s stays", container.name)

    def put_away_uploads(self) -> None:
        """Move the uploads whose imports are final, or delete those that were imported in full.

        The others may be the only copy of what somebody has to correct.
        """
        container = self._services.storage.container(self._settings.upload_container)
        served = {ImportState.COMPLETED}
        if self._settings.upload_retention == "move":
            served = {state for state in ImportState if state.is_final}
            with contextlib.suppress(ResourceExistsError):
                self._services.storage.container(
                    self._settings.upload_archive_container
                ).create_container()
        for page in self._pages(f"final {container.container_name}", container.list_blobs()):
            by_hub: dict[str, list[tuple[Upload, str, str]]] = {}
            for blob in page:
                upload = Upload.of(blob)
                record = record_of(self._services, upload)
                by_hub.setdefault(record.hub, []).append((upload, record.row_key, record.id))
            for hub, uploads in by_hub.items():
                times = [upload.uploaded_at for upload, _, _ in uploads]
                states = self._survey.states(hub, min(times), max(times))
                for upload, row_key, import_id in uploads:
                    if states.get(row_key) in served and not leads_elsewhere(upload.file):
                        with logs.about(logs.Subject(import_id, hub)):
                            self._put_away(upload, import_id)

    def prune_records(self) -> None:
        """Delete records of imports that became final before the time kept."""
        before = self._before(self._settings.record_retention_days)
        for hub in (*self._services.hubs, NO_HUB):
            if count := self._survey.prune(hub, before, MAX_PRUNED):
                with logs.about(logs.Subject(hub=hub)):
                    log.info("%d records are over and went", count)

    def _before(self, days: int) -> datetime:
        return self._services.clock() - timedelta(days=days)

    def _is_over(self, container: ContainerProperties, before: datetime) -> bool:
        """Whether the import of a container is final since long, or its record is gone."""
        owner = container.metadata or {}
        if owner.get("table") != self._settings.imports_table:
            return False
        try:
            record = self._services.ledger.get(owner["hub"], owner["record"])
        except ResourceNotFoundError:
            return True
        return record.finished_at is not None and record.finished_at < before

    def _put_away(self, upload: Upload, import_id: str) -> None:
        """Delete the upload, or move it to `<import id>/<its name>` in the archive container."""
        container = self._services.storage.container(self._settings.upload_container)
        blob = container.get_blob_client(upload.file)
        version: dict[str, Any] = {
            "etag": f'"{upload.etag}"',
            "match_condition": MatchConditions.IfNotModified,
        }
        try:
            if self._settings.upload_retention == "move":
                archive = self._services.storage.container(self._settings.upload_archive_container)
                content = blob.download_blob(**version)
                archive.upload_blob(
                    # A blob's name has 1,024 characters at most.
                    f"{import_id}/{upload.file}"[:1024],
                    content.chunks(),
                    length=upload.size,
                    overwrite=True,
                    metadata=content.properties.metadata,
                    content_settings=content.properties.content_settings,
                )
            blob.delete_blob(**version)
        except (ResourceModifiedError, ResourceNotFoundError):
            log.info("upload %r changed meanwhile and stays", upload.file)
        except HttpResponseError:
            # It must not hold up the others; the next round comes to it again.
            log.exception("upload %r stays", upload.file)

    def _pages(self, task: str, items: ItemPaged[Any]) -> Iterator[list[Any]]:
        """Some pages of a listing, from where the last run ended; at its end from the beginning."""
        cursor = self._survey.load(task)
        pages = items.by_page(cursor.position or None)
        position = ""
        for _, page in zip(range(MAX_PAGES), pages, strict=False):
            found = list(page)
            position = pages.continuation_token or ""  # type: ignore[attr-defined]
            yield found
        if (cursor.position, position) != ("", ""):
            self._survey.save(replace(cursor, position=position))
