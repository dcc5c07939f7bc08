"""Errors of the host. Exceptions of functions are not wrapped.

HostError
 +-- IndexingError    the app, its settings or host.json would not run in Azure
 +-- OutageError      storage stayed out of reach
 +-- SettingsError    local.settings.json or host.json cannot be read
 +-- UsageError       the call is invalid for this app
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["HostError", "IndexingError", "OutageError", "Problem", "SettingsError", "UsageError"]


class HostError(Exception):
    """Root of the errors of the local functions host."""


class SettingsError(HostError):
    """A settings file cannot be read; the message names the file."""


class OutageError(HostError):
    """Storage stayed out of reach, which ends the host."""


class UsageError(HostError):
    """The call is invalid for this app, for example an unknown function."""


@dataclass(frozen=True)
class Problem:
    """A reason why the app would not start in Azure."""

    #: None for a problem of the whole app, for example in host.json.
    function: str | None
    #: Name of the binding; None for a problem of the whole function.
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
    """The app has problems; the message lists all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        listing = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"the app cannot run, {len(self.problems)} problem(s):{listing}")
