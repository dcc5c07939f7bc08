"""The mappings in the upload container: each applies to the files of its folder.

A valid mapping is no import and has no record. An invalid one is rejected as any other upload, and
so are the files of its folder until it is corrected: nothing is imported unmapped.
"""

from __future__ import annotations

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from shared.device_files.mapping.document import (
    MAX_MAPPING_BYTES,
    InvalidMappingError,
    read_mapping,
)
from shared.device_files.mapping.file_mapping import is_mapping_name, mapping_path
from shared.device_files.mapping.folder_mapping import FolderMapping
from shared.imports.services import Services
from shared.imports.workflow.registration import Upload, has_dot_folder
from shared.storage.blobs import SupersededError, UploadedFile

__all__ = ["find_mapping", "is_accepted_mapping"]


def find_mapping(services: Services, file: str) -> FolderMapping | None:
    """The present mapping of the folder of a blob, by one request; None if there is none.

    Raises:
        AzureError: it is not known whether there is one.
    """
    if is_mapping_name(file) or has_dot_folder(file):
        return None
    name = mapping_path(file)
    container = services.storage.container(services.settings.uploads.container)
    blob = container.get_blob_client(name)
    try:
        # One byte more shows that it is too large.
        stream = blob.download_blob(0, MAX_MAPPING_BYTES + 1, decompress=False)
        return FolderMapping.of(name, stream.readall(), stream.properties.etag.strip('"'))
    except ResourceNotFoundError:
        return None
    except HttpResponseError as error:
        if error.status_code != 416:
            raise
        # An empty blob has no range.
        return FolderMapping.of(name, b"")


def is_accepted_mapping(services: Services, upload: Upload) -> bool:
    """Whether an upload is a mapping that applies, so that it needs no record.

    One in a folder of no hub is not: its record says so, as that of any file there.

    Raises:
        AzureError: it cannot be read now.
    """
    if not is_mapping_name(upload.file) or has_dot_folder(upload.file):
        return False
    if services.settings.hub.routes.hub_of(upload.file) is None:
        return False
    if upload.size > MAX_MAPPING_BYTES:
        return False
    container = services.storage.container(services.settings.uploads.container)
    file = UploadedFile(container.get_blob_client(upload.file), upload.etag, upload.size)
    try:
        read_mapping(b"".join(file.chunks()))
    except InvalidMappingError:
        return False
    except SupersededError:
        # No file can get it any more, and what replaced it has an event of its own.
        return True
    return True
