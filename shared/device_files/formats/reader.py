"""What the readers of all formats share: batches of numbered lines, and where problems go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from shared.device_files.rules import Finding, Rule

__all__ = ["Batch", "Sink", "UnusableFileError"]

#: Lines of the uploaded file, and the JSON text that each of them holds or stands for.
Batch = tuple[Sequence[int], Sequence[bytes]]


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
