"""What the API answers besides imports: the models of which the OpenAPI document is made."""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import Field

from shared.device_files.rules import Severity
from shared.device_files.validation_report import Policy, Report
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportSummary, View
from shared.imports.operate.reader import MAX_COUNTED, HubQueueView
from shared.imports.store.daily_counts import DailyCounts
from shared.imports.upkeep.health import Finding

__all__ = [
    "DayList",
    "DayView",
    "FileCheck",
    "HealthReport",
    "ImportList",
    "ProblemDocument",
    "QueueList",
    "QueueView",
]


class ImportList(View):
    """Some imports, the newest upload first."""

    imports: list[ImportSummary]
    continuation: str = Field(
        description="Asks for the next page, whatever is uploaded meanwhile; empty after the last."
    )


class QueueView(View):
    """What waits for a hub."""

    hub: str
    length: int = Field(description=f"Imports that are not final, {MAX_COUNTED} at most.")
    head: ImportSummary | None = Field(description="The one that has the hub or is the next.")

    @classmethod
    def of(cls, queue: HubQueueView) -> Self:
        head = ImportSummary.of(queue.head) if queue.head else None
        return cls(hub=queue.hub, length=queue.length, head=head)


class QueueList(View):
    """The queue of each hub."""

    queues: list[QueueView]


class DayView(View):
    """What ended on a day (UTC) at all hubs."""

    date: date
    imports: dict[ImportState, int] = Field(description="Imports by their final state.")
    imported: int = Field(description="Devices and modules that hubs took.")
    failed: int = Field(description="Devices and modules that hubs refused.")
    invalid: int = Field(description="Lines that broke rules.")
    unknown: int = Field(
        description="Imports of which it is not known how many devices were imported; their "
        "devices are in no other count."
    )

    @classmethod
    def of(cls, day: DailyCounts) -> Self:
        return cls(
            date=day.date,
            imports=dict(day.imports),
            imported=day.imported,
            failed=day.failed,
            invalid=day.invalid,
            unknown=day.unknown,
        )


class DayList(View):
    """Days, the oldest first."""

    days: list[DayView]


class ProblemView(View):
    """A broken rule at one place of a file, with the members of `Problem.to_json`."""

    file: str = Field(description="Name of the file as the call gives it; empty if it gives none.")
    line: int | None = Field(description="Line of the file from 1; null for the file as a whole.")
    id: str
    field: str = Field(description="Dotted path of the member.")
    severity: Severity
    code: str = Field(description="Name of the rule; docs/validation.md lists them.")
    message: str
    remedy: str


class FileCheck(View):
    """What the validation of a posted file found. Nothing was imported."""

    importable: bool = Field(description="Whether an upload of it would be imported.")
    policy: Policy
    format: str
    lines: int
    valid: int
    left_out: int = Field(description="Lines of $edgeAgent and $edgeHub. Not among the lines.")
    severities: dict[Severity, int]
    codes: dict[str, int]
    import_modes: dict[str, int]
    authentication_types: dict[str, int]
    truncated: bool = Field(description="Whether there are more problems than are listed.")
    problems: list[ProblemView]

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


class FindingView(View):
    """One thing that the importer needs."""

    name: str
    is_well: bool
    detail: str = Field(description="What is wrong and what to mend.")


class HealthReport(View):
    """Whether the importer can do its work."""

    is_well: bool
    findings: list[FindingView]

    @classmethod
    def of(cls, findings: list[Finding]) -> Self:
        views = [FindingView(name=x.name, is_well=x.is_well, detail=x.detail) for x in findings]
        return cls(is_well=all(x.is_well for x in findings), findings=views)


class ParameterError(View):
    """What is wrong with one parameter."""

    parameter: str
    message: str


class ProblemDocument(View):
    """Why a request was not done (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ParameterError] = Field([], description="Each parameter that is wrong.")
    settings: list[str] = Field([], description="Each setting that is wrong, by name.")
