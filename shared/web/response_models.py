"""Models of API answers; those of imports are in `shared.imports.operate.api_models`."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import Self

from pydantic import ConfigDict, Field

from shared.device_files.rules import Severity
from shared.device_files.validation_report import Policy, Report
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportSummary, JobImport, View
from shared.imports.operate.bulk import MAX_SELECTED, Outcome, Result
from shared.imports.operate.import_detail import ImportDetail
from shared.imports.operate.queue_view import MAX_COUNTED, HubQueueView
from shared.imports.operate.uploads import FoundUpload, UploadAddress
from shared.imports.upkeep.health import Finding

__all__ = [
    "BulkItem",
    "BulkReport",
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
    "UploadStatus",
    "UploadTarget",
]


class ImportList(View):
    """A page of imports, newest upload first."""

    imports: list[ImportSummary]
    continuation: str = Field(
        description="Requests the next page; empty on the last page. New uploads shift no pages."
    )
    searched_back_to: datetime | None = Field(
        description="Set if the search ended before the page was full, as it reads a part of a "
        "long history: older imports may fit, too. Go on with `continuation`."
    )


class BulkItem(View):
    """What became of one import."""

    id: str
    hub: str
    file: str
    outcome: Outcome = Field(
        description="`cancelRequested`: it ends as soon as the hub has ended its job. `ended`: it "
        "ended before it could be cancelled. `failed`: see `message`."
    )
    state: ImportState = Field(description="Of the import; if it was retried, of its retry.")
    retried_as: str = Field(description="Id of the import that retries it, or empty.")
    message: str = Field(description="Why it failed, and what to do.")

    @classmethod
    def of(cls, result: Result) -> Self:
        record = result.record or result.selected
        return cls(
            id=result.selected.id,
            hub=result.selected.hub,
            file=result.selected.file,
            outcome=result.outcome,
            state=record.state,
            retried_as=record.id if result.outcome is Outcome.RETRIED else "",
            message=result.message,
        )


class BulkReport(View):
    """What became of the imports that a filter shows."""

    results: list[BulkItem] = Field(
        description="In the order in which they were done: cancelled newest upload first, retried "
        "oldest first."
    )
    left: int = Field(
        description="How many were not begun, as the time of a request was over: repeat it."
    )
    in_shared_jobs: list[JobImport] = Field(
        description="Not cancelled: their jobs have files that the filter does not show."
    )
    held: int = Field(
        description="Imports of the hubs that wait for approval: decline them one by one."
    )
    is_cut: bool = Field(
        description="Whether older imports may fit the filter: a request selects up to "
        f"{MAX_SELECTED:,}, and reads a part of a long history."
    )

    @property
    def counts(self) -> Counter[Outcome]:
        return Counter(item.outcome for item in self.results)


class QueueSummary(View):
    """The queue of a hub."""

    hub: str
    length: int = Field(description=f"Imports that are not final, at most {MAX_COUNTED}.")
    waiting: int = Field(description="Of these, those that do not run and are not `head`.")
    head: ImportSummary | None = Field(description="The import that is running or is next.")
    expected_end: datetime | None = Field(
        description="When all of them may have ended, by the durations of the hub's last jobs; "
        "null if the queue is empty or nothing can be told."
    )
    pace_jobs: int = Field(description="How many jobs `expectedEnd` is by.")

    @classmethod
    def of(cls, queue: HubQueueView) -> Self:
        head = ImportSummary.of(queue.head) if queue.head else None
        return cls(
            hub=queue.hub,
            length=queue.length,
            waiting=queue.waiting,
            head=head,
            expected_end=queue.expected_end,
            pace_jobs=queue.pace_jobs,
        )


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


class UploadTarget(View):
    """Where to send a file."""

    ticket: str = Field(description="Identifies the upload.")
    name: str = Field(description="Name of the blob, with its folder.")
    url: str = Field(
        description="URL of the blob with a SAS that allows to create and write it: a secret. PUT "
        "the file to it, or its blocks and then their list."
    )
    headers: dict[str, str] = Field(
        description="To send with the PUT of the file, or, without x-ms-blob-type, with that of "
        "the list of blocks."
    )
    expires_at: datetime = Field(
        description="When the URL expires. For a longer upload, request another one."
    )

    @classmethod
    def of(cls, address: UploadAddress) -> Self:
        return cls(
            ticket=address.ticket,
            name=address.file,
            url=address.url,
            headers=dict(address.headers),
            expires_at=address.expires_at,
        )


class UploadStatus(View):
    """What became of an upload."""

    ticket: str
    name: str = Field(description="Name of the blob, with its folder.")
    import_id: str = Field(
        description="Id of its import; empty if the upload is not complete, was replaced before "
        "the app noticed it, or is a mapping."
    )
    state: ImportState | None = Field(
        description="State of the import; null until the app has noticed the upload."
    )
    is_mapping: bool = Field(
        description="Whether it is a valid mapping, which applies to the files of its folder and "
        "is no import."
    )

    @classmethod
    def of(cls, upload: FoundUpload) -> Self:
        return cls(
            ticket=upload.ticket,
            name=upload.file,
            import_id=upload.import_id,
            state=upload.state,
            is_mapping=upload.is_mapping,
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
    import_id: str = Field("", description="Id of the import of the blob that exists.")
