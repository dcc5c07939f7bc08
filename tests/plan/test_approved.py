"""Lines of an approved plan, compared once more."""

from __future__ import annotations

from dataclasses import replace

from shared.device_files.lines.values import ImportMode
from shared.plan.approved import NOT_SENT, approved_line
from shared.plan.model import Action, Note, PlannedLine, PropertyChange
from shared.plan.planner import PlannedText

PLANNED = PlannedLine(
    "pump", "", ImportMode.UPDATE, Action.UPDATE, changes=(PropertyChange("tags.site", 1, 2),)
)
LINE = PlannedText(1, PLANNED, b"text", b"guarded")
UNSURE = replace(LINE, planned=replace(PLANNED, changes=()))


def test_what_is_the_same_is_sent() -> None:
    assert approved_line(LINE, "a", "a") is LINE


def test_what_is_not_sent_any_more_stays_so() -> None:
    unchanged = replace(LINE, planned=replace(PLANNED, action=Action.UNCHANGED), guarded=b"")
    assert approved_line(unchanged, "a", NOT_SENT) is unchanged


def test_what_changed_fails() -> None:
    for approved in ("a", NOT_SENT):
        failed = approved_line(LINE, approved, "b")
        assert (failed.planned.action, failed.guarded) == (Action.FAIL, b"")
        assert failed.planned.code == "PreconditionFailed"
        assert failed.planned.notes == (Note.CHANGED_WHILE_HELD,)
        assert not failed.planned.is_destructive
    assert approved_line(UNSURE, "a", "b").planned.action is Action.FAIL


def test_what_was_unchanged_and_is_not_known_to_have_changed_is_unchanged() -> None:
    line = approved_line(UNSURE, NOT_SENT, "b")
    assert (line.planned.action, line.guarded) == (Action.UNCHANGED, b"")
