"""Which line of the uploaded file each staged line came from.

The hub's error log names devices, people look for lines of their file, and the two differ wherever
a line was left out. Runs of neighbouring lines take one entry, so a clean file takes none.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right

__all__ = ["LineMap"]


class LineMap:
    """Filled in the order of the staged lines; then asked for any of them."""

    def __init__(self) -> None:
        #: The first staged line of each run, and the line of the upload that it came from.
        self._staged = array("Q", [1])
        self._uploaded = array("Q", [1])
        self._next = 1

    def append(self, upload_line: int) -> None:
        """The next staged line came from this line of the upload."""
        if upload_line - self._next != self._uploaded[-1] - self._staged[-1]:
            if self._next == self._staged[-1]:
                self._uploaded[-1] = upload_line
            else:
                self._staged.append(self._next)
                self._uploaded.append(upload_line)
        self._next += 1

    @property
    def is_identity(self) -> bool:
        return len(self._staged) == 1 and self._uploaded[0] == 1

    def upload_line(self, staged_line: int) -> int:
        """The upload's line of a staged line; both from 1."""
        run = bisect_right(self._staged, staged_line) - 1
        return self._uploaded[run] + staged_line - self._staged[run]

    def to_bytes(self) -> bytes:
        return json.dumps([self._staged.tolist(), self._uploaded.tolist()]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> LineMap:
        """The same map, for asking only."""
        line_map = cls()
        staged, uploaded = json.loads(data)
        line_map._staged, line_map._uploaded = array("Q", staged), array("Q", uploaded)
        return line_map
