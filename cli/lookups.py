"""The registry for a few devices: a request for each of them, at a quarter of the hub's limit."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from cli.hub_access import Show, patiently
from shared.hub.client import HubClient
from shared.imports.workflow.registry_reading import EXPORT_PACE
from shared.plan.entries import read_entry, read_file_line
from shared.plan.snapshot import Snapshot
from shared.text import format_duration

__all__ = ["MAX_LINES", "NO_WAIT", "Lookups", "seconds_of_export"]

#: Requests without a wait, and per minute after that: a quarter of the 100 per minute and unit that
#: a hub allows (learn: "IoT Hub quotas and throttling"), as the app and others need the rest.
NO_WAIT = 25
_PER_MINUTE = 25
#: Lines of a file above which an export of a million devices takes less time.
MAX_LINES = 6000

#: Seconds of the smallest export.
_EXPORT_SECONDS = 10


@dataclass
class _Wanted:
    #: Modules of the file.
    modules: list[str] = field(default_factory=list)
    #: Whether the number of all modules matters.
    counts_modules: bool = False


class Lookups:
    """What a file needs to know of a registry."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        """Read the validated lines of a small file."""
        self._wanted: dict[str, _Wanted] = {}
        for text in lines:
            line = read_file_line(text)
            device = self._wanted.setdefault(line.id, _Wanted())
            if line.module_id:
                device.modules.append(line.module_id)
                device.counts_modules |= line.mode.creates
            else:
                device.counts_modules |= line.mode.deletes
        self.requests = sum(
            1 + len(device.modules) + device.counts_modules for device in self._wanted.values()
        )

    @property
    def devices(self) -> int:
        return len(self._wanted)

    @property
    def seconds(self) -> float:
        return max(0, self.requests - NO_WAIT) * 60 / _PER_MINUTE

    def read(self, client: HubClient, snapshot: Snapshot, title: str, show: Show) -> None:
        """Read the devices with their twins and modules.

        Raises:
            HubUnauthorizedError: twins cannot be read (policy registryReadWrite), or the modules
                of a device that is disabled.
            HubError: the hub cannot be reached.
        """
        pace = _Pace(self.requests, title, show)
        for device_id, wanted in self._wanted.items():
            if not self._read(client, snapshot, pace, device_id):
                # It has no modules either, and a hub may answer requests for them with 401.
                pace.skip(len(wanted.modules) + wanted.counts_modules)
                continue
            for module_id in wanted.modules:
                self._read(client, snapshot, pace, device_id, module_id)
            if wanted.counts_modules:
                pace.wait()
                ids = patiently(lambda: client.list_modules(device_id), show)  # noqa: B023
                snapshot.note_modules(device_id, len(ids))

    def _read(
        self,
        client: HubClient,
        snapshot: Snapshot,
        pace: _Pace,
        device_id: str,
        module_id: str = "",
    ) -> bool:
        """Read a device or module; return whether it exists."""
        pace.wait()
        line = patiently(lambda: client.read_identity(device_id, module_id), pace.show)
        if line is None:
            return False
        snapshot.add(*read_entry(msgspec.json.encode(line)))
        return True


class _Pace:
    def __init__(self, requests: int, title: str, show: Show) -> None:
        self.show = show
        self._title = title
        self._requests = requests
        self._done = 0
        self._sent = 0
        self._started = time.monotonic()

    def wait(self) -> None:
        """Wait until one more request may be sent."""
        due = self._started + max(0, self._sent - NO_WAIT + 1) * 60 / _PER_MINUTE
        left = max(0, self._requests - max(self._done, NO_WAIT)) * 60 / _PER_MINUTE
        about = f", about {format_duration(timedelta(seconds=left))} left" if left else ""
        self.show(self._title, f"{100 * self._done // self._requests} %{about}")
        time.sleep(max(0.0, due - time.monotonic()))
        self._sent += 1
        self._done += 1

    def skip(self, requests: int) -> None:
        self._done += requests


def seconds_of_export(devices: int) -> float:
    """How long an export is expected to take."""
    return _EXPORT_SECONDS + devices / EXPORT_PACE
