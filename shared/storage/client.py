"""Blob and table clients of the storage account, and SAS for hubs and uploads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.paging import ItemPaged
from azure.core.pipeline.transport import HttpTransport
from azure.data.tables import TableClient, TableServiceClient
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ContainerProperties,
    ContainerSasPermissions,
    ExponentialRetry,
    StorageStreamDownloader,
    UserDelegationKey,
    generate_blob_sas,
    generate_container_sas,
)

from shared.connections import StorageConnection
from shared.errors import RefusedForNowError, TemporaryError

__all__ = [
    "CHUNK_BYTES",
    "DelegationKeyRefusedError",
    "IncompleteReadError",
    "Storage",
    "is_outage",
    "whole",
]

#: Bytes per read or write. 8 MiB is 10% faster for a million devices, with 26 MiB more memory.
CHUNK_BYTES = 4 * 1024 * 1024

#: How long a user delegation key is reused. With the longest SAS (167 h) and the clock skew, it is
#: below the maximum validity of a key, 7 days.
KEY_REUSE = timedelta(minutes=30)
#: The clock of storage may be behind (learn: "Best practices when using SAS").
CLOCK_SKEW = timedelta(minutes=15)

#: Attempts to read the time: the SDK drops the response hook when it retries a request.
_TIME_ATTEMPTS = 3


class IncompleteReadError(TemporaryError):
    """A blob was not read completely."""


class DelegationKeyRefusedError(RefusedForNowError):
    """The app may not sign a SAS. Grant it Storage Blob Data Contributor on the account."""


class Storage:
    """Clients for the lifetime of the process. Safe to use from several threads."""

    def __init__(
        self,
        connection: StorageConnection,
        credential: Callable[[], TokenCredential],
        transport: Callable[[], HttpTransport[Any, Any]],
    ) -> None:
        # The default waits 15 s before the first retry.
        retry = ExponentialRetry(
            initial_backoff=1, increment_base=2, retry_total=3, random_jitter_range=1
        )
        tuning: dict[str, Any] = {
            "retry_policy": retry,
            # The services do not redirect; another server would receive tokens and content.
            "permit_redirects": False,
            "transport": transport(),
            "max_single_get_size": CHUNK_BYTES,
            "max_chunk_get_size": CHUNK_BYTES,
        }
        # Five retries take at most 30 seconds; the default of ten exceeds the function timeout.
        table_tuning: dict[str, Any] = {
            "transport": transport(),
            "retry_total": 5,
            "permit_redirects": False,
        }
        self._delegated = connection.connection_string is None
        if connection.connection_string is not None:
            text = connection.connection_string.get_secret_value()
            self._blobs = BlobServiceClient.from_connection_string(text, **tuning)
            self._tables = TableServiceClient.from_connection_string(text, **table_tuning)
        else:
            identity = credential()
            self._blobs = BlobServiceClient(
                str(connection.blob_service_uri), credential=identity, **tuning
            )
            self._tables = TableServiceClient(
                str(connection.table_service_uri), credential=identity, **table_tuning
            )
        self._delegation_key: tuple[UserDelegationKey, datetime] | None = None

    def container(self, name: str) -> ContainerClient:
        return self._blobs.get_container_client(name)

    def containers(self, prefix: str) -> ItemPaged[ContainerProperties]:
        """List containers by prefix, with their metadata."""
        return self._blobs.list_containers(name_starts_with=prefix, include_metadata=True)

    def table(self, name: str) -> TableClient:
        return self._tables.get_table_client(name)

    def time_of(self, container: str) -> datetime | None:
        """Return the time of the storage service, in whole seconds; None if unknown."""
        dates: list[str] = []

        def note_date(response: Any) -> None:
            if date := response.http_response.headers.get("Date"):
                dates.append(date)

        for _ in range(_TIME_ATTEMPTS):
            with contextlib.suppress(ResourceNotFoundError):
                self.container(container).get_container_properties(raw_response_hook=note_date)
            if dates:
                return parsedate_to_datetime(dates[-1])
        return None

    def container_uri(self, name: str) -> str:
        """Return the container's URL without a SAS."""
        return self.container(name).url

    def container_uri_with_sas(self, name: str, lifetime: timedelta, now: datetime) -> str:
        """Return the container's URL with a SAS for an import job: a secret.

        The hub reads the device file and replaces its log, which requires delete (learn: "Import
        and export IoT Hub device identities in bulk").
        """
        container = self.container(name)
        permission = ContainerSasPermissions(read=True, write=True, delete=True, list=True)
        sas = generate_container_sas(
            str(container.account_name),
            name,
            permission=permission,
            **self._signing(now + lifetime, now),
        )
        return f"{container.url}?{sas}"

    def blob_uri_with_sas(
        self, container: str, name: str, lifetime: timedelta, now: datetime
    ) -> str:
        """Return the URL of a blob with a SAS that allows to create and write it: a secret."""
        client = self.container(container)
        sas = generate_blob_sas(
            str(client.account_name),
            container,
            name,
            permission=BlobSasPermissions(create=True, write=True),
            **self._signing(now + lifetime, now),
        )
        return f"{client.get_blob_client(name).url}?{sas}"

    @property
    def blob_origin(self) -> str:
        """Scheme, host and port of the blob service."""
        url = urlsplit(self._blobs.url)
        return f"{url.scheme}://{url.netloc}"

    def close(self) -> None:
        self._blobs.close()
        self._tables.close()

    def _signing(self, expiry: datetime, now: datetime) -> dict[str, Any]:
        """Options of a SAS: its key, its end, and https.

        It has no start time, so that a service whose clock is behind accepts it.

        Raises:
            DelegationKeyRefusedError, TemporaryError: there is no key.
        """
        if self._delegated:
            key: dict[str, Any] = {"user_delegation_key": self._user_delegation_key(expiry, now)}
        else:
            key = {"account_key": self._blobs.credential.account_key}
        # Azurite uses http.
        is_https = self._delegated or self._blobs.url.startswith("https:")
        return {**key, "expiry": expiry, "protocol": "https" if is_https else None}

    def _user_delegation_key(self, until: datetime, now: datetime) -> UserDelegationKey:
        if self._delegation_key is None or self._delegation_key[1] < until:
            expiry = until + KEY_REUSE
            try:
                key = self._blobs.get_user_delegation_key(now - CLOCK_SKEW, expiry)
            except AzureError as error:
                if getattr(error, "status_code", None) in (401, 403):
                    raise DelegationKeyRefusedError from error
                raise TemporaryError(
                    f"No user delegation key from the storage account: {error.message}"
                ) from error
            self._delegation_key = (key, expiry)
        return self._delegation_key[0]


def whole(
    download: Callable[..., StorageStreamDownloader[bytes]], size: int, **conditions: Any
) -> Iterator[bytes]:
    """Yield all bytes of a blob as stored.

    Without `decompress=False`, the SDK decompresses a blob with `Content-Encoding: gzip` range by
    range and loses everything after the first range.

    Args:
        download: `download_blob` of its client.
        size: the blob's size in bytes.

    Raises:
        IncompleteReadError: the number of bytes differs.
    """
    count = 0
    if size:
        for chunk in download(decompress=False, **conditions).chunks():
            count += len(chunk)
            yield chunk
    if count != size:
        raise IncompleteReadError(f"{count:,} of {size:,} bytes were read.")


def is_outage(error: BaseException) -> bool:
    """Whether storage is unreachable, busy or denies access, so the blob or row is not known."""
    if isinstance(error, HttpResponseError) and error.status_code:
        return error.status_code in (401, 403, 408, 429) or error.status_code >= 500
    return isinstance(error, ServiceRequestError | ServiceResponseError | ClientAuthenticationError)
