"""Which devices imports have touched that ended a short time ago, or are about to end."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.logs import logger
from shared.plan.file_devices import FileDevices, device_ids
from shared.storage.client import is_outage

__all__ = ["RecentImports"]

log = logger(__name__)

#: How long an export may lag behind an import: queries were seen to list deleted devices for 25
#: minutes.
LAG = timedelta(minutes=30)


class RecentImports:
    """The devices of a file that an export may not show as they are."""

    def __init__(
        self, services: Services, record: ImportRecord, devices: FileDevices, as_of: datetime
    ) -> None:
        """Find them.

        Args:
            record: the import that is planned.
            devices: those of its file.
            as_of: when the export was begun.

        Raises:
            AzureError: storage is unavailable.
        """
        #: Whether these are all; else any device may be one of them.
        imports, self.is_known = services.queries.imports_since(record.hub, as_of - LAG)
        self._ids: set[str] = set()
        for other in imports:
            if other.id != record.id and self.is_known:
                self._read(services, other, devices)

    def __len__(self) -> int:
        """How many devices of the file are known to be among them."""
        return len(self._ids)

    def __contains__(self, device_id: str) -> bool:
        return not self.is_known or device_id in self._ids

    def _read(self, services: Services, record: ImportRecord, devices: FileDevices) -> None:
        try:
            # What a plan left out was not changed. An undo may have two files of lines that it
            # sends.
            is_planned = bool(record.planned.container) and not record.second_lines
            file = record.planned if is_planned else record.staged
            count = record.plan.sent if is_planned else record.devices
            lines = services.container_of(record).staged_lines(file, count or 0)
            self._ids.update(filter(devices.__contains__, device_ids(lines)))
        except Exception as error:
            if is_outage(error):
                raise
            log.warning("the devices of import %s are not known", record.id, exc_info=True)
            self.is_known = False
