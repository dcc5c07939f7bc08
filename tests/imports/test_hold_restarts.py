"""Processes that are killed between two writes of a hold, a decision or an undo."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import count

import pytest

from tests.app import App, device
from tests.imports.guards import (
    approve,
    begin_undo,
    current,
    decline,
    deletion,
    held,
    run,
    undo,
)
from tests.imports.plans import NAME, counts, plan_rows, pump, rows_of, send, site

FILE = [deletion(number) for number in range(3)]
#: Minutes after which another process takes over.
LEASE = 6


class Killed(BaseException):
    """Terminates the process."""


def until_done(app: App, step: Callable[[], None], *, after: bool) -> int:
    """Repeat a step, and kill its process at one write later each time; returns how often."""
    for number in count():
        left = [number]

        def kill(request: str, left: list[int] = left) -> None:
            if not request.startswith(("GET", "HEAD")):
                left[0] -= 1
                if left[0] == -1:
                    raise Killed

        if after:
            app.after_request = kill
        else:
            app.before_request = kill
        with contextlib.suppress(Killed):
            step()
        app.before_request = app.after_request = lambda _: None
        if left[0] >= 0:
            return number
        app.configure()
        app.pass_minutes(LEASE)
    raise AssertionError


@pytest.fixture
def restarting(guarding: App) -> App:
    guarding.configure(BACKUP="always", MAX_ATTEMPTS="50")
    return guarding


@pytest.mark.parametrize("after", [False, True])
def test_killed_while_it_is_held(restarting: App, after: bool) -> None:
    record = send(restarting, *FILE, name=NAME)

    def step() -> None:
        for _ in range(5):
            restarting.hub.wait_idle()
            if current(restarting, record).state != "held":
                restarting.tick()

    assert until_done(restarting, step, after=after) > 5
    record = current(restarting, record)
    assert record.state == "held"
    assert [row["RowKey"][:5] for row in rows_of(restarting, "held")] == ["held-"]
    assert rows_of(restarting, "queue") == rows_of(restarting, "job") == []
    assert len(plan_rows(restarting, record)) == record.backup_lines == 3
    assert site(restarting, 0) == "a"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("decision", [approve, decline])
def test_killed_while_it_is_decided(
    restarting: App, decision: Callable[..., object], after: bool
) -> None:
    record = held(restarting, *FILE)

    def step() -> None:
        if current(restarting, record).state == "held":
            decision(restarting, record)

    assert until_done(restarting, step, after=after) > 0
    restarting.finish()
    ended = current(restarting, record)
    is_approved = decision is approve
    assert counts(ended)[:2] == (("completed", 3) if is_approved else ("cancelled", 0))
    assert len(ended.acts) == 1
    assert rows_of(restarting, "held") == rows_of(restarting, "queue") == []


@pytest.mark.parametrize("after", [False, True])
def test_killed_while_an_undo_is_made(restarting: App, after: bool) -> None:
    restarting.configure(APPROVAL="never")
    record = run(restarting, deletion(0), pump(1, "b"), device("new-1"))

    def step() -> None:
        begin_undo(restarting, record)

    assert until_done(restarting, step, after=after) > 5
    new = begin_undo(restarting, record)
    assert (new.undo_of, new.undo_number, new.lines) == (record.id, 1, 3)
    restarting.finish()
    assert counts(current(restarting, new))[:3] == ("completed", 3, 0)
    assert len(restarting.records()) == 2
    assert (site(restarting, 0), site(restarting, 1)) == ("a", "a")
    assert counts(undo(restarting, record))[:2] == ("completed", 0)
