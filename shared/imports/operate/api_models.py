"""An import as the API and events contain it: the record without the columns of the workflow."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import ActName
from shared.imports.model.states import ImportState

__all__ = [
    "ActView",
    "Action",
    "FileName",
    "HoldView",
    "ImportSummary",
    "JobImport",
    "PlanCountsView",
    "StoredName",
    "View",
    "files_of",
    "has_results",
    "percent",
    "summary_members",
]

Action = Literal["approve", "decline", "cancel", "retry", "undo"]
#: Files that are stored with an import.
StoredName = Literal[
    "report.json", "problems.csv", "retry.ndjson", "plan.json", "plan.csv", "mapping.json"
]
#: results.csv is made of them when it is requested.
FileName = Literal[StoredName, "results.csv"]


class View(BaseModel):
    """Members have camelCase names in JSON."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True
    )


class ActView(View):
    """What somebody did with an import."""

    action: ActName
    at: datetime
    who: str = Field(
        description="A name that Entra ID or another provider vouches for if `isKnown`; else what "
        "was used, such as a function key."
    )
    is_known: bool = Field(description="Whether it is known who it was.")
    via: str = Field(description="dashboard, API or command line.")
    note: str = Field(description="What was said about it.")


class PlanCountsView(View):
    """Lines by what they do."""

    create: int = 0
    update: int = 0
    new_keys: int = Field(0, description="Of the updates: former credentials do not work any more.")
    disable: int = Field(0, description="Of the updates: enabled devices that are disabled.")
    unchanged: int = 0
    delete: int = 0
    deleted_modules: int = Field(0, description="Modules that are deleted with their devices.")
    left_out: int = 0
    fail: int = 0


class HoldView(View):
    """That an import waits, or waited, for an approval."""

    since: datetime
    until: datetime | None = Field(description="When it is cancelled if nobody approved it.")
    reason: str = Field(description="Why it has to be approved.")
    digest: str = Field(description="What is approved: send it as `plan`.")
    counts: PlanCountsView | None = Field(
        description="What the import is to do; null if it could not be compared with the registry."
    )
    four_eyes: bool = Field(
        description="Whether another known person has to approve it than asked for it."
    )


class ImportSummary(View):
    """One import, as in a list. Times are UTC."""

    id: str = Field(description="Identifies the import; the same upload always gives the same id.")
    hub: str = Field(description="Name of the hub; (none) if the upload's folder names no hub.")
    file: str = Field(description="Name of the uploaded blob, folders included.")
    size: int = Field(description="Bytes of the uploaded blob.")
    state: ImportState
    is_final: bool = Field(description="Whether the state is final.")
    failure_reason: str = Field(
        description="Why the import ended as it did or what it waits for, and what to do."
    )
    uploaded_at: datetime = Field(
        description="By the clock of storage, in whole seconds. Of a retry or an undo it is its "
        "position in the queue, the second after that of the request: it may be later than "
        "`updatedAt`."
    )
    updated_at: datetime
    finished_at: datetime | None
    validated_lines: int | None = Field(
        description="While it is validated: lines that were read by then; null if not known."
    )
    validated_percent: int | None = Field(
        description="While it is validated: percent of the bytes of the upload that were read by "
        "then; null if not known, as in the first seconds."
    )
    next_try_at: datetime | None = Field(
        description="When what `failureReason` says is tried again; null if nothing failed."
    )
    lines: int | None = Field(description="Lines of the file that are not blank.")
    invalid_lines: int | None = Field(description="Lines that break a rule.")
    devices: int | None = Field(
        description="Valid devices and modules: what a job gives to the hub."
    )
    imported: int | None = Field(
        description="Of these, how many the hub imported; null in a final state: not known."
    )
    failed: int | None = Field(
        description="Of these, how many the hub rejected, or would have rejected by the plan; "
        "null in a final state: not known."
    )
    unchanged: int | None = Field(
        description="Of these, how many were not sent since they would change nothing; null if the "
        "file was not compared with the registry."
    )
    deletes: int | None = Field(
        description="Of these, how many the file deletes, whatever became of them; null: not known."
    )
    left_out: int | None = Field(
        description="Of an undo: how many were not sent since their devices changed after the "
        "import that is undone."
    )
    queue_position: int | None = Field(
        description="Position of its job in the hub's queue when last counted: 1 is the job that "
        "runs or is next. Imports of one job have the same position."
    )
    progress: int | None = Field(description="Percent of the job, as the hub reports it.")
    job_id: str = Field(description="Id of the job at the hub.")
    job_status: str = Field(description="The job's status, as the hub reports it.")
    job_record: str = Field(
        description="Id of the app's record of the job, which is the import's id if it is alone in "
        "its job; empty without a job. To cancel the job of several files, send it as `job`."
    )
    job_files: int | None = Field(
        description="Number of files in the job, including this one; null without a job."
    )
    retry_of: str = Field(description="Id of the import that this one retries.")
    undo_of: str = Field(description="Id of the import that this one undoes.")
    acts: list[ActView] = Field(description="What people did with it, oldest first.")
    hold: HoldView | None = Field(description="null if it need not be approved, or not yet.")
    cancel_requested: bool = Field(
        description="Whether it was cancelled and waits for its job to end."
    )
    actions: list[Action] = Field(description="Actions that are possible now.")
    files: list[FileName] = Field(description="Files that can be downloaded.")

    @property
    def has_unknown_counts(self) -> bool:
        """Whether the import ended and it is not known how many devices were imported."""
        return self.is_final and self.imported is None

    @property
    def no_counts(self) -> str:
        """What is shown of an import that ended instead of numbers; "" where these say how."""
        if self.has_unknown_counts:
            return "unknown"
        has_completed = self.state in (ImportState.COMPLETED, ImportState.COMPLETED_WITH_ERRORS)
        if not self.is_final or has_completed or self.imported or self.failed:
            return ""
        return "not imported" if self.job_id or self.unchanged or self.left_out else "not sent"

    @property
    def shown_deletes(self) -> str:
        """How many devices were or will be deleted, beside the other counts; "" if none."""
        if not self.deletes or self.no_counts not in ("", "unknown"):
            return ""
        is_sure = not self.is_final or self.failed == 0
        text = f"{self.deletes:,} delete{'' if self.deletes == 1 else 's'}"
        return text if is_sure else f"up to {text}"

    @property
    def other_files(self) -> int:
        """Number of other files that are, or were, in its job."""
        return max(0, (self.job_files or 1) - 1)

    @property
    def shares_started_job(self) -> bool:
        """Whether a cancel hits other files, as the hub has the job or may have it."""
        is_started = self.state in (ImportState.STARTING, ImportState.RUNNING)
        return is_started and self.other_files > 0

    @classmethod
    def of(cls, record: ImportRecord) -> Self:
        return cls(**summary_members(record))


