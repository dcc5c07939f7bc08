"""What every step of the workflow works with."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.hub.client import HubClient
from shared.imports.container import ImportContainer
from shared.imports.ledger import Ledger
from shared.imports.record import ImportRecord
from shared.settings import Settings
from shared.storage import Storage

__all__ = ["Services"]


@dataclass(frozen=True)
class Services:
    """Clients and settings, made once in a process."""

    settings: Settings
    storage: Storage
    ledger: Ledger
    hubs: Mapping[str, HubClient]
    clock: Callable[[], datetime]

    def container(self, name: str) -> ImportContainer:
        return ImportContainer(self.storage.container(name))

    def container_of(self, record: ImportRecord) -> ImportContainer:
        return self.container(record.container)

    def owner_of(self, record: ImportRecord) -> dict[str, str]:
        """Metadata of a container that lead to its record: several apps may share an account."""
        table = self.settings.imports_table
        return {"table": table, "hub": record.hub, "record": record.row_key}

    def back_off(self, record: ImportRecord) -> dict[str, Any]:
        """Columns that leave the hub alone for a while: twice as long each time, with jitter."""
        longest = self.settings.max_backoff_seconds
        seconds = min(longest, self.settings.backoff_seconds * 2 ** min(record.tries, 20))
        wait = timedelta(seconds=seconds * random.uniform(0.5, 1))  # nosec B311
        return {"tries": record.tries + 1, "next_try_at": self.clock() + wait}
