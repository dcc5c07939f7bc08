"""What every step of the workflow works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

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

    def hub_of(self, file: str) -> str | None:
        """The hub that an upload is for: the only one, or the one its first folder names."""
        if len(self.hubs) == 1:
            return next(iter(self.hubs))
        folder, slash, _ = file.partition("/")
        return folder if slash and folder in self.hubs else None

    def container_of(self, record: ImportRecord) -> ImportContainer:
        return ImportContainer(self.storage.container(record.container))
