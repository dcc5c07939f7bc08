"""The result of a validation: counts, and the first problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from shared.csv_text import csv_row
from shared.device_files.lines.damage import holds_key
from shared.device_files.rules import Finding, Rule, Severity
from shared.redaction import REDACTED, redact, redact_id
from shared.text import well_formed

__all__ = ["MAPPING_FORMAT", "Policy", "Problem", "Report"]

#: Characters of an id or a path in a problem: in a file they may be as long as a line.
MAX_NAME = 512
#: The format of a mapping.
MAPPING_FORMAT = "mapping"


class Policy(StrEnum):
    """What happens to a file in which lines break rules."""

    REJECT = "reject"  # one error rejects the file
    PARTIAL = "partial"  # good lines are imported, the others reported


def _shown(name: str, redacted: Callable[[str], str]) -> str:
    """Return the beginning of a name without secrets; the margin keeps secrets from being cut."""
    if holds_key(name):
        return REDACTED
    return redacted(well_formed(name[: 2 * MAX_NAME]))[:MAX_NAME]


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken rule at one place. Only the id repeats content of the file."""

    #: Line of the uploaded file, from 1; None for the file as a whole.
    line: int | None
    #: Of the device; "" if it is unknown.
    id: str
    #: Dotted path of the property; "" for the line as a whole.
    field: str
    severity: Severity
    #: Of the rule; docs/validation.md lists them.
    code: str
    message: str
    remedy: str

    @classmethod
    def of(cls, line: int | None, device_id: str, finding: Finding) -> Problem:
        rule = finding.rule
        return cls(
            line,
            _shown(device_id, redact_id),
            _shown(finding.field, redact),
            rule.severity,
            rule.code,
            f"{rule.meaning} ({finding.detail})" if finding.detail else rule.meaning,
            rule.remedy,
        )

    @property
    def text(self) -> str:
        return f"{self.message}; {self.remedy}"

    def to_json(self, file: str) -> dict[str, Any]:
        """Return the properties of a problem in all commands, the API and report.json.

        Args:
            file: path or name of the file.
        """
        return {"file": well_formed(file), **asdict(self)}

    def __str__(self) -> str:
        place = "the file" if self.line is None else f"line {self.line:,}"
        field = "" if self.message.startswith(self.field) else f", {self.field}"
        return f"{place}{field}: {self.text}"


@dataclass
class Report:
    """Counts of everything and the first problems of one file."""

    #: Problems of each severity that are listed; all are counted.
    max_problems: int = 1000
    #: ndjson, json or csv, followed by +gzip if compressed; mapping; "" if it is unknown.
    format: str = ""
    #: Devices and modules of the file: lines that are not blank, elements or rows.
    lines: int = 0
    #: Those that may be imported.
    valid: int = 0
    #: Where properties are from, such as `column "Serial No"`, by path; see `Sink.name_sources`.
    sources: Mapping[str, str] = field(default_factory=dict)
    #: Lines of modules that the hub creates itself, which are not among `lines`.
    left_out: int = 0
    #: Why the file as a whole is unusable; the last reason.
    refusal: Problem | None = None
    codes: Counter[str] = field(default_factory=Counter)
    severities: Counter[Severity] = field(default_factory=Counter)
    #: Of the valid lines.
    modes: Counter[str] = field(default_factory=Counter)
    #: Of the valid lines; notGiven if there is no authentication.
    authentication_types: Counter[str] = field(default_factory=Counter)
    _listed: dict[Severity, list[Problem]] = field(
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
        """The listed problems by line, those of the whole file first."""
        listed = [problem for problems in self._listed.values() for problem in problems]
        return sorted(listed, key=lambda problem: problem.line or 0)

    def add(self, line: int | None, device_id: str, finding: Finding) -> Problem | None:
        """Count a problem; return it if it is listed."""
        rule = finding.rule
        self.codes[rule.code] += 1
        self.severities[rule.severity] += 1
        listed = self._listed[rule.severity]
        if len(listed) >= self.max_problems:
            return None
        listed.append(problem := Problem.of(line, device_id, self._with_source(finding)))
        return problem

    def _with_source(self, finding: Finding) -> Finding:
        """A finding that says where its property, or the object around it, is from."""
        # That names the one column that matters.
        is_named = finding.rule is Rule.CSV_EMPTY_CELL
        path = finding.field if self.sources and not is_named else ""
        while path:
            if source := self.sources.get(path):
                details = dict.fromkeys(filter(None, (finding.detail, source)))
                return finding._replace(detail="; ".join(details))
            path = path.rpartition(".")[0]
        return finding

    def refuse(self, line: int | None, finding: Finding) -> None:
        """Set why the file is unusable. That is always listed."""
        self.refusal = self.add(line, "", finding)
        if not self.refusal:
            self.refusal = Problem.of(line, "", finding)
            self._listed[finding.rule.severity].append(self.refusal)

    def explain(self, details: Mapping[Problem, str]) -> None:
        """Add details to listed problems."""
        for listed in self._listed.values():
            for index, problem in enumerate(listed):
                if detail := details.get(problem):
                    listed[index] = replace(problem, message=f"{problem.message} ({detail})")

    @property
    def is_mapping(self) -> bool:
        """Whether the file is a mapping, of which nothing is imported."""
        return self.format == MAPPING_FORMAT

    def may_be_imported(self, policy: Policy) -> bool:
        """Whether the file would be accepted; that is what a mapping is asked, too."""
        if self.is_mapping:
            return not self.errors
        if policy is Policy.PARTIAL:
            return self.valid > 0 and not self.is_unusable
        return not self.errors

    def counts_json(self) -> dict[str, Any]:
        """Return everything but the problems."""
        return {
            "format": self.format,
            "lines": self.lines,
            "valid": self.valid,
            "leftOut": self.left_out,
            "severities": {severity.value: self.severities[severity] for severity in Severity},
            "codes": dict(sorted(self.codes.items())),
            "importModes": dict(sorted(self.modes.items())),
            "authenticationTypes": dict(sorted(self.authentication_types.items())),
            "truncated": self.codes.total() > sum(map(len, self._listed.values())),
        }

    def problems_json(self, file: str) -> list[dict[str, Any]]:
        """Return the listed problems of the file with this path or name."""
        return [problem.to_json(file) for problem in self.problems]

    def problems_csv(self) -> Iterator[str]:
        """Return the listed problems as CSV: the header, then one row each, with CRLF."""
        names = [*Problem.__dataclass_fields__]
        yield csv_row(names)
        for problem in self.problems:
            yield csv_row([getattr(problem, name) for name in names])
