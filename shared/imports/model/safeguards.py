"""What guards a hub's devices against an import: its approval, its backup, and who did what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self, TypeVar

from pydantic import AwareDatetime

from shared.imports.model.columns import Columns

__all__ = [
    "NO_HOLD",
    "NO_SAFEGUARDS",
    "UNKNOWN",
    "Act",
    "ActName",
    "Actor",
    "Hold",
    "Safeguards",
    "When",
]

#: Import modes of lines that delete nothing, disable nothing and replace no keys.
_HARMLESS = frozenset({"create", "updateTwin", "updateTwinIfMatchETag"})


class When(StrEnum):
    """Which imports a safeguard is for."""

    NEVER = "never"
    #: Those that delete or disable devices, or replace their keys.
    DESTRUCTIVE = "destructive"
    ALWAYS = "always"

    def concerns(self, modes: Iterable[str]) -> bool:
        """Whether lines with these import modes may be concerned; no modes: it is not known."""
        if self is When.DESTRUCTIVE:
            known = set(modes)
            return not known or not known <= _HARMLESS
        return self is When.ALWAYS


@dataclass(frozen=True, kw_only=True)
class Safeguards(Columns):
    """As they were set when the file was validated.

    Retries and undos inherit them, and join what is set when they are requested.
    """

    approval: When = When.NEVER
    #: So many deletes, new keys or disabled devices need no approval; and as a share of the hub's
    #: devices.
    unapproved: int | None = field(default=None, metadata={"column": "approvalMaxDeletes"})
    unapproved_share: float | None = field(default=None, metadata={"column": "approvalHubShare"})
    #: So many deletes need no approval, as a share of the lines.
    unapproved_lines: float | None = field(default=None, metadata={"column": "approvalDeleteShare"})
    #: Days after which an import is cancelled that nobody has approved.
    deadline_days: int | None = field(default=None, metadata={"column": "approvalDeadlineDays"})
    #: Whether who approves must be known, and another than who uploaded.
    four_eyes: bool | None = field(default=None, metadata={"column": "approvalFourEyes"})
    backup: When = When.NEVER

    def need_plan(self, modes: Iterable[str]) -> bool:
        """Whether an import of lines with these modes is to be compared with the registry."""
        modes = tuple(modes)
        return self.approval.concerns(modes) or self.backup.concerns(modes)

    def joined(self, other: Safeguards) -> Safeguards:
        """The stricter of both in each respect."""
        return Safeguards(
            approval=max(self.approval, other.approval, key=_STRICTNESS.index),
            unapproved=_least(self.unapproved, other.unapproved),
            unapproved_share=_least(self.unapproved_share, other.unapproved_share),
            unapproved_lines=_least(self.unapproved_lines, other.unapproved_lines),
            deadline_days=_least(self.deadline_days, other.deadline_days),
            four_eyes=_either(self.four_eyes, other.four_eyes),
            backup=max(self.backup, other.backup, key=_STRICTNESS.index),
        )


_STRICTNESS = tuple(When)

N = TypeVar("N", int, float)


def _either(*values: bool | None) -> bool | None:
    return max((value for value in values if value is not None), default=None)


def _least(*values: N | None) -> N | None:
    return min((value for value in values if value is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class Hold(Columns):
    """That an import waits, or waited, for an approval."""

    since: AwareDatetime | None = field(default=None, metadata={"column": "heldAt"})
    #: Until when it can be approved.
    until: AwareDatetime | None = field(default=None, metadata={"column": "heldUntil"})
    #: Why, for operators.
    reason: str = field(default="", metadata={"column": "holdReason"})
    #: What is approved: the digest of the plan, or of the staged file if there is no plan.
    digest: str = field(default="", metadata={"column": "heldDigest"})
    #: Whether what was approved was compared with the registry once more; None if it need not be.
    compared_again: bool | None = field(default=None, metadata={"column": "heldComparedAgain"})


NO_SAFEGUARDS = Safeguards()
NO_HOLD = Hold()


class ActName(StrEnum):
    """What somebody did with an import."""

    UPLOAD = "upload"
    CANCEL = "cancel"
    RETRY = "retry"
    APPROVE = "approve"
    DECLINE = "decline"
    UNDO = "undo"


@dataclass(frozen=True)
class Actor:
    """Who does something, as far as it is known."""

    #: A name that the platform or a token vouches for; else what was used: "function key".
    who: str
    #: The object id in Entra ID, or of another provider; "" if it is not known who it is.
    id: str
    #: Where: "dashboard", "API" or "command line".
    via: str

    def __str__(self) -> str:
        return f"{self.who} ({self.via})"


UNKNOWN = Actor("unknown", "", "")


class Act(NamedTuple):
    """What somebody did with an import."""

    name: ActName
    at: AwareDatetime
    who: str
    id: str
    via: str
    #: What was said about it.
    note: str = ""

    @classmethod
    def of(cls, name: ActName, actor: Actor, at: datetime, note: str = "") -> Self:
        return cls(name, at, actor.who, actor.id, actor.via, note)
