"""Uploads through the app's endpoints: an address that files are sent to, or the file itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties, BlobType

from shared.errors import FilterError, NotPossibleError, UploadExistsError
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.imports.store.tickets import TICKET_METADATA, UploadTicket, ticket_of
from shared.imports.workflow.folder_mappings import is_accepted_mapping
from shared.imports.workflow.registration import Upload, has_dot_folder, record_of

__all__ = ["FoundUpload", "UploadAddress", "Uploads", "name_problem", "upload_metadata"]

#: How long the address of an upload can be used. A request that began before goes on.
ADDRESS_LIFETIME = timedelta(minutes=15)

#: Storage lists blobs as XML, which has no such characters (learn: "Naming and referencing
#: containers, blobs, and metadata").
_UNLISTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
#: Characters of a blob's name (the same page).
_MAX_NAME = 1024


@dataclass(frozen=True)
class UploadAddress:
    """Where and how to send a file."""

    ticket: str
    #: Name of the blob.
    file: str
    #: With a SAS for this blob: a secret.
    url: str
    #: To send with the request that creates the blob.
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True)
class FoundUpload:
    """What became of an upload."""

    ticket: str
    file: str
    #: The id of its import; "" if the upload is not complete.
    import_id: str = ""
    #: None if the import has no record yet.
    state: ImportState | None = None
    #: Whether it is a valid mapping, which is no import.
    is_mapping: bool = False


class Uploads:
    """Prepares, takes and finds uploads."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def blob_name(self, name: str, hub: str) -> str:
        """The name of the blob for a file.

        Args:
            hub: a folder of `IOTHUB` or the name of a hub; "" if the name selects it.

        Raises:
            FilterError: it cannot be uploaded under that name, or the hub is unknown.
        """
        routes = self._services.settings.hub.routes
        folder = hub
        if hub and hub not in routes.folders:
            if hub not in self._services.hubs:
                raise FilterError("hub", f"unknown hub; use one of: {self._choices()}")
            folder = routes.folder_of(hub)
        file = f"{folder}/{name}" if folder else name
        if problem := name_problem(file):
            raise FilterError("name", f"{file!r} cannot be the name of a blob: {problem}")
        if routes.hub_of(file) is None:
            raise FilterError("hub", f"is required; use one of: {self._choices()}")
        return file

    def address(
        self, file: str, by: Actor, *, overwrite: bool = False, confirmed_deletes: int = 0
    ) -> UploadAddress:
        """Prepare the upload of a blob by somebody who then sends it to storage.

        Raises:
            UploadExistsError: there is a blob of that name, which is not to be overwritten.
            TemporaryError, AzureError: storage is unavailable.
        """
        if not overwrite:
            self._check_absent(file)
        now = self._services.clock()
        ticket = self._services.tickets.issue(file, by, now + ADDRESS_LIFETIME)
        container = self._services.settings.uploads.container
        url = self._services.storage.blob_uri_with_sas(container, file, ADDRESS_LIFETIME, now)
        metadata = upload_metadata(ticket, confirmed_deletes)
        headers = {
            "x-ms-blob-type": BlobType.BLOCKBLOB.value,
            **{f"x-ms-meta-{name}": value for name, value in metadata.items()},
        }
        if not overwrite:
            headers["If-None-Match"] = "*"
        return UploadAddress(ticket.id, file, url, headers, ticket.until)

    def write(
        self,
        file: str,
        content: bytes,
        by: Actor,
        *,
        overwrite: bool = False,
        confirmed_deletes: int = 0,
    ) -> FoundUpload:
        """Upload a blob.

        Raises:
            UploadExistsError: there is one of that name, which is not to be overwritten.
            NotPossibleError: the upload container does not exist.
            AzureError: storage is unavailable.
        """
        until = self._services.clock() + ADDRESS_LIFETIME
        ticket = self._services.tickets.issue(file, by, until)
        try:
            self._blob(file).upload_blob(
                content,
                overwrite=overwrite,
                metadata=upload_metadata(ticket, confirmed_deletes),
            )
        except ResourceExistsError:
            # By this call, if its first answer was lost.
            blob = self._properties(file)
            if blob is None or ticket_of(blob.metadata) != ticket.id:
                self._check_absent(file)
                raise
        except ResourceNotFoundError:
            raise NotPossibleError(
                f"The container {self._services.settings.uploads.container!r} does not exist in "
                "the storage account. Create it, or correct UPLOAD_CONTAINER."
            ) from None
        return self.find(ticket.id) or FoundUpload(ticket.id, file)

    def find(self, ticket_id: str) -> FoundUpload | None:
        """What became of an upload by its ticket; None if there is no such ticket.

        Raises:
            AzureError: storage is unavailable.
        """
        ticket = self._services.tickets.find(ticket_id)
        if ticket is None:
            return None
        import_id = ticket.import_id
        if not import_id:
            blob = self._properties(ticket.file)
            if blob is None or ticket_of(blob.metadata) != ticket.id:
                return FoundUpload(ticket.id, ticket.file)
            if is_accepted_mapping(self._services, Upload.of(blob)):
                return FoundUpload(ticket.id, ticket.file, is_mapping=True)
            import_id = self._record_of(blob).id
        return FoundUpload(ticket.id, ticket.file, import_id, self._state(import_id))

    def _check_absent(self, file: str) -> None:
        blob = self._properties(file)
        if blob is not None:
            import_id = self._record_of(blob).id
            state = self._state(import_id)
            raise UploadExistsError(file, import_id, state.label if state else "")

    def _state(self, import_id: str) -> ImportState | None:
        try:
            record = self._services.find_record(import_id)
        except (UnreadableRowError, NewerRowError):
            return None
        if record is None:
            return None
        [record] = self._services.with_jobs([record])
        return record.state

    def _record_of(self, blob: BlobProperties) -> ImportRecord:
        return record_of(self._services, Upload.of(blob))

    def _properties(self, file: str) -> BlobProperties | None:
        try:
            return self._blob(file).get_blob_properties()
        except ResourceNotFoundError:
            return None

    def _blob(self, file: str) -> BlobClient:
        container = self._services.settings.uploads.container
        return self._services.storage.container(container).get_blob_client(file)

    def _choices(self) -> str:
        routes = self._services.settings.hub.routes
        return ", ".join(routes.folders or self._services.hubs)


def name_problem(name: str) -> str:
    """Why a blob cannot have this name, as part of a sentence; "" if it can."""
    if has_dot_folder(name.replace("\\", "/")):
        return "clients resolve a folder named . or .. to another path"
    if "\\" in name:
        return "storage replaces a backslash by /"
    if _UNLISTABLE.search(name):
        return "it contains control characters"
    if len(name) > _MAX_NAME:
        return f"it has more than {_MAX_NAME:,} characters"
    return "it is that of a folder" if not name or name.endswith("/") else ""


def upload_metadata(ticket: UploadTicket | None, confirmed_deletes: int) -> dict[str, str]:
    """The metadata of the blob of an upload."""
    metadata = {TICKET_METADATA: ticket.id} if ticket else {}
    if confirmed_deletes:
        metadata["confirmDeletes"] = str(confirmed_deletes)
    return metadata
