"""The first reading of a file: which devices it touches, and what it does to those of modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from shared.device_files.duplicates import fingerprint
from shared.device_files.lines.values import ImportMode

__all__ = ["FileDevices", "device_ids"]


class _Ids(msgspec.Struct, rename="camel", gc=False):
    id: str
    module_id: str | None = None
    import_mode: ImportMode | None = None


_DECODER = msgspec.json.Decoder(_Ids)


def device_ids(lines: Iterable[bytes]) -> Iterator[str]:
    """The device of each validated line.

    Raises:
        msgspec.DecodeError: a line was not validated.
    """
    return (_DECODER.decode(line).id for line in lines)


class FileDevices:
    """Takes about 120 bytes of memory per device."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        """Read the validated lines of a file.

        Raises:
            msgspec.DecodeError: one was not validated.
        """
        #: By fingerprint: the import mode of the line of each device; None if only its modules have
        #: lines.
        self._modes: dict[int, ImportMode | None] = {}
        #: By fingerprint of the device: modules that lines may create.
        self._added_modules: Counter[int] = Counter()
        self.lines = 0
        for line in lines:
            self.lines += 1
            ids = _DECODER.decode(line)
            mode = ids.import_mode or ImportMode.CREATE_OR_UPDATE
            device = fingerprint(ids.id)
            if not ids.module_id:
                self._modes[device] = mode
                continue
            self._modes.setdefault(device, None)
            if mode.creates:
                self._added_modules[device] += 1

    def __contains__(self, device_id: str) -> bool:
        """Whether the file has lines of a device or of its modules."""
        return fingerprint(device_id) in self._modes

    def __len__(self) -> int:
        """Number of devices."""
        return len(self._modes)

    def mode_of(self, device_id: str) -> ImportMode | None:
        """The import mode of the line of a device; None if it has none."""
        return self._modes.get(fingerprint(device_id))

    def added_modules(self, device_id: str) -> int:
        return self._added_modules[fingerprint(device_id)] if self._added_modules else 0
