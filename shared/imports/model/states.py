"""The states of an import: one row in one table says all that the app knows about a state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = ["ImportState", "Tone"]

#: How a state is shown: the colour on the dashboard (`style.css`) and in the terminal.
Tone = Literal["waiting", "active", "good", "warning", "bad", "cancelled", "neutral"]


class ImportState(StrEnum):
    """The state of an import; the value is what the table, the API and events contain."""

    VALIDATING = "validating"
    #: Validated and staged; waits for the hub's job slot.
    QUEUED = "queued"
    #: The file is compared with the registry, to send only what changes.
    PLANNING = "planning"
    #: Compared with the registry; waits for somebody to approve it, in no queue.
    HELD = "held"
    #: The hub is about to be asked for a job, or was asked and its answer is not known.
    STARTING = "starting"
    #: The hub has the job.
    RUNNING = "running"
    #: The file breaks rules, or its folder is no route: nothing reached a hub.
    REJECTED = "rejected"
    #: Overwritten or deleted before it was read to its end.
    SUPERSEDED = "superseded"
    COMPLETED = "completed"
    #: The job completed, but not for every line of the file.
    COMPLETED_WITH_ERRORS = "completedWithErrors"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def label(self) -> str:
        """The name of the state on pages and in the terminal."""
        return _TABLE[self].label

    @property
    def tone(self) -> Tone:
        return _TABLE[self].tone

    @property
    def is_final(self) -> bool:
        """Whether the record never changes again."""
        return not _TABLE[self].next

    @property
    def needs_attention(self) -> bool:
        """Whether an operator has to do something about an import that ended so."""
        return _TABLE[self].needs_attention

    @property
    def is_alarming(self) -> bool:
        """Whether an end in this state is a warning in the log and an error in the trace."""
        return self.tone == "bad"

    @property
    def is_retryable(self) -> bool:
        """Whether an import that ended so may have staged lines that can be imported again."""
        return _TABLE[self].is_retryable

    @property
    def had_no_job(self) -> bool:
        """Whether no job was ever requested for an import that never left this state."""
        return _TABLE[self].had_no_job

    def may_become(self, state: ImportState) -> bool:
        return state in _TABLE[self].next


@dataclass(frozen=True, kw_only=True)
class _State:
    label: str
    tone: Tone
    #: The states that may follow; none after a final state.
    next: frozenset[ImportState] = frozenset()
    needs_attention: bool = False
    is_retryable: bool = False
    had_no_job: bool = False


_S = ImportState
_TABLE = {
    _S.VALIDATING: _State(
        label="validating",
        tone="active",
        next=frozenset({_S.QUEUED, _S.REJECTED, _S.SUPERSEDED, _S.FAILED, _S.CANCELLED}),
        had_no_job=True,
    ),
    _S.QUEUED: _State(
        label="queued",
        tone="waiting",
        next=frozenset({_S.PLANNING, _S.STARTING, _S.FAILED, _S.CANCELLED}),
        had_no_job=True,
    ),
    _S.PLANNING: _State(
        label="planning",
        tone="active",
        # Final where there is nothing to send.
        next=frozenset(
            {_S.QUEUED, _S.HELD, _S.COMPLETED, _S.COMPLETED_WITH_ERRORS, _S.FAILED, _S.CANCELLED}
        ),
        had_no_job=True,
    ),
    _S.HELD: _State(
        label="waiting for approval",
        tone="warning",
        next=frozenset({_S.QUEUED, _S.SUPERSEDED, _S.FAILED, _S.CANCELLED}),
        had_no_job=True,
    ),
    _S.STARTING: _State(
        label="starting",
        tone="active",
        # Cancelled only once it is certain that there is no job.
        next=frozenset({_S.RUNNING, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
    ),
    _S.RUNNING: _State(
        label="running",
        tone="active",
        next=frozenset({_S.COMPLETED, _S.COMPLETED_WITH_ERRORS, _S.FAILED, _S.CANCELLED}),
    ),
    _S.REJECTED: _State(label="rejected", tone="bad", needs_attention=True),
    _S.SUPERSEDED: _State(label="superseded", tone="neutral"),
    _S.COMPLETED: _State(label="completed", tone="good"),
    _S.COMPLETED_WITH_ERRORS: _State(
        label="completed with errors", tone="warning", needs_attention=True, is_retryable=True
    ),
    _S.FAILED: _State(label="failed", tone="bad", needs_attention=True, is_retryable=True),
    _S.CANCELLED: _State(label="cancelled", tone="cancelled", is_retryable=True),
}
