"""What every step of the workflow works with."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from shared.hub.client import HubClient
from shared.imports.model.record import ImportRecord
from shared.imports.store.claims import Claim, Claims
from shared.imports.store.import_container import ImportContainer, container_name
from shared.imports.store.import_store import ImportStore
from shared.imports.store.rows import UnreadableRowError
from shared.settings import Settings
from shared.storage.client import Storage

__all__ = ["Services"]


@dataclass(frozen=True)
class Services:
    """Clients and settings, made once in a process."""

    settings: Settings
    storage: Storage
    store: ImportStore
    claims: Claims
    hubs: Mapping[str, HubClient]
    clock: Callable[[], datetime]

    def container(self, name: str) -> ImportContainer:
        return ImportContainer(self.storage.container(name))

    def container_of(self, record: ImportRecord) -> ImportContainer:
        return self.container(record.container)

    def owner_of(self, record: ImportRecord) -> dict[str, str]:
        """Metadata of a container that lead to its record: several apps may share an account."""
        table = self.settings.storage.imports_table
        return {"table": table, "hub": record.hub, "record": record.row_key}

    def owner_by_container(self, import_id: str) -> Claim | None:
        """What the metadata of an import's container tell of its record: one list request.

        They prove that the import was there when its claim or its record was deleted.
        """
        for container in self.storage.containers(container_name(import_id)):
            owner = container.metadata or {}
            if owner.get("table") == self.settings.storage.imports_table and "record" in owner:
                return Claim(import_id, owner.get("hub", ""), owner["record"])
        return None

    def find_record(self, import_id: str) -> ImportRecord | None:
        """The record of an import by its claim, or by its container if that leads to none.

        Raises:
            UnreadableRowError, NewerRowError: the record cannot be used.
        """
        for find in (self.claims.find, self.owner_by_container):
            try:
                claim = find(import_id)
            except UnreadableRowError:
                continue
            if claim is not None:
                with contextlib.suppress(ResourceNotFoundError):
                    return self.store.get(claim.hub, claim.record_key)
        return None

    def known_hubs(self) -> frozenset[str]:
        """The configured hubs, and all that an upload was ever claimed for, as of a minute ago."""
        return self.claims.hubs() | self.hubs.keys()

    def storage_time(self) -> datetime:
        """The time by the clock that uploads have their times from: one request."""
        return self.storage.time_of(self.settings.uploads.container) or self.clock()

    def back_off(self, record: ImportRecord) -> dict[str, Any]:
        """Columns that leave the hub alone for a while: twice as long each time, with jitter."""
        return {"tries": record.tries + 1, "next_try_at": self.next_try_at(record.tries)}

    def next_try_at(self, tries: int) -> datetime:
        """When something is tried again that failed so often before."""
        longest = self.settings.retries.max_backoff_seconds
        seconds = min(longest, self.settings.retries.backoff_seconds * 2 ** min(tries, 20))
        return self.clock() + timedelta(seconds=seconds * random.uniform(0.5, 1))  # nosec B311
