"""Errors of the host itself; what a function raises is passed on as it is.

HostError
 +-- IndexingError    the app, its settings or host.json would not run in Azure
 +-- SettingsError    local.settings.json or host.json cannot be read
 +-- UsageError       a call to the host that makes no sense for this app
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["HostError", "IndexingError", "Problem", "SettingsError", "UsageError"]


class HostError(Exception):
    """Root of the errors of the local functions host."""


class SettingsError(HostError):
    """A settings file cannot be read; the message names the file."""


class UsageError(HostError):
    """The host was asked for something that this app does not have."""


@dataclass(frozen=True)
class Problem:
    """One reason why the app would not start."""

    #: None when the problem is not of one function, such as a gap in host.json.
    function: str | None
    #: Name of the binding, or None when the problem is of the function as a whole.
    binding: str | None
    #: What is wrong.
    reason: str
    #: What to change.
    remedy: str

    def __str__(self) -> str:
        where = "app" if self.function is None else f"function '{self.function}'"
        if self.binding is not None:
            where += f", binding '{self.binding}'"
        return f"{where}: {self.reason}; {self.remedy}"


class IndexingError(HostError):
    """All the problems found while indexing the app."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        listing = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"the app cannot be hosted, {len(self.problems)} problem(s):{listing}")
