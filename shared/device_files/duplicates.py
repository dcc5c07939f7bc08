"""Which devices of a file were met already, and on which lines, in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping

from shared.device_files.line_map import LineMap

__all__ = ["SeenDevices", "fingerprint"]

#: 60 bits: an integer of that size takes 32 bytes, a larger one 48. Among a million devices two
#: share a fingerprint once in two million files.
_MASK = (1 << 60) - 1


def fingerprint(device_id: str, module_id: str = "") -> int:
    """Of a device or, with a moduleId, of a module."""
    return hash((device_id, module_id) if module_id else device_id) & _MASK


class SeenDevices:
    """Takes some 75 bytes a device: a set finds the devices, and their lines are kept in order.

    Which line a device was on first is asked for rarely, so it takes a walk through all of them.
    """

    def __init__(self) -> None:
        self.fingerprints: set[int] = set()
        #: Of the good lines, in their order.
        self.good = array("Q")
        #: Of lines that break rules, with their numbers.
        self._bad = array("Q")
        self._bad_lines = array("Q")

    def add_good(self, print_: int) -> None:
        """The next good line is of a device that was not met before."""
        self.fingerprints.add(print_)
        self.good.append(print_)

    def add_new(self, device_ids: Iterable[str]) -> int:
        """The next good lines are of these devices, up to one that was met before.

        Returns:
            How many were added.
        """
        seen, added = self.fingerprints, len(self.good)
        for device_id in device_ids:
            print_ = hash(device_id) & _MASK
            if print_ in seen:
                break
            seen.add(print_)
            self.good.append(print_)
        return len(self.good) - added

    def add_bad(self, print_: int, line: int) -> None:
        """A line that breaks a rule names a device for the first time."""
        self.fingerprints.add(print_)
        self._bad.append(print_)
        self._bad_lines.append(line)

    def first_lines(self, prints: Collection[int], lines: LineMap) -> Mapping[int, int]:
        """The line that named each of these devices first."""
        found = {
            print_: line
            for print_, line in zip(self._bad, self._bad_lines, strict=True)
            if print_ in prints
        }
        for staged, print_ in enumerate(self.good, 1):
            if print_ in prints:
                found[print_] = lines.upload_line(staged)
        return found
