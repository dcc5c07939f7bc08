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

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobProperties

from shared.errors import first_line
from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.imports.store.queries import BEGINNING, Cursor, Queries
from shared.imports.tracing import log_context
from shared.imports.workflow.registration import Upload, is_folder, record_of, register
from shared.logs import logger
from shared.storage.client import is_outage

__all__ = ["UploadScan"]

log = logger(__name__)

#: Pages of 5,000 blobs that one look reads; the next one goes on behind them.
MAX_PAGES = 10

#: How far the app's clock may be from that of storage.
CLOCK_MARGIN = timedelta(minutes=15)

#: Storage tells times in whole seconds and has more than one clock.
MARGIN = timedelta(seconds=5)

#: How long younger uploads of its hub wait for one that cannot be registered: the cause may soon be
#: gone, such as a row of a newer version during a deployment.
MAX_WAIT = timedelta(minutes=10)


class UploadScan:
    """Looks through the upload container. Safe to use from several threads."""

    def __init__(self, services: Services, queries: Queries) -> None:
        self._services = services
        self._queries = queries
        self._task = f"uploads of {services.settings.uploads.container}"
        self._lock = threading.Lock()
        self._cursor: Cursor | None = None
        #: All uploads until then have their records.
        self.registered_until = BEGINNING
        #: Of those that could not be registered in this round.
        self._oldest_failed: datetime | None = None
        #: Uploads that cannot be registered, by hub and id, and since when.
        self._failing: dict[tuple[str, str], tuple[Upload, datetime]] = {}

    def register_until(self, record: ImportRecord) -> bool:
        """Give records to all uploads that are older than this import's.

        Returns:
            Whether all have one now; if not, the container holds so many blobs that it takes
            several looks, or one of them cannot be registered and is waited for.
        """
        with self._lock:
            if record.uploaded_at <= self.registered_until:
                return True
            is_whole = self._look(record) or record.uploaded_at <= self.registered_until
            return is_whole and not self._is_waited_for(record)

    def _is_waited_for(self, record: ImportRecord) -> bool:
        """Whether an older upload of the hub has failed to get its record, but not for long."""
        since = self._services.clock() - MAX_WAIT
        return any(
            hub == record.hub and upload.uploaded_at <= record.uploaded_at and failed_at > since
            for (hub, _), (upload, failed_at) in self._failing.items()
        )

    def sweep(self) -> None:
        """Give records to uploads that no event announced, and note how far all have one."""
        with self._lock:
            self._cursor = self._load()
            self._look()
            self._queries.save(self._cursor)

    def _load(self) -> Cursor:
        """How far the rounds have come. A time that is still to come was not set by the app."""
        cursor = self._queries.load(self._task)
        if max(cursor.began_at, cursor.done_until) > self._services.clock() + CLOCK_MARGIN:
            log.error("row %r was edited; the uploads are looked through again", self._task)
            return Cursor(self._task)
        return cursor

    def _look(self, asker: ImportRecord | None = None) -> bool:
        """Read on where the last look ended; whether this one read the container as a whole."""
        cursor = self._cursor or self._load()
        if cursor.position and asker:
            # Another process may have read on.
            cursor = self._load()
        begun_before = bool(cursor.position)
        self.registered_until = max(self.registered_until, cursor.done_until)
        known = {asker.row_key} if asker else set()
        for began_at, blobs, position in self._pages(cursor.position):
            if not cursor.position:
                cursor = replace(cursor, began_at=began_at)
            self._register(blobs, known)
            cursor = replace(cursor, position=position)
        if not cursor.position:
            done_until = cursor.began_at - MARGIN
            if self._oldest_failed is not None:
                # The next round comes to it again.
                done_until = min(done_until, self._oldest_failed - MARGIN)
            self._oldest_failed = None
            cursor = replace(cursor, done_until=max(cursor.done_until, done_until))
            self.registered_until = max(self.registered_until, cursor.done_until)
        if asker and (cursor.position or begun_before):
            self._queries.save(cursor)
        self._cursor = cursor
        return not (cursor.position or begun_before)

    def _pages(self, position: str) -> Iterator[tuple[datetime, list[BlobProperties], str]]:
        """Pages of the listing, each with the service's time and where the next one begins."""
        # The SDK forgets the hook when it repeats a request: nobody knows the time then.
        times = [BEGINNING]

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
                # People edited it, or it is too old for the service.
                log.warning("the listing begins anew: %s", first_line(error))
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
            found = self._queries.known(hub, min(times), max(times))
            for upload, record in candidates:
                if record.row_key not in found:
                    with log_context(record):
                        self._register_one(upload, record)

    def _register_one(self, upload: Upload, expected: ImportRecord) -> None:
        key = expected.hub, expected.id
        try:
            record, is_new = register(self._services, upload)
        except Exception as error:
            if is_outage(error):
                raise
            # It must not hold up the others; the next sweep comes to it again.
            log.exception("%r cannot be registered", upload.file)
            self._oldest_failed = min(self._oldest_failed or upload.uploaded_at, upload.uploaded_at)
            self._failing.setdefault(key, (upload, self._services.clock()))
        else:
            self._failing.pop(key, None)
            if is_new:
                log.info("no event has announced %r yet", record.file)
