"""Groups of columns that the records of imports and jobs have."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import AwareDatetime

from shared.imports.model.columns import Columns

__all__ = [
    "NO_BACK_OFF",
    "NO_FILE",
    "NO_JOB",
    "NO_LEASE",
    "NO_PLAN",
    "BackOff",
    "HubJob",
    "Lease",
    "Plan",
    "StagedFile",
]


@dataclass(frozen=True, kw_only=True)
class Lease(Columns):
    """The process that works on an import; until the lease ends, no other process may."""

    owner: str = ""
    until: AwareDatetime | None = field(default=None, metadata={"column": "leaseUntil"})


@dataclass(frozen=True, kw_only=True)
class BackOff(Columns):
    """What an open import waits for."""

    #: Calls in a row that failed because the hub or storage was busy, throttled or unreachable.
    hub_retries: int = 0
    #: Nothing is done for the import before that.
    next_try_at: AwareDatetime | None = None
    #: Since when the hub rejects the job for something that operators have to fix.
    refused_since: AwareDatetime | None = None
    #: Since when it is not known how the job ended: the hub does not know it, or wrote no log.
    unresolved_since: AwareDatetime | None = None
    #: Unexpected errors in a row.
    unexpected_errors: int = 0


@dataclass(frozen=True, kw_only=True)
class StagedFile(Columns):
    """The validated copy that the hub reads, in the import's own container."""

    #: The container of the staged file, the hub's log and the report; "" if there is none.
    container: str = ""
    etag: str = field(default="", metadata={"column": "stagedEtag"})
    #: Bytes.
    size: int | None = field(default=None, metadata={"column": "stagedBytes"})
    #: How often the file was renamed, so that a request on its way to the hub finds nothing.
    generation: int = field(default=0, metadata={"column": "stagedGeneration"})
    #: Ends the name of a renamed file: a process that wakes up late must not write it again.
    suffix: str = field(default="", metadata={"column": "stagedSuffix"})
    #: Whether lines.bin maps staged lines to lines of the upload.
    has_line_map: bool = False
    #: The beginning of its name; "" for that of the hub's default name.
    stem: str = field(default="", metadata={"column": "stagedStem"})

    @property
    def name(self) -> str:
        """At first the hub's default name."""
        parts = [self.stem or "devices", str(self.generation or ""), self.suffix]
        return f"{'-'.join(filter(None, parts))}.txt"


@dataclass(frozen=True, kw_only=True)
class Plan(Columns):
    """What the lines of an import were found to change, before they were sent."""

    #: When the registry was read; None if the import was not planned.
    as_of: AwareDatetime | None = field(default=None, metadata={"column": "planAsOf"})
    digest: str = field(default="", metadata={"column": "planDigest"})
    #: Paths within the storage account of plan.json and plan.csv, and of the lines that would fail.
    path: str = field(default="", metadata={"column": "plan"})
    rows: str = field(default="", metadata={"column": "planRows"})
    failures: str = field(default="", metadata={"column": "planFailures"})
    #: And of the prints of all lines, if some delete; see `shared.plan.approved`.
    prints: str = field(default="", metadata={"column": "planPrints"})
    #: Lines that the hub gets, and lines that are not sent since they would fail.
    sent: int | None = field(default=None, metadata={"column": "planSent"})
    failed: int | None = field(default=None, metadata={"column": "planFailed"})
    #: Lines by what they do, as in plan.json.
    counts: dict[str, int] = field(default_factory=dict, metadata={"column": "planCounts"})
    #: Why there is no plan although one was to be made: all lines are sent.
    missing: str = field(default="", metadata={"column": "planMissing"})


@dataclass(frozen=True, kw_only=True)
class HubJob(Columns):
    """The import job as the hub reports it."""

    id: str = field(default="", metadata={"column": "jobId"})
    status: str = field(default="", metadata={"column": "jobStatus"})
    failure_reason: str = field(default="", metadata={"column": "jobFailureReason"})
    #: Percent.
    progress: int | None = None
    start_time_utc: AwareDatetime | None = None
    end_time_utc: AwareDatetime | None = None


NO_LEASE = Lease()
NO_JOB = HubJob()
NO_PLAN = Plan()
NO_BACK_OFF = BackOff()
NO_FILE = StagedFile()
