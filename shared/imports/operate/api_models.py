"""An import as people and programs are shown it: the record without what is only the workflow's."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.imports.model.record import ImportRecord, ImportState, Stop
from shared.imports.operate.actions import can_be_cancelled, can_be_retried

__all__ = [
    "Action",
    "FileName",
    "HistoryEntry",
    "ImportDetail",
    "ImportSummary",
    "View",
    "files_of",
]

Action = Literal["cancel", "retry"]
FileName = Literal["report.json", "problems.csv", "retry.ndjson"]


class View(BaseModel):
    """Members have camelCase names in JSON."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True
    )


class ImportSummary(View):
    """One import, as in a list. Times are UTC."""

    id: str = Field(description="Identifies the import; the same upload always gives the same id.")
    hub: str = Field(description="Name of the hub; (none) if the upload's folder names no hub.")
    file: str = Field(description="Name of the uploaded blob, folders included.")
    size: int = Field(description="Bytes of the uploaded blob.")
    state: ImportState
    is_final: bool = Field(description="Whether the state will never change again.")
    failure_reason: str = Field(
        description="Why the import ended as it did or what it waits for, and what to do."
    )
    uploaded_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    lines: int | None = Field(description="Lines of the file that are not blank.")
    invalid_lines: int | None = Field(description="Lines that break a rule.")
    devices: int | None = Field(description="Devices and modules given to the hub.")
    imported: int | None = Field(
        description="Of these, how many the hub imported; null in a final state: not known."
    )
    failed: int | None = Field(
        description="Of these, how many the hub rejected; null in a final state: not known."
    )
    place: int | None = Field(description="Place in the hub's queue when it was last counted.")
    progress: int | None = Field(description="Percent of the job, as the hub tells it.")
    job_id: str
    job_status: str = Field(description="The hub's own word.")
    retry_of: str = Field(description="Id of the import whose lines this one tries again.")
    cancel_requested: bool = Field(description="Whether it ends once the hub has ended its job.")
    actions: list[Action] = Field(description="What an operator may do with it now.")
    files: list[FileName] = Field(description="What was written about it and can be downloaded.")

    @property
    def has_unknown_counts(self) -> bool:
        """Whether the import has ended and nobody knows how many devices the hub took."""
        return self.is_final and self.imported is None

    @classmethod
    def of(cls, record: ImportRecord) -> Self:
        return cls(**_members(record))


class HistoryEntry(View):
    """A state that an import was in."""

    state: ImportState
    entered_at: datetime


class ImportDetail(ImportSummary):
    """One import with all that is known of it."""

    created_at: datetime = Field(description="When the importer first saw the upload.")
    history: list[HistoryEntry] = Field(description="The states, oldest first.")
    attempts: int = Field(description="Times that somebody set out to validate the file.")
    validation: dict[str, Any] = Field(description="Counts of the validation, as in the report.")
    job_failure_reason: str = Field(description="The hub's own words.")
    start_time_utc: datetime | None = Field(description="Start of the job, by the hub's clock.")
    end_time_utc: datetime | None = Field(description="End of the job, by the hub's clock.")
    retried_as: str = Field("", description="Id of the import that tries this one's lines again.")

    @classmethod
    def of(cls, record: ImportRecord, retried_as: str = "") -> Self:
        return cls(
            **_members(record),
            created_at=record.created_at,
            history=[HistoryEntry(state=state, entered_at=time) for state, time in record.history],
            attempts=record.attempts,
            validation=record.validation,
            job_failure_reason=record.job_failure_reason,
            start_time_utc=record.start_time_utc,
            end_time_utc=record.end_time_utc,
            retried_as=retried_as,
        )


def files_of(record: ImportRecord) -> dict[FileName, str]:
    """Paths of what can be downloaded about an import; "" for what was not written."""
    return {
        "report.json": record.report,
        "problems.csv": record.problems,
        "retry.ndjson": record.retry,
    }


def _members(record: ImportRecord) -> dict[str, Any]:
    same = ImportSummary.model_fields.keys() & ImportRecord.model_fields.keys()
    actions: dict[Action, bool] = {
        "cancel": can_be_cancelled(record),
        "retry": can_be_retried(record),
    }
    return {
        **{name: getattr(record, name) for name in same},
        "is_final": record.state.is_final,
        "cancel_requested": record.stop is Stop.OPERATOR and not record.state.is_final,
        "actions": [name for name, is_possible in actions.items() if is_possible],
        "files": [name for name, path in files_of(record).items() if path],
    }
