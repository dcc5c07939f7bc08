"""Scans of the upload container: they find what no event announced, and keep the order of uploads.

Events come late, twice, out of order or never. Before an import starts, every older upload must
have its record. So a start asks for a scan (`HubQueue._register_older`), unless a scan since its
upload has covered it: what was uploaded after a scan began is younger than what the scan was for.

How far the scans have come is a `Cursor`, kept in the table for other processes. An example with a
container of 120,000 blobs, of which a scan reads 50,000 (names are listed in alphabetical order):

    scan at     reads                position after     began_at   done_until
    10:00:00    a... to h...         "page after h"     10:00:00   09:30:00
    10:05:00    i... to p...         "page after p"     10:00:00   09:30:00
    10:10:00    q... to the end      ""                 10:00:00   09:59:55

Only at the end of the round are all uploads registered, until shortly before it began. An import
that was uploaded at 09:59:00 starts after the third scan, one of 10:01:00 after another round. In
a container of less than 50,000 blobs each scan is a whole round.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobProperties

from shared.errors import first_line
from shared.imports.model.keys import EPOCH
from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.imports.store.cursors import Cursor
from shared.imports.tracing import log_context
from shared.imports.workflow.folder_mappings import is_accepted_mapping
from shared.imports.workflow.registration import Upload, is_folder, record_of, register
from shared.logs import logger
from shared.storage.client import is_outage

__all__ = ["UploadScan"]

log = logger(__name__)

#: Pages of 5,000 blobs that one scan reads.
MAX_PAGES = 10

#: How much the clocks of the app and of storage may differ.
CLOCK_MARGIN = timedelta(minutes=15)

#: Storage reports times in whole seconds and has more than one clock.
MARGIN = timedelta(seconds=5)

#: How long younger uploads of its hub wait for one that cannot be registered: the cause may soon be
#: over, such as a row of a newer version during a deployment.
MAX_WAIT = timedelta(minutes=10)


class UploadScan:
    """Registers the uploads in the container. Safe to use from several threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._cursors = services.cursors
        self._task = f"uploads of {services.settings.uploads.container}"
        self._lock = threading.Lock()
        self._cursor: Cursor | None = None
        #: All uploads until then have their records.
        self.registered_until = EPOCH
        #: The oldest upload that could not be registered in this round.
        self._oldest_failed: datetime | None = None
        #: Uploads that cannot be registered, by hub and id, and since when.
        self._failing: dict[tuple[str, str], tuple[Upload, datetime]] = {}

    def register_until(self, record: ImportRecord) -> bool:
        """Give records to all uploads that are older than this import's.

        Returns:
            Whether all have one now; if not, the container holds so many blobs that it takes
            several scans, or one of them cannot be registered and is waited for.
        """
        with self._lock:
            if record.queued_at <= self.registered_until:
                return True
            is_whole = self._scan(record) or record.queued_at <= self.registered_until
            return is_whole and not self._is_waited_for(record)

    def sweep(self) -> None:
        """Give records to uploads that no event announced, and note how far all have one."""
        with self._lock:
            self._cursor = self._load()
            self._scan()
            self._cursors.save(self._cursor)

    def _is_waited_for(self, record: ImportRecord) -> bool:
        """Whether an older upload of the hub cannot be registered, but not for long yet."""
        since = self._services.clock() - MAX_WAIT
        return any(
            hub == record.hub and upload.uploaded_at <= record.queued_at and failed_at > since
            for (hub, _), (upload, failed_at) in self._failing.items()
        )

    def _load(self) -> Cursor:
        cursor = self._cursors.load(self._task)
        if max(cursor.began_at, cursor.done_until) > self._services.clock() + CLOCK_MARGIN:
            log.error("row %r was edited; all uploads are scanned again", self._task)
            return Cursor(self._task)
        return cursor

    def _scan(self, requested_for: ImportRecord | None = None) -> bool:
        """Continue where the last scan ended; returns whether this one read all of the container.

        Args:
            requested_for: the import whose start needs the scan; it has its record.
        """
        cursor = self._cursor or self._load()
        if cursor.position and requested_for:
            # Another process may have read on.
            cursor = self._load()
        is_continued = bool(cursor.position)
        self.registered_until = max(self.registered_until, cursor.done_until)
        known = {requested_for.row_key} if requested_for else set()
        for began_at, blobs, position in self._pages(cursor.position):
            if not cursor.position:
                cursor = replace(cursor, began_at=began_at)
            self._register(blobs, known)
            cursor = replace(cursor, position=position)
        if not cursor.position:
            done_until = cursor.began_at - MARGIN
            if self._oldest_failed is not None:
                # The next round registers it.
                done_until = min(done_until, self._oldest_failed - MARGIN)
            self._oldest_failed = None
            cursor = replace(cursor, done_until=max(cursor.done_until, done_until))
            self.registered_until = max(self.registered_until, cursor.done_until)
        is_part = bool(cursor.position) or is_continued
        if requested_for and is_part:
            self._cursors.save(cursor)
        self._cursor = cursor
        return not is_part

    def _pages(self, position: str) -> Iterator[tuple[datetime, list[BlobProperties], str]]:
        """Pages of the listing, each with the service's time and where the next one begins."""
        # The SDK forgets the hook when it repeats a request; then an earlier time is used.
        times = [EPOCH]

        def note_time(response: Any) -> None:
            if response.http_response.status_code == 200:
                times.append(parsedate_to_datetime(response.http_response.headers["Date"]))

        container = self._services.storage.container(self._services.settings.uploads.container)
        for _ in range(MAX_PAGES):
            pages = container.list_blobs(include=["metadata"], raw_response_hook=note_time).by_page(
                position or None
            )
            try:
                blobs = list(next(pages, ()))
            except ResourceNotFoundError:
                log.warning("there is no container %r yet", container.container_name)
                return
            except HttpResponseError as error:
                if not position or is_outage(error):
                    raise
                # It was edited, or is too old for the service.
                log.warning("the listing starts from the beginning: %s", first_line(error))
                position = ""
                continue
            position = pages.continuation_token or ""  # type: ignore[attr-defined]
            yield times[-1], blobs, position
            if not position:
                return

    def _register(self, blobs: list[BlobProperties], known: set[str]) -> None:
        """Give a record to each of the blobs that has none."""
        since = self.registered_until
        by_hub: dict[str, list[tuple[Upload, ImportRecord]]] = {}
        for blob in sorted(blobs, key=lambda blob: blob.last_modified):
            if blob.last_modified >= since and not is_folder(blob):
                upload = Upload.of(blob)
                record = record_of(self._services, upload)
                if record.row_key not in known:
                    by_hub.setdefault(record.hub, []).append((upload, record))
        for hub, candidates in by_hub.items():
            times = [upload.uploaded_at for upload, _ in candidates]
            registered = self._services.queries.known(hub, min(times), max(times))
            for upload, record in candidates:
                if record.row_key not in registered:
                    with log_context(record):
                        self._register_upload(upload, record)

    def _register_upload(self, upload: Upload, expected: ImportRecord) -> None:
        key = expected.hub, expected.id
        try:
            if is_accepted_mapping(self._services, upload):
                # Only scans of a round that began within `MARGIN` after its upload see it again.
                self._failing.pop(key, None)
                return
            record, is_new = register(self._services, upload)
        except Exception as error:
            if is_outage(error):
                raise
            # It must not hold up the others; the next sweep tries again.
            log.exception("%r cannot be registered", upload.file)
            self._oldest_failed = min(self._oldest_failed or upload.uploaded_at, upload.uploaded_at)
            self._failing.setdefault(key, (upload, self._services.clock()))
        else:
            self._failing.pop(key, None)
            if is_new:
                log.info("no event has announced %r yet", record.file)
