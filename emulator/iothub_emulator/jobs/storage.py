"""The blob containers of one job: checked before its creation, then read and written.

A SAS is not parsed: the checks use it for what the job requires. Messages are those of live hubs.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContainerClient, LinearRetry

from iothub_emulator.choices import Choices
from iothub_emulator.errors import ErrorCode, HubError, Shape
from iothub_emulator.jobs.request import JobRequest, JobType, StorageAuthentication

READ_REFUSED = "Failed to read devices blob from the input container."
WRITE_REFUSED = "Unauthorized to write to output blob container."
DELETE_REFUSED = "Unauthorized to delete from output blob container"

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_CHUNK_BYTES = 4 * 1024 * 1024
#: Seconds per request, which limits the time of a job creation.
_TIMEOUT = 10
_OPTIONS: Mapping[str, Any] = {
    # A retry for a connection that the service closed between two requests.
    "retry_policy": LinearRetry(backoff=0, retry_total=2, random_jitter_range=0),
    "connection_timeout": _TIMEOUT,
    "read_timeout": _TIMEOUT,
    "max_single_get_size": _CHUNK_BYTES,
    "max_chunk_get_size": _CHUNK_BYTES,
}


class JobStorage:
    """Access to the containers with the requested authentication."""

    def __init__(
        self, request: JobRequest, identity_connection_string: str | None, choices: Choices
    ) -> None:
        self._request = request
        self._choices = choices
        self._identity = None
        if request.storage_authentication is StorageAuthentication.IDENTITY_BASED:
            if identity_connection_string is None:
                message = "The hub has no managed identity."
                raise HubError(ErrorCode.ManagedIdentityNotEnabled, message, Shape.E4)
            self._identity = identity_connection_string
        self._output = self._container(request.output_uri, WRITE_REFUSED)
        self._input = self._output
        if request.type is JobType.IMPORT:
            self._input = self._container(request.input_uri, READ_REFUSED)

    def close(self) -> None:
        self._output.close()
        self._input.close()

    def check(self) -> None:
        """Refuse a job that has no access to its containers.

        The output is checked first: for an expired SAS of both containers, hubs report that they
        cannot write.
        """
        probe = f"probe-{uuid.uuid4()}"
        with _refused_as(WRITE_REFUSED):
            self._upload_new(probe, b"")
            if self._choices.output_rights == "write":
                # To overwrite requires the right to write, to create does not.
                self._output.upload_blob(probe, b"", overwrite=True)
        with _refused_as(DELETE_REFUSED):
            self._delete(probe)
        if self._request.type is JobType.IMPORT:
            self._check_input(self._request.input_blob_name)
            if self._request.include_configurations:
                self._check_input(self._request.configurations_blob_name)

    def lines(self, blob_name: str) -> Iterator[tuple[int, str]]:
        """Read the lines of a blob, each with the percentage of the blob that is read."""
        download = self._input.download_blob(blob_name)
        consumed = 0
        for number, line in enumerate(_split(download.chunks())):
            consumed += len(line) + 1
            text = line.decode("utf-8", "replace").rstrip("\r")
            if number == 0 and self._choices.byte_order_mark == "skip":
                text = text.removeprefix(_BYTE_ORDER_MARK)
            is_end_of_file = consumed > download.size
            if text.strip() or (self._choices.blank_lines == "refuse" and not is_end_of_file):
                yield min(100, 100 * consumed // download.size), text

    def write_log(self, name: str, lines: list[str]) -> None:
        """Write the log of an import; it is empty if there are no errors."""
        old = b""
        if self._choices.error_log == "append":
            with suppress(ResourceNotFoundError):
                old = self._output.download_blob(name).readall()
        self._delete(name)
        new = "".join(f"{line}\n" for line in lines) * self._choices.error_log_repeats
        self._upload_new(name, old + new.encode())

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write an export and overwrite an older one."""
        if self._choices.output_rights == "create":
            # In one request, as staging blocks requires the right to write.
            self._output.upload_blob(name, b"".join(chunks))
        else:
            self._output.upload_blob(name, iter(chunks), overwrite=True)

    def _upload_new(self, name: str, content: bytes) -> None:
        """Upload a blob that is known not to exist, unless the answer to a first try was lost."""
        with suppress(ResourceExistsError):
            self._output.upload_blob(name, content)

    def _delete(self, name: str) -> None:
        """Delete a blob, if it is there: the answer to a first try may have been lost."""
        with suppress(ResourceNotFoundError):
            self._output.delete_blob(name)

    def _check_input(self, blob_name: str) -> None:
        with _refused_as(READ_REFUSED):
            size = self._input.get_blob_client(blob_name).get_blob_properties().size
        if size == 0 or 0 < self._choices.max_import_bytes < size:
            raise _refusal(READ_REFUSED)

    def _container(self, uri: str, refusal: str) -> ContainerClient:
        with _refused_as(refusal):
            client = ContainerClient.from_container_url(uri, **_OPTIONS)
        if self._identity is None:
            return client
        return ContainerClient.from_connection_string(
            self._identity, client.container_name, **_OPTIONS
        )


@contextmanager
def _refused_as(message: str) -> Iterator[None]:
    """Answer every storage error by the message of the step, as a hub does."""
    try:
        yield
    except (AzureError, ValueError):
        raise _refusal(message) from None


def _refusal(message: str) -> HubError:
    return HubError(ErrorCode.BlobContainerValidationError, message, Shape.E4)


def _split(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Split at line feeds only, as JSON strings may contain other line separators."""
    rest = b""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        yield from complete
    yield rest
