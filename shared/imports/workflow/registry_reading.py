"""Reads the registry for the devices of one import: by lookups, or from an export of the hub.

A lookup counts against the hub's throttle of registry operations (100 a minute per unit in the
tiers up to S2; learn: "IoT Hub quotas and throttling"), of which a quarter is used at most. An
export does not, but it occupies the hub's job slot and reads the whole registry.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from shared.errors import ImporterError
from shared.hub.client import HubClient
from shared.hub.exceptions import HubUnauthorizedError
from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.imports.workflow.registration import has_dot_folder
from shared.logs import logger
from shared.plan.entries import (
    Entry,
    FileLine,
    RegistryLineError,
    read_entry,
    read_file_line,
)
from shared.plan.snapshot import ExportError, Ids, Snapshot

__all__ = ["EXPORT_PACE", "Lookups", "ReadingWay", "read_by_lookups"]

log = logger(__name__)

#: Requests that are sent at once, and then per minute.
BURST, PER_MINUTE = 25, 25
#: Requests for a line: identity and twin, and the device of a module or the modules of a device.
REQUESTS_PER_LINE = 3
#: Lookups that take longer are not tried: of a whole file, and of all devices that an export may
#: not show as they are. Others of the hub wait meanwhile.
LONGEST = timedelta(minutes=1)
LONGEST_REFRESH = timedelta(minutes=2)
#: How long exports are made instead of lookups that a hub refused.
REFUSED_LOOKUPS = timedelta(hours=1)

#: How long an export of a small registry takes; and devices per second of a large one, until that
#: was measured (learn: "How to manually migrate an Azure IoT hub": two hours for 500,000).
SHORTEST_EXPORT = timedelta(seconds=5)
EXPORT_PACE = 70.0


class Lookups:
    """Looks devices up at a pace that leaves the hub to others."""

    def __init__(self, hub: HubClient, wait: Callable[[float], None] = time.sleep) -> None:
        """Begin with a full burst.

        Args:
            wait: waits for a number of seconds.
        """
        self._hub = hub
        self._wait = wait
        self._requests = 0
        #: Lines of what was found, as in an export, with keys.
        self.lines: dict[Ids, bytes] = {}

    def may_refresh(self, devices: int) -> bool:
        """Whether another device may be read again: without waiting, unless there are few.

        Args:
            devices: how many there are in all.
        """
        requests = BURST + PER_MINUTE * LONGEST_REFRESH.total_seconds() / 60
        if REQUESTS_PER_LINE * devices > requests:
            requests = BURST
        return self._requests + REQUESTS_PER_LINE <= requests

    def add(self, snapshot: Snapshot, device_id: str, module_id: str = "") -> None:
        """Look up a device or module, and add what is found to a snapshot.

        Raises:
            ImporterError: the hub does not answer, or does not say.
            RegistryLineError: its answer is not a device.
        """
        found = self._find(device_id, module_id)
        if found is not None:
            snapshot.add(*found)

    def refresh(self, snapshot: Snapshot, device_id: str) -> None:
        """Read a device and its modules again.

        Raises:
            ImporterError, RegistryLineError: as `add`; the snapshot has not changed.
        """
        found = [self._find(device_id)]
        if found[0] is not None:
            found += [self._find(device_id, module) for module in self.modules(device_id)]
        snapshot.remove(device_id)
        for ids_and_entry in filter(None, found):
            snapshot.add(*ids_and_entry)

    def count_modules(self, snapshot: Snapshot, device_id: str) -> None:
        """Look up how many modules a device has.

        Raises:
            ImporterError: as `add`.
        """
        try:
            snapshot.note_modules(device_id, len(self.modules(device_id)))
        except HubUnauthorizedError:
            # A hub answers so for the modules of a disabled device.
            snapshot.note_modules(device_id, None)

    def _find(self, device_id: str, module_id: str = "") -> tuple[tuple[str, str], Entry] | None:
        if has_dot_folder(f"{device_id}/{module_id}".rstrip("/")):
            raise RegistryLineError("its id is a part of no address")
        self._count(2)
        identity = self._hub.read_identity(device_id, module_id)
        if identity is None:
            return None
        line = json.dumps(identity).encode()
        self.lines[device_id, module_id] = line
        return read_entry(line)

    def modules(self, device_id: str) -> Sequence[str]:
        """The ids of the modules of a device.

        Raises:
            ImporterError: as `add`.
        """
        self._count(1)
        return self._hub.list_modules(device_id)

    def _count(self, requests: int) -> None:
        self._requests += requests
        if self._requests > BURST:
            self._wait(60 * requests / PER_MINUTE)


class ReadingWay:
    """Which way of reading the registry of a hub takes less time, by what this process has seen."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Until when nothing is looked up at hubs that do not let the app read twins, such as with
        #: the policy registryReadWrite.
        self._refused_until: dict[str, datetime] = {}
        #: Of the last export of each hub, in devices per second.
        self._paces: dict[str, float] = {}

    def prefers_lookups(self, hub: str, lines: int) -> bool:
        """Whether looking up the lines of a file takes less time than an export.

        It takes one request, unless there are few or many lines.
        """
        now = self._services.clock()
        if now < self._refused_until.get(hub, now):
            return False
        requests = REQUESTS_PER_LINE * lines
        if requests <= BURST:
            return True
        seconds = 60 * (requests - BURST) / PER_MINUTE
        devices = self.count(hub) if seconds <= LONGEST.total_seconds() else None
        if devices is None:
            return False
        export_seconds = devices / self._paces.get(hub, EXPORT_PACE)
        return seconds < max(SHORTEST_EXPORT.total_seconds(), export_seconds)

    def note_refusal(self, hub: str) -> None:
        """Note that a lookup was not allowed."""
        self._refused_until[hub] = self._services.clock() + REFUSED_LOOKUPS

    def note_export(self, job: JobRecord, snapshot: Snapshot) -> None:
        """Note how long an export took, if there was one."""
        started, ended = job.job.start_time_utc, job.job.end_time_utc
        if snapshot.devices and started and ended and started < ended:
            self._paces[job.hub] = snapshot.devices / (ended - started).total_seconds()

    def check_emptiness(self, hub: str) -> None:
        """Make sure that an empty export is that of an empty registry.

        Raises:
            ExportError: the hub has devices.
        """
        if self.count(hub):
            raise ExportError(1, "the file is empty, and the hub has devices")

    def count(self, hub: str) -> int | None:
        """How many devices a hub has; None if it does not say."""
        try:
            return self._services.hubs[hub].count_devices()
        except ImporterError as error:
            log.info("the devices of the hub cannot be counted: %s", error)
            return None


