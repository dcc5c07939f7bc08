"""The upload container: finds what no event announced, and keeps the order of uploads.

Events come late, twice, out of order or never. Before an upload's job is started, every older
upload has to have its record; so unless the container was looked through since, it is. What was
uploaded after a look began is younger than what the look was for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties

from shared.imports.record import ImportRecord
from shared.imports.registration import Upload, record_of, register
from shared.imports.services import Services
from shared.imports.steps import about
from shared.imports.survey import BEGINNING, Cursor, Survey
from shared.logs import logger

__all__ = ["Uploads"]

log = logger(__name__)

#: Pages of 5,000 blobs that one look reads; the next one goes on behind them.
MAX_PAGES = 10

#: Storage tells times in whole seconds and has more than one clock.
MARGIN = timedelta(seconds=5)


class Uploads:
    """Looks through the upload container. Safe to use from several threads."""

    def __init__(self, services: Services, survey: Survey) -> None:
        self._services = services
        self._survey = survey
        self._task = f"uploads of {services.settings.upload_container}"
        self._lock = threading.Lock()
        self._cursor: Cursor | None = None
        #: All uploads until then have their records.
        self.registered_until = BEGINNING

    def register_until(self, record: ImportRecord) -> bool:
        """Give records to all uploads that are older than this import's.

        Returns:
            Whether all have one now; if not, the container holds so many blobs that it takes
            several looks.
        """
        with self._lock:
            if record.uploaded_at <= self.registered_until:
                return True
            return self._look(record) or record.uploaded_at <= self.registered_until

    def swept_until(self) -> datetime:
        """When the last round began that has come to its end; `BEGINNING` before the first."""
        return self._survey.load(self._task).done_until

    def sweep(self) -> None:
        """Give records to uploads that no event announced, and note how far all have one."""
        with self._lock:
            self._cursor = self._survey.load(self._task)
            self._look()
            self._survey.save(self._cursor)

    def _look(self, asker: ImportRecord | None = None) -> bool:
        """Read on where the last look ended; whether this one read the container as a whole."""
        cursor = self._cursor or self._survey.load(self._task)
        if cursor.position and asker:
            # Another process may have read on.
            cursor = self._survey.load(self._task)
        begun_before = bool(cursor.position)
        self.registered_until = max(self.registered_until, cursor.done_until)
        known = {asker.row_key} if asker else set()
        for began_at, blobs, position in self._pages(cursor.position):
            if not cursor.position:
                cursor = replace(cursor, began_at=began_at)
            self._register(blobs, known)
            cursor = replace(cursor, position=position)
        if not cursor.position:
            cursor = replace(cursor, done_until=max(cursor.done_until, cursor.began_at - MARGIN))
            self.registered_until = max(self.registered_until, cursor.done_until)
        if asker and (cursor.position or begun_before):
            self._survey.save(cursor)
        self._cursor = cursor
        return not (cursor.position or begun_before)

    def _pages(self, position: str) -> Iterator[tuple[datetime, list[BlobProperties], str]]:
        """Pages of the listing, each with the service's time and where the next one begins."""
        # The SDK forgets the hook when it repeats a request: nobody knows the time then.
        times = [BEGINNING]

        def note_time(response: Any) -> None:
            if response.http_response.status_code == 200:
                times.append(parsedate_to_datetime(response.http_response.headers["Date"]))

        container = self._services.storage.container(self._services.settings.upload_container)
        pages = container.list_blobs(include=["metadata"], raw_response_hook=note_time).by_page(
            position or None
        )
        try:
            for _, page in zip(range(MAX_PAGES), pages, strict=False):
                blobs = list(page)
                token = pages.continuation_token  # type: ignore[attr-defined]
                yield times[-1], blobs, token or ""
        except ResourceNotFoundError:
            log.warning("there is no container %r yet", container.container_name)

    def _register(self, blobs: list[BlobProperties], known: set[str]) -> None:
        """Give a record to each of the blobs that has none."""
        since = self.registered_until
        by_hub: dict[str, list[tuple[Upload, ImportRecord]]] = {}
        for blob in sorted(blobs, key=lambda blob: blob.last_modified):
            # Accounts with hierarchical namespace list folders as blobs.
            if blob.last_modified >= since and "hdi_isfolder" not in (blob.metadata or {}):
                upload = Upload.of(blob)
                record = record_of(self._services, upload)
                if record.row_key not in known:
                    by_hub.setdefault(record.hub, []).append((upload, record))
        for hub, candidates in by_hub.items():
            times = [upload.uploaded_at for upload, _ in candidates]
            states = self._survey.states(hub, min(times), max(times))
            for upload, record in candidates:
                if record.row_key not in states:
                    with about(record):
                        log.info("no event has announced %r yet", upload.file)
                        register(self._services, upload)
