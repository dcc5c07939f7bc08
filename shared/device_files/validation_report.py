"""What the validation of a device file found."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from shared.device_files.lines.damage import holds_key
from shared.device_files.rules import Rule, Severity
from shared.redaction import REDACTED, redact, redact_id
from shared.texts import well_formed

__all__ = ["Policy", "Problem", "Report"]

#: Characters of an id or a path that a problem repeats: a file may make them as long as a line.
MAX_NAME = 512


class Policy(StrEnum):
    """What becomes of a file in which lines break rules."""

    REJECT = "reject"  # one error rejects the file
    PARTIAL = "partial"  # the good lines are imported, the others reported


def _shown(name: str, redacted: Callable[[str], str]) -> str:
    """The beginning of a name without secrets; what is cut is so far behind that none is halved."""
    if holds_key(name):
        return REDACTED
    return redacted(well_formed(name[: 2 * MAX_NAME]))[:MAX_NAME]


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule at one place. No part but the id repeats what the file says of a device."""

    #: Line of the uploaded file, from 1; None for the file as a whole.
    line: int | None
    #: The device's id, "" where it is not known.
    id: str
    #: Dotted path of the member; "" for the line as a whole.
    field: str
    severity: Severity
    #: Stable name of the rule; docs/validation.md lists them.
    code: str
    message: str
    #: What to do about it.
    remedy: str

    @classmethod
    def of(
        cls, line: int | None, device_id: str, member: str, rule: Rule, detail: str = ""
    ) -> Problem:
        message = f"{rule.meaning} ({detail})" if detail else rule.meaning
        return cls(
            line,
            _shown(device_id, redact_id),
            _shown(member, redact),
            rule.severity,
            rule.code,
            message,
            rule.remedy,
        )

    @property
    def text(self) -> str:
        """Message and remedy in one, for people."""
        return f"{self.message}; {self.remedy}"

    def to_json(self, file: str) -> dict[str, Any]:
        """The members of a problem, as all commands, the API and report.json give them.

        Args:
            file: path or name of the file, as the caller knows it.
        """
        return {"file": well_formed(file), **asdict(self)}

    def __str__(self) -> str:
        place = "the file" if self.line is None else f"line {self.line:,}"
        field = "" if self.message.startswith(self.field) else f", {self.field}"
        return f"{place}{field}: {self.text}"


@dataclass
class Report:
    """Counts of everything and the first problems of one file."""

    #: How many problems of each severity are kept; all are counted.
    max_problems: int = 1000
    #: ndjson, json or csv, followed by +gzip for a compressed file; "" if it was not recognised.
    format: str = ""
    #: Devices and modules of the file: lines that are not blank, elements or rows.
    lines: int = 0
    #: Those that the hub may be given.
    valid: int = 0
    #: Lines of modules that the hub creates itself. They are not among `lines`.
    left_out: int = 0
    #: Why the file could not be read to its end, or not be trusted as a whole; the last reason.
    refusal: Problem | None = None
    codes: Counter[str] = field(default_factory=Counter)
    severities: Counter[Severity] = field(default_factory=Counter)
    #: Of the valid lines.
    modes: Counter[str] = field(default_factory=Counter)
    #: Of the valid lines: the type of authentication, notGiven where there is none.
    authentication_types: Counter[str] = field(default_factory=Counter)
    _kept: dict[Severity, list[Problem]] = field(
        default_factory=lambda: {severity: [] for severity in Severity}
    )

    @property
    def is_unusable(self) -> bool:
        return self.refusal is not None

    @property
    def errors(self) -> int:
        return self.severities[Severity.ERROR]

    @property
    def warnings(self) -> int:
        return self.severities[Severity.WARNING]

    @property
    def problems(self) -> list[Problem]:
        """The kept ones by line, those of the whole file first."""
        kept = [problem for problems in self._kept.values() for problem in problems]
        return sorted(kept, key=lambda problem: problem.line or 0)

    def add(
        self, line: int | None, device_id: str, member: str, rule: Rule, detail: str = ""
    ) -> Problem | None:
        """Count a problem; returns it if it is one of the first, which are kept."""
        if len(self._kept[rule.severity]) < self.max_problems:
            return self._keep(Problem.of(line, device_id, member, rule, detail), rule)
        self._count(rule)
        return None

    def refuse(self, line: int | None, rule: Rule, detail: str) -> None:
        """Note why the file is unusable. That is kept, however many problems came before."""
        self.refusal = self._keep(Problem.of(line, "", "", rule, detail), rule)

    def _keep(self, problem: Problem, rule: Rule) -> Problem:
        self._count(rule)
        self._kept[rule.severity].append(problem)
        return problem

    def _count(self, rule: Rule) -> None:
        self.codes[rule.code] += 1
        self.severities[rule.severity] += 1

    def explain(self, details: Mapping[Problem, str]) -> None:
        """Say more of problems that were kept."""
        for kept in self._kept.values():
            for index, problem in enumerate(kept):
                if detail := details.get(problem):
                    kept[index] = replace(problem, message=f"{problem.message} ({detail})")

    def may_be_imported(self, policy: Policy) -> bool:
        if policy is Policy.PARTIAL:
            return self.valid > 0 and not self.is_unusable
        return not self.errors

    def counts_json(self) -> dict[str, Any]:
        """Everything but the problems themselves; small, however long the file is."""
        return {
            "format": self.format,
            "lines": self.lines,
            "valid": self.valid,
            "leftOut": self.left_out,
            "severities": {severity.value: self.severities[severity] for severity in Severity},
            "codes": dict(sorted(self.codes.items())),
            "importModes": dict(sorted(self.modes.items())),
            "authenticationTypes": dict(sorted(self.authentication_types.items())),
            "truncated": self.codes.total() > sum(map(len, self._kept.values())),
        }

    def problems_json(self, file: str) -> list[dict[str, Any]]:
        """The kept problems of the file with this path or name, as `Problem.to_json` has them."""
        return [problem.to_json(file) for problem in self.problems]

    def problems_csv(self) -> Iterator[str]:
        """The kept problems as CSV: the header, then a row each, with CRLF line ends."""
        names = [*Problem.__dataclass_fields__]
        yield _csv_row(names)
        for problem in self.problems:
            yield _csv_row([_cell(getattr(problem, name)) for name in names])


#: What makes a spreadsheet take a cell for a formula, or lets it break out of its cell.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def _cell(value: Any) -> str:
    """A cell that no spreadsheet runs: ids may begin with signs that start a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv_row(cells: list[str]) -> str:
    row = io.StringIO()
    csv.writer(row).writerow(cells)
    return row.getvalue()
