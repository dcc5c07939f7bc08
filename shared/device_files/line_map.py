"""Maps staged lines to lines of the uploaded file.

The hub's error log names devices, operators need lines of their file, and the two differ wherever a
line was omitted or a device spans several. Lines at a regular distance share one entry, so a clean
file takes one, as NDJSON or as a pretty-printed JSON array.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence

__all__ = ["LineMap"]


class LineMap:
    """Filled in the order of the staged lines, then read. All line numbers begin at 1."""

    def __init__(self) -> None:
        #: Of each run: its first staged line, the uploaded line of that, and the distance in the
        #: upload between two of its lines.
        self._staged = array("q")
        self._uploaded = array("q")
        self._distances = array("q")
        #: Staged lines in the last run.
        self._length = 0

    def append(self, upload_line: int, count: int = 1) -> None:
        """Add staged lines that come from `count` consecutive lines."""
        if self._length == 1:
            distance = upload_line - self._uploaded[-1]
            if count == 1 or distance == 1:
                self._distances[-1] = distance
        if self._length and (count == 1 or self._distances[-1] == 1):
            expected = self._uploaded[-1] + self._length * self._distances[-1]
            if upload_line == expected:
                self._length += count
                return
        self._staged.append(self._staged[-1] + self._length if self._length else 1)
        self._uploaded.append(upload_line)
        self._distances.append(1)
        self._length = count

    def extend(self, upload_lines: Sequence[int]) -> None:
        count = len(upload_lines)
        if count and upload_lines[-1] - upload_lines[0] == count - 1:
            self.append(upload_lines[0], count)
        else:
            for line in upload_lines:
                self.append(line)

    @property
    def is_identity(self) -> bool:
        return not self._staged or (
            len(self._staged) == self._uploaded[0] == 1 and self._distances[0] == 1
        )

    def upload_line(self, staged_line: int) -> int:
        run = bisect_right(self._staged, staged_line) - 1
        if run < 0:
            return staged_line
        return self._uploaded[run] + (staged_line - self._staged[run]) * self._distances[run]

    def to_bytes(self) -> bytes:
        arrays = (self._staged, self._uploaded, self._distances)
        return zlib.compress(b"".join(column.tobytes() for column in arrays))

    @classmethod
    def from_bytes(cls, data: bytes) -> LineMap:
        """Read a map that is not to be filled any more."""
        columns = zlib.decompress(data)
        third = len(columns) // 3
        line_map = cls()
        for index, column in enumerate((line_map._staged, line_map._uploaded, line_map._distances)):
            column.frombytes(columns[index * third : (index + 1) * third])
        return line_map
