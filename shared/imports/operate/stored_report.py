"""report.json as it is read from storage, where it may have been edited."""

from __future__ import annotations

from azure.core.exceptions import ResourceNotFoundError
from pydantic import Field, ValidationError

from shared.device_files.rules import Severity
from shared.device_files.validation_report import Problem
from shared.imports.model.record import ImportRecord
from shared.imports.operate.api_models import View
from shared.imports.store.import_container import ImportContainer

__all__ = ["ReportedFailure", "StoredReport", "read_report"]


class ReportedProblem(View):
    """A broken rule."""

    line: int | None
    id: str
    field: str
    severity: Severity
    code: str
    message: str
    remedy: str

    @property
    def problem(self) -> Problem:
        return Problem(**dict(self))


class ReportedFailure(View):
    """A line that failed; its ids are redacted."""

    line: int | None
    id: str
    module_id: str = ""
    #: As the report shows it, with its number.
    code: str
    message: str


class ReportedValidation(View):
    problems: list[ReportedProblem] = Field(default_factory=list)


class ReportedFailures(View):
    devices: list[ReportedFailure] = Field(default_factory=list)
    truncated: bool = True


class StoredReport(View):
    """What the report of an import lists."""

    validation: ReportedValidation = Field(default_factory=ReportedValidation)
    failures: ReportedFailures | None = None

    @property
    def problems(self) -> list[Problem]:
        """The listed problems of the validation, by line."""
        found = [item.problem for item in self.validation.problems]
        return sorted(found, key=lambda problem: problem.line or 0)


def read_report(container: ImportContainer, record: ImportRecord) -> StoredReport:
    """The report of an import; an empty one if it was deleted or edited, or never written."""
    if not record.report:
        return StoredReport()
    try:
        return StoredReport.model_validate(container.read_report(record.report))
    except (ResourceNotFoundError, ValidationError, ValueError, RecursionError):
        return StoredReport()
