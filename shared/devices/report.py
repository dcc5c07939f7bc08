"""What the validation of a device file found."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Problem", "Report", "Severity"]


class Severity(StrEnum):
    ERROR = "error"  # the hub will refuse the line, or it cannot be told what is meant


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule at one place. The message says what to do and never holds key material."""

    #: Line of the uploaded file, from 1; None for the file as a whole.
    line: int | None
    #: The device's id, "" where it is not known.
    id: str
    #: Dotted path of the member; "" for the line as a whole.
    field: str
    severity: Severity
    #: Stable name of the rule.
    code: str
    message: str

    def __str__(self) -> str:
        place = "the file" if self.line is None else f"line {self.line:,}"
        return f"{place}: {self.message}"


@dataclass
class Report:
    """Counts of everything and the first problems of one file."""

    #: How many problems are kept; all are counted.
    max_problems: int = 1000
    #: Lines that are not blank.
    lines: int = 0
    #: Lines that break no rule.
    valid: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    severities: Counter[Severity] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> int:
        return self.severities[Severity.ERROR]

    def add(self, problem: Problem) -> None:
        self.codes[problem.code] += 1
        self.severities[problem.severity] += 1
        if len(self.problems) < self.max_problems:
            self.problems.append(problem)

    def counts_json(self) -> dict[str, Any]:
        """Everything but the problems themselves; small, however long the file is."""
        return {
            "lines": self.lines,
            "valid": self.valid,
            "severities": dict(self.severities),
            "codes": dict(self.codes),
            "importModes": dict(self.modes),
            "truncated": sum(self.codes.values()) > len(self.problems),
        }

    def problems_json(self) -> list[dict[str, Any]]:
        return [asdict(problem) for problem in self.problems]