class JobImport(View):
    """One of the imports in a job."""

    id: str
    file: str
    state: ImportState

    @classmethod
    def of(cls, record: ImportRecord) -> Self:
        return cls(id=record.id, file=record.file, state=record.state)


def has_results(record: ImportRecord) -> bool:
    """Whether anything is known of the lines of an import that has ended."""
    is_read = record.devices is not None or bool(record.problems)
    return record.state.is_final and bool(record.staged.container) and is_read


def files_of(record: ImportRecord) -> dict[StoredName, str]:
    """Paths of the stored files of an import; "" for a file that was not written."""
    return {
        "report.json": record.report,
        "problems.csv": record.problems,
        # The lines of an undo have no guards: they would overwrite what others changed.
        "retry.ndjson": "" if record.undo_of else record.retry,
        "plan.json": record.plan.path,
        "plan.csv": record.plan.rows,
        "mapping.json": record.mapping,
    }


def summary_members(record: ImportRecord) -> dict[str, Any]:
    names = {field.name for field in fields(ImportRecord)}
    same = ImportSummary.model_fields.keys() & names
    is_held = record.state is ImportState.HELD
    actions: dict[Action, bool] = {
        "approve": is_held,
        "decline": is_held,
        "cancel": record.can_be_cancelled and not is_held,
        "retry": record.can_be_retried,
        "undo": record.can_be_undone,
    }
    hold = record.hold
    return {
        **{name: getattr(record, name) for name in same},
        "acts": [
            ActView(
                action=act.name,
                at=act.at,
                who=act.who,
                is_known=bool(act.id),
                via=act.via,
                note=act.note,
            )
            for act in record.acts
        ],
        "hold": HoldView(
            since=hold.since,
            until=hold.until,
            reason=hold.reason,
            digest=hold.digest,
            counts=PlanCountsView.model_validate(record.plan.counts)
            if record.plan.counts
            else None,
            four_eyes=bool(record.safeguards.four_eyes),
        )
        if hold.since
        else None,
        "is_final": record.state.is_final,
        "deletes": record.deletes,
        "validated_percent": percent(record.validated_bytes, record.size),
        "next_try_at": record.back_off.next_try_at,
        "progress": record.job.progress,
        "job_id": record.job.id,
        "job_status": record.job.status,
        "cancel_requested": record.is_being_cancelled,
        "actions": [name for name, is_possible in actions.items() if is_possible],
        "files": [
            *(name for name, path in files_of(record).items() if path),
            *(["results.csv"] if has_results(record) else []),
        ],
    }


def percent(part: int | None, whole: int) -> int | None:
    """Of a part, rounded down; None if it is not known."""
    return None if part is None or not whole else min(100, 100 * part // whole)
