"""Models of API answers; those of imports are in `shared.imports.operate.api_models`."""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import ConfigDict, Field

from shared.device_files.rules import Severity
from shared.device_files.validation_report import Policy, Report
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportDetail, ImportSummary, JobImport, View
from shared.imports.operate.reader import MAX_COUNTED, HubQueueView
from shared.imports.upkeep.health import Finding

__all__ = [
    "DayCounts",
    "DayList",
    "FileCheck",
    "HealthReport",
    "ImportDetail",
    "ImportList",
    "ImportSummary",
    "ProblemDocument",
    "QueueList",
    "QueueSummary",
]


class ImportList(View):
    """A page of imports, newest upload first."""

    imports: list[ImportSummary]
    continuation: str = Field(
        description="Requests the next page; empty on the last page. New uploads shift no pages."
    )


class QueueSummary(View):
    """The queue of a hub."""

    hub: str
    length: int = Field(description=f"Imports that are not final, at most {MAX_COUNTED}.")
    waiting: int = Field(description="Of these, those that do not run and are not `head`.")
    head: ImportSummary | None = Field(description="The import that is running or is next.")

    @classmethod
    def of(cls, queue: HubQueueView) -> Self:
        head = ImportSummary.of(queue.head) if queue.head else None
        return cls(hub=queue.hub, length=queue.length, waiting=queue.waiting, head=head)


class QueueList(View):
    """The queue of each hub."""

    queues: list[QueueSummary]


class DayCounts(View):
    """Imports that finished on a day (UTC), over all hubs."""

    model_config = ConfigDict(from_attributes=True)

    date: date
    imports: dict[ImportState, int] = Field(description="Number of imports by final state.")
    imported: int = Field(description="Devices and modules imported by the hubs.")
    failed: int = Field(description="Devices and modules rejected by the hubs.")
    invalid: int = Field(description="Invalid lines, which were not sent to a hub.")
    unknown: int = Field(
        description="Imports with an unknown number of imported devices; the other counts do not "
        "include their devices."
    )


class DayList(View):
    """Days, oldest first."""

    days: list[DayCounts]


class FileProblem(View):
    """A problem that the validation found."""

    file: str = Field(description="The parameter `name` of the request.")
    line: int | None = Field(description="Line number, from 1; null for the whole file.")
    id: str
    field: str = Field(description="Dotted path of the property.")
    severity: Severity
    code: str = Field(description="Code of the rule, as listed in docs/validation.md.")
    message: str
    remedy: str


class FileCheck(View):
    """Result of the validation of a posted file. Nothing was imported."""

    importable: bool = Field(description="Whether an upload of the file would be imported.")
    policy: Policy
    format: str
    lines: int
    valid: int
    left_out: int = Field(
        description="Lines of the modules $edgeAgent and $edgeHub, which are skipped and not "
        "included in `lines`."
    )
    severities: dict[Severity, int]
    codes: dict[str, int]
    import_modes: dict[str, int]
    authentication_types: dict[str, int]
    truncated: bool = Field(description="Whether `problems` is incomplete.")
    problems: list[FileProblem]

    @classmethod
    def of(cls, report: Report, policy: Policy, name: str) -> Self:
        return cls.model_validate(
            {
                "importable": report.may_be_imported(policy),
                "policy": policy,
                **report.counts_json(),
                "problems": report.problems_json(name),
            }
        )


class HealthCheck(View):
    """The check of one dependency of the importer."""

    name: str
    is_healthy: bool
    detail: str = Field(description="If the check failed, what is wrong and how to fix it.")


class HealthReport(View):
    """Whether the importer can work."""

    is_healthy: bool
    checks: list[HealthCheck]

    @classmethod
    def of(cls, findings: list[Finding]) -> Self:
        checks = [HealthCheck(name=x.name, is_healthy=x.is_well, detail=x.detail) for x in findings]
        return cls(is_healthy=all(check.is_healthy for check in checks), checks=checks)


class ParameterError(View):
    """An invalid parameter."""

    parameter: str
    message: str


class ProblemDocument(View):
    """Why a request failed (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ParameterError] = Field([], description="Each invalid parameter.")
    settings: list[str] = Field([], description="Each invalid app setting, with its name.")
    job: str = Field("", description="The job that the import shares with others: `jobRecord`.")
    imports: list[JobImport] = Field([], description="All imports in this job.")