def read_by_lookups(
    services: Services,
    record: ImportRecord,
    lookups: Lookups,
    check: Callable[[], None],
    *,
    with_modules: bool,
) -> Snapshot:
    """Look up the devices of an import.

    Args:
        check: raises if another process took over.
        with_modules: whether the modules of deleted devices are read, for a backup or an approval.

    Raises:
        ImporterError: the hub refuses, does not answer, or does not say.
        RegistryLineError: its answer is not a device.
    """
    snapshot = Snapshot(services.clock(), has_keys=True)
    try:
        known: set[tuple[str, str]] = set()
        counted: set[str] = set()
        lines = services.container_of(record).staged_lines(record.staged, record.devices or 0)
        for line in map(read_file_line, lines):
            if with_modules and line.attributes is not None:
                raise RegistryLineError("lookups do not show its attributes, which are backed up")
            for ids in _identities(line):
                if ids not in known:
                    check()
                    known.add(ids)
                    # Without its device, a module does not exist.
                    if not ids[1] or snapshot.has_device(ids[0]):
                        lookups.add(snapshot, *ids)
            # With a device its modules are deleted, and it has a limited number of them.
            counts = line.mode.creates if line.module_id else line.mode.deletes
            if counts and line.id not in counted and snapshot.has_device(line.id):
                counted.add(line.id)
                if not (with_modules and line.mode.deletes):
                    lookups.count_modules(snapshot, line.id)
                    continue
                for module_id in lookups.modules(line.id):
                    check()
                    lookups.add(snapshot, line.id, module_id)
    except BaseException:
        snapshot.close()
        raise
    return snapshot


def _identities(line: FileLine) -> Iterable[tuple[str, str]]:
    """The device of a line first, then its module."""
    yield line.id, ""
    if line.module_id:
        yield line.id, line.module_id
