"""The states of an import: one row in one table says all that the app knows about a state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = ["ImportState", "StateGroup", "Tone", "states_of"]

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
    def meaning(self) -> str:
        """For operators: what is going on, or how it ended."""
        return _TABLE[self].meaning

    @property
    def advice(self) -> str:
        """For operators: what to do."""
        return _TABLE[self].advice

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
    #: For operators: what it means, and what they are to do.
    meaning: str
    advice: str
    #: The states that may follow; none after a final state.
    next: frozenset[ImportState] = frozenset()
    needs_attention: bool = False
    is_retryable: bool = False
    had_no_job: bool = False


_S = ImportState
_TABLE = {
    _S.VALIDATING: _State(
        label="validating",
        meaning="The file is being read, or waits to be read.",
        advice="Nothing. If it waits, read its reason.",
        tone="active",
        next=frozenset({_S.QUEUED, _S.REJECTED, _S.SUPERSEDED, _S.FAILED, _S.CANCELLED}),
        had_no_job=True,
    ),
    _S.QUEUED: _State(
        label="queued",
        meaning="Validated; waits for the hub's job slot. Files of one job have the same position.",
        advice="Nothing. If the first one waits long, read its reason.",
        tone="waiting",
        next=frozenset({_S.PLANNING, _S.STARTING, _S.FAILED, _S.CANCELLED}),
        had_no_job=True,
    ),
    _S.PLANNING: _State(
        label="planning",
        meaning="The file is compared with the registry, to send only what changes.",
        advice="Nothing, or cancel it: no device was changed.",
        tone="active",
        # Final where there is nothing to send.
        next=frozenset(
            {_S.QUEUED, _S.HELD, _S.COMPLETED, _S.COMPLETED_WITH_ERRORS, _S.FAILED, _S.CANCELLED}
        ),
        had_no_job=True,
    ),
    _S.HELD: _State(
        label="waiting for approval",
        meaning="Waits for approval, in no queue. The files behind it go on.",
        advice="Look at its plan, then approve or decline it.",
        tone="warning",
        next=frozenset({_S.QUEUED, _S.SUPERSEDED, _S.FAILED, _S.CANCELLED}),
        had_no_job=True,
    ),
    _S.STARTING: _State(
        label="starting",
        meaning="The hub is asked for a job, or its answer was lost and the job is looked for.",
        advice="Nothing.",
        tone="active",
        # Cancelled only once it is certain that there is no job.
        next=frozenset({_S.RUNNING, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
    ),
    _S.RUNNING: _State(
        label="running",
        meaning="The hub runs the job.",
        advice="Wait, or cancel it.",
        tone="active",
        next=frozenset({_S.COMPLETED, _S.COMPLETED_WITH_ERRORS, _S.FAILED, _S.CANCELLED}),
    ),
    _S.REJECTED: _State(
        label="rejected",
        meaning="The file is invalid, deletes too much, or its folder selects no hub. No device "
        "was changed.",
        advice="Correct it by problems.csv and upload it again.",
        tone="bad",
        needs_attention=True,
    ),
    _S.SUPERSEDED: _State(
        label="superseded",
        meaning="The file was overwritten or deleted before it was validated or approved.",
        advice="Nothing: a new version is a new import.",
        tone="neutral",
    ),
    _S.COMPLETED: _State(
        label="completed",
        meaning="Every device was imported, or is in the registry as the file describes it.",
        advice="Nothing.",
        tone="good",
    ),
    _S.COMPLETED_WITH_ERRORS: _State(
        label="completed with errors",
        meaning="The job ended, but some devices failed or invalid lines were left out, or that "
        "is not known.",
        advice="Read the reason and fix the cause. Correct the lines and upload them; retry them "
        "as they are where the cause was at the hub.",
        tone="warning",
        needs_attention=True,
        is_retryable=True,
    ),
    _S.FAILED: _State(
        label="failed",
        meaning="It could not be imported, or its job failed.",
        advice="Follow the reason, then retry it.",
        tone="bad",
        needs_attention=True,
        is_retryable=True,
    ),
    _S.CANCELLED: _State(
        label="cancelled",
        meaning="It was cancelled, or its job was cancelled at the hub.",
        advice="Retry it if it is still wanted.",
        tone="cancelled",
        is_retryable=True,
    ),
}


class StateGroup(StrEnum):
    """States that operators look for together."""

    #: Not final.
    OPEN = "open"
    #: Not final, and nothing of it was sent to the hub; without those that wait for approval.
    WAITING = "waiting"
    #: An operator has to do something.
    ATTENTION = "attention"

    @property
    def label(self) -> str:
        """The name of the group on pages."""
        return _GROUPS[self][0]

    @property
    def states(self) -> frozenset[ImportState]:
        return _GROUPS[self][1]


_GROUPS = {
    StateGroup.OPEN: ("not finished", frozenset(state for state in _S if not state.is_final)),
    StateGroup.WAITING: (
        "waiting, not sent yet",
        frozenset({_S.VALIDATING, _S.QUEUED, _S.PLANNING}),
    ),
    StateGroup.ATTENTION: (
        "needs attention",
        frozenset(state for state in _S if state.needs_attention or state is _S.HELD),
    ),
}


def states_of(names: Iterable[ImportState | StateGroup]) -> frozenset[ImportState]:
    """The states that are named one by one or by their group."""
    return frozenset(
        state
        for name in names
        for state in (name.states if isinstance(name, StateGroup) else (name,))
    )
