"""What the readers of all formats have in common: they hand on batches of numbered texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.device_files.rules import Rule
from shared.device_files.strictjson import Finding

__all__ = ["Batch", "Limits", "Sink", "UnusableFileError"]

#: Lines of the uploaded file, and the JSON text that each of them holds or stands for.
Batch = tuple[Sequence[int], Sequence[bytes]]


@dataclass(frozen=True)
class Limits:
    """Bounds of a file and of its report."""

    #: Devices and modules in a file.
    max_devices: int = 1_000_000
    #: Bytes of one line, element or row.
    max_line_bytes: int = 1024 * 1024
    #: Bytes of a file, uncompressed.
    max_file_bytes: int = 2 * 1024 * 1024 * 1024
    #: How many times larger than its gzip file a file may be.
    max_expansion: int = 200
    #: Problems of each severity that a report lists.
    max_problems: int = 1000
    #: Devices and modules that a file may delete unasked, and as a share of its lines.
    max_deletes: int = 100
    max_delete_share: float = 1.0


class Sink(Protocol):
    """Takes what readers find out themselves."""

    def note(self, line: int | None, finding: Finding) -> None:
        """A problem of the file's form at a line; None for the file as a whole."""

    def drop(
        self, line: int, findings: Sequence[Finding], members: dict[str, Any] | None = None
    ) -> None:
        """A device that cannot be handed on, with as much of it as could be read."""


class UnusableFileError(Exception):
    """The file cannot be read on; what was read of it must not be used."""

    def __init__(self, rule: Rule, detail: str = "", line: int | None = None) -> None:
        super().__init__(rule.code)
        self.rule = rule
        self.detail = detail
        #: Where in the file; None for the file as a whole.
        self.line = line
