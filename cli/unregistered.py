"""Uploads that the app has not registered: the import has its id before it has a record."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice

from azure.core.exceptions import ResourceNotFoundError

from cli.times import full_time
from shared.errors import AmbiguousIdError, ImportNotFoundError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.workflow.registration import Upload, record_of

__all__ = ["app_activity", "get_or_upload", "not_registered"]

#: Blobs of the upload container that are searched, by name: a page of a listing.
MAX_BLOBS = 5000

#: The app notes at most once a minute that its timers ran.
_RECENT = timedelta(minutes=3)


def app_activity(importer: Importer) -> str:
    """When the app was last active, and what to check: one request."""
    times = [run.at for run in importer.health.timers() if run.at is not None]
    if not times:
        return "The app has not run yet. Is it running, and with these settings?"
    last = max(times)
    text = f"Last activity of the app: {full_time(last)}"
    if importer.services.clock() - last > _RECENT:
        return f"{text}. Is it running?"
    return (
        f"{text}. If this takes more than a few minutes, check the Event Grid subscription of the "
        "upload container; the app's sweep also finds uploads (SWEEP_SCHEDULE)."
    )


def not_registered(file: str, activity: str) -> str:
    """What an upload waits for."""
    return f"{file}: uploaded; the app has not picked it up yet. {activity}"


def get_or_upload(importer: Importer, import_id: str) -> tuple[ImportRecord, bool]:
    """An import by its id or abbreviated id; or the record that an upload will get.

    The id is a hash of name and ETag, so the uploads are listed to find it.

    Returns:
        The record, and whether it is in the table.

    Raises:
        ImportNotFoundError: there is neither.
    """
    try:
        return importer.reader.get(import_id), True
    except AmbiguousIdError:
        raise
    except ImportNotFoundError as error:
        services = importer.services
        name = services.settings.uploads.container
        blobs = services.storage.container(name).list_blobs(results_per_page=MAX_BLOBS)
        searched = 0
        try:
            for blob in islice(blobs, MAX_BLOBS):
                searched += 1
                record = record_of(services, Upload.of(blob))
                if record.id.startswith(import_id):
                    return record, False
        except ResourceNotFoundError:
            # No container, no upload.
            pass
        where = f"the first {MAX_BLOBS:,} blobs" if searched == MAX_BLOBS else "the blobs"
        message = f"{error} Nor does an upload have this id ({where} of {name!r})."
        raise ImportNotFoundError(message) from None
