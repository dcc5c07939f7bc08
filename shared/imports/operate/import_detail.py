"""The details of an import as the API contains them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from shared.device_files.lines.values import ImportMode
from shared.device_files.mapping.file_mapping import mapping_path
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import (
    ImportSummary,
    JobImport,
    View,
    summary_members,
)

__all__ = ["HistoryEntry", "ImportDetail", "MappingView", "PlanSummary", "UndoSummary"]


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
    recreates: int | None = Field(
        description="How many devices and modules an undo makes again at most, as the import "
        "deleted them; null: not known."
    )
    restores: int | None = Field(
        description="How many an undo changes back at most; null: not known."
    )
    until: datetime | None = Field(
        description="How long its backup is kept at least; null before its end, or for ever."
    )
    undone_as: str = Field(description="Id of the last import that undoes it.")

    @property
    def text(self) -> str:
        """What an undo does at most: it leaves out what somebody changed since."""
        if self.recreates is None:
            steps = ["restores what the import changed or deleted"]
        else:
            steps = [f"makes up to {self.recreates:,} again"] if self.recreates else []
            steps += [f"changes up to {self.restores:,} back"] if self.restores else []
        if self.deletes:
            steps.append(f"deletes up to {self.deletes:,} that the import created")
        return f"The undo {', '.join(steps)} (devices and modules)." if steps else ""


class MappingView(View):
    """The mapping that was applied to the file; mapping.json is its content."""

    file: str = Field(description="Name of its blob.")
    etag: str = Field(description="ETag of the version that was applied.")


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
    mapping: MappingView | None = Field(
        description="null if the file's folder had no mapping when the file was validated."
    )
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
    def import_modes(self) -> str:
        """The valid lines by importMode, unless all have the default: `delete 1000, update 2`."""
        modes = self.validation.get("importModes")
        # The row may have been edited.
        if not isinstance(modes, dict) or set(modes) <= {ImportMode.CREATE_OR_UPDATE.value}:
            return ""
        return ", ".join(f"{mode} {count}" for mode, count in modes.items())

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
            **summary_members(record),
            created_at=record.created_at,
            history=[HistoryEntry(state=state, entered_at=time) for state, time in record.history],
            validation_attempts=record.validation_attempts,
            validation=record.validation,
            mapping=MappingView(file=mapping_path(record.file), etag=record.mapping_etag)
            if record.mapping
            else None,
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
