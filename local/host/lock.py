"""The lock that lets one of several hosts with the same id run the timers."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Final

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobLeaseClient

from local.host.storage import StorageClients

__all__ = ["TimerLock"]

logger = logging.getLogger(__name__)

#: Seconds for which timers pause after a crash; the shortest lease of a blob. The real host has 60.
_LEASE_SECONDS: Final = 15
#: Seconds between renewals, and between attempts to get the lock.
RENEWAL_SECONDS = 5.0


class TimerLock:
    """A lease on a blob in the host's storage, kept by a thread.

    As in Azure, a host that has the lock keeps it until it stops or crashes.
    """

    def __init__(self, clients: StorageClients, host_id: str) -> None:
        #: Set while this host runs the timers.
        self.held = threading.Event()
        self._clients = clients
        self._blob = f"locks/{host_id}/host"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="functions-lock", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Give the lock back, so that another host does not have to wait for its end."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        lease = BlobLeaseClient(self._clients.host_blob(self._blob))
        while True:
            try:
                self._acquire(lease)
                self.held.set()
            except AzureError as error:
                self.held.clear()
                if not isinstance(error, ResourceExistsError):
                    logger.warning("timers pause, storage failed: %s", type(error).__name__)
            if self._done.wait(RENEWAL_SECONDS):
                break
        if self.held.is_set():
            with contextlib.suppress(AzureError):
                lease.release()

    def _acquire(self, lease: BlobLeaseClient) -> None:
        """Acquire or renew; storage lets the holder of a lease acquire it again by its id."""
        try:
            lease.acquire(_LEASE_SECONDS)
        except ResourceNotFoundError:
            self._clients.create_host_blob(self._blob)
            lease.acquire(_LEASE_SECONDS)
