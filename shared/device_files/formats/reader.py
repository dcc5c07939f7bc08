"""What the readers of all formats share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shared.device_files.rules import Finding, Rule

__all__ = ["Batch", "Sink", "UnusableFileError"]

#: Line numbers of the uploaded file, and the JSON text of each of these lines, elements or rows.
Batch = tuple[Sequence[int], Sequence[bytes]]


class Sink(Protocol):
    """Receives what readers find besides devices."""

    def note(self, line: int | None, rule: Rule, detail: str = "", field: str = "") -> None:
        """Report a problem of the file's form; line None is the file as a whole."""

    def drop(
        self, line: int, findings: Sequence[Finding], members: dict[str, Any] | None = None
    ) -> None:
        """Report a device that cannot be passed on, with the properties that could be read."""

    def name_sources(self, sources: Mapping[str, str]) -> None:
        """Set where properties of all lines are from, such as `column "Serial No"`, by path."""


class UnusableFileError(Exception):
    """The rest of the file cannot be read, and what was read must not be used."""

    def __init__(self, rule: Rule, detail: str = "", line: int | None = None) -> None:
        super().__init__(rule.code)
        self.rule = rule
        self.detail = detail
        #: None for the file as a whole.
        self.line = line
