"""Finds devices that occur twice in a file, and their first lines, in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping

from shared.device_files.line_map import LineMap

__all__ = ["SeenDevices", "fingerprint"]

#: 60 bits: an integer of that size takes 32 bytes, a larger one 48. Two of a million devices share
#: a fingerprint once in two million files.
_MASK = (1 << 60) - 1


def fingerprint(device_id: str, module_id: str = "") -> int:
    """Return the fingerprint of a device or, with a moduleId, of a module."""
    return hash((device_id, module_id) if module_id else device_id) & _MASK


class SeenDevices:
    """Takes about 75 bytes per device: a set of fingerprints, and their lines in order."""

    def __init__(self) -> None:
        self.fingerprints: set[int] = set()
        #: Of the good lines, in their order.
        self.good = array("Q")
        #: Of lines that break rules, with their numbers.
        self._bad = array("Q")
        self._bad_lines = array("Q")

    def add_good(self, print_: int) -> None:
        """Add the next good line."""
        self.fingerprints.add(print_)
        self.good.append(print_)

    def add_new(self, device_ids: Iterable[str]) -> int:
        """Add the next good lines, up to a device that was seen before; return how many."""
        seen, before = self.fingerprints, len(self.good)
        for device_id in device_ids:
            print_ = hash(device_id) & _MASK
            if print_ in seen:
                break
            seen.add(print_)
            self.good.append(print_)
        return len(self.good) - before

    def add_bad(self, print_: int, line: int) -> None:
        """Add a line that breaks a rule, of a device that was not seen before."""
        self.fingerprints.add(print_)
        self._bad.append(print_)
        self._bad_lines.append(line)

    def first_lines(self, prints: Collection[int], lines: LineMap) -> Mapping[int, int]:
        """Return the first line of each of these devices; slow, since it searches all lines."""
        bad = zip(self._bad, self._bad_lines, strict=True)
        first = {print_: line for print_, line in bad if print_ in prints}
        for staged, print_ in enumerate(self.good, 1):
            if print_ in prints:
                first[print_] = lines.upload_line(staged)
        return first
