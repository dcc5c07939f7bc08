"""An import as the API and events contain it: the record without the columns of the workflow."""

from __future__ import annotations

from collections.abc import Iterable
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
    "HistoryEntry",
    "HoldView",
    "ImportDetail",
    "ImportSummary",
    "JobImport",
    "PlanSummary",
    "UndoSummary",
    "View",
    "files_of",
]

Action = Literal["approve", "decline", "cancel", "retry", "undo"]
FileName = Literal["report.json", "problems.csv", "retry.ndjson", "plan.json", "plan.csv"]


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
    uploaded_at: datetime
    updated_at: datetime
    finished_at: datetime | None
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
        return cls(**_members(record))


class JobImport(View):
    """One of the imports in a job."""

    id: str
    file: str
    state: ImportState

    @classmethod
    def of(cls, record: ImportRecord) -> Self:
        return cls(id=record.id, file=record.file, state=record.state)


class PlanSummary(View):
    """What the import was found to change, before its job; plan.json and plan.csv have details."""

    as_of: datetime | None = Field(description="When the registry was read.")
    digest: str = Field(description="Identifies what the import does.")
    sent: int | None = Field(description="Lines that the hub gets.")
    failed: int | None = Field(
        description="Lines that are not sent, since the hub would reject them."
    )
    missing: str = Field(
        description="Why the file could not be compared with the registry, so that all lines are "
        "sent; the other members are empty then."
    )


class UndoSummary(View):
    """How an import can be undone."""

    deletes: int = Field(
        description="How many devices and modules it created, which an undo deletes: send it as "
        "`deletes`."
    )
    until: datetime | None = Field(
        description="How long its backup is kept at least; null before its end, or for ever."
    )
    undone_as: str = Field(description="Id of the last import that undoes it.")


class HistoryEntry(View):
    """A state that an import was in."""

    state: ImportState
    entered_at: datetime


class ImportDetail(ImportSummary):
    """One import with all details."""

    created_at: datetime = Field(description="When the upload was first seen.")
    history: list[HistoryEntry] = Field(description="The states, oldest first.")
    validation_attempts: int = Field(description="Attempts to validate the file.")
    validation: dict[str, Any] = Field(description="Counts of the validation, as in the report.")
    job_failure_reason: str = Field(description="The job's failure reason, as the hub reports it.")
    start_time_utc: datetime | None = Field(description="Start of the job, by the hub's clock.")
    end_time_utc: datetime | None = Field(description="End of the job, by the hub's clock.")
    in_same_job: list[JobImport] = Field(
        description="The other imports in the job whose records can be read."
    )
    expected_start: datetime | None = Field(
        description="When its job may start, by the durations of the hub's last jobs; null if it "
        "does not wait for other jobs or nothing can be told."
    )
    retried_as: str = Field("", description="Id of the import that retries this one.")
    undo: UndoSummary | None = Field(description="null if it has no backup.")
    later_imports: list[JobImport] = Field(
        description="If it is held: imports that may have changed its devices since its plan, or "
        "will before it. Send their number as `later` to approve it."
    )
    plan: PlanSummary | None = Field(
        description="null if the file was not compared with the registry."
    )

    @property
    def not_sent(self) -> int:
        """Lines that are not sent, since the hub would reject them."""
        return (self.plan.failed or 0) if self.plan else 0

    @property
    def sent(self) -> int | None:
        """Lines that the hub gets; None as long as that is not known."""
        return self.plan.sent if self.plan and self.plan.sent is not None else self.devices

    @classmethod
    def of(
        cls,
        record: ImportRecord,
        in_same_job: Iterable[ImportRecord] = (),
        expected_start: datetime | None = None,
        retried_as: str = "",
        undo: UndoSummary | None = None,
        later_imports: Iterable[ImportRecord] = (),
    ) -> Self:
        return cls(
            **_members(record),
            created_at=record.created_at,
            history=[HistoryEntry(state=state, entered_at=time) for state, time in record.history],
            validation_attempts=record.validation_attempts,
            validation=record.validation,
            job_failure_reason=record.job.failure_reason,
            start_time_utc=record.job.start_time_utc,
            end_time_utc=record.job.end_time_utc,
            in_same_job=[JobImport.of(other) for other in in_same_job],
            expected_start=expected_start,
            retried_as=retried_as,
            undo=undo,
            later_imports=[JobImport.of(other) for other in later_imports],
            plan=_plan_of(record),
        )


def files_of(record: ImportRecord) -> dict[FileName, str]:
    """Paths of the files of an import; "" for a file that was not written."""
    return {
        "report.json": record.report,
        "problems.csv": record.problems,
        # The lines of an undo have no guards: they would overwrite what others changed.
        "retry.ndjson": "" if record.undo_of else record.retry,
        "plan.json": record.plan.path,
        "plan.csv": record.plan.rows,
    }


def _plan_of(record: ImportRecord) -> PlanSummary | None:
    if not record.is_planned:
        return None
    plan = record.plan
    return PlanSummary(
        as_of=plan.as_of,
        digest=plan.digest,
        sent=plan.sent,
        failed=plan.failed,
        missing=plan.missing,
    )


def _members(record: ImportRecord) -> dict[str, Any]:
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
        "progress": record.job.progress,
        "job_id": record.job.id,
        "job_status": record.job.status,
        "cancel_requested": record.is_being_cancelled,
        "actions": [name for name, is_possible in actions.items() if is_possible],
        "files": [name for name, path in files_of(record).items() if path],
    }
