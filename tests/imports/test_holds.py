"""Imports that are held until somebody approves them."""

from __future__ import annotations

import pytest

from shared.errors import LaterImportsError, NotPossibleError
from tests.app import App, device
from tests.imports.guards import (
    ADA,
    advance,
    approve,
    current,
    decline,
    deletion,
    held,
    is_held,
    run,
)
from tests.imports.plans import NAME, counts, pump, rows_of, send, site


def test_a_destructive_file_waits_for_its_approval(guarding: App) -> None:
    record = held(guarding, *map(deletion, range(3)), pump(7, "b"))
    assert "deletes 3 devices or modules, and 2 need no approval" in record.failure_reason
    assert rows_of(guarding, "queue") == []
    guarding.tick()
    guarding.sweep()
    assert site(guarding, 0) == "a"

    approved = approve(guarding, record)
    assert approved.state == "queued"
    guarding.finish()
    record = current(guarding, record)
    assert counts(record) == ("completed", 4, 0, 0)
    assert [state for state, _ in record.history] == [
        *("validating", "queued", "planning", "held"),
        # What deletes is compared again.
        *("queued", "planning", "queued", "starting", "running", "completed"),
    ]
    assert [act[0] for act in record.acts] == ["approve"]
    assert site(guarding, 0) is None
    assert rows_of(guarding, "held") == []


def test_a_harmless_file_passes(guarding: App) -> None:
    record = run(guarding, deletion(0), deletion(1), pump(7, "b"))
    assert counts(record) == ("completed", 3, 0, 0)
    # It is not even compared with the registry.
    record = run(guarding, device("new-1", importMode="create"), name="new.ndjson")
    assert counts(record) == ("completed", 1, 0, None)


def test_others_pass_a_held_import(guarding: App) -> None:
    record = held(guarding, *map(deletion, range(3)))
    send(guarding, pump(1, "c"), name="other.ndjson")
    advance(guarding, 4)
    assert counts(guarding.record("other.ndjson"))[:2] == ("completed", 1)
    with pytest.raises(LaterImportsError) as error:
        approve(guarding, record)
    assert error.value.imports == [guarding.record("other.ndjson").id]
    approve(guarding, record, later=1)
    guarding.finish()
    # What was changed since is not deleted.
    assert counts(guarding.record(NAME))[:3] == ("completedWithErrors", 2, 1)
    assert site(guarding, 1) == "c"


def test_another_digest_is_not_approved(guarding: App) -> None:
    record = held(guarding, *map(deletion, range(3)))
    with pytest.raises(NotPossibleError, match=record.hold.digest):
        guarding.importer.approvals.approve(record, "0" * 32, 0, ADA)


def test_declined(guarding: App) -> None:
    record = held(guarding, *map(deletion, range(3)))
    ended = decline(guarding, record, "not today")
    assert counts(ended) == ("cancelled", 0, 0, 0)
    assert "declined: not today" in ended.failure_reason
    assert [(act.name.value, act.who, act.note) for act in ended.acts] == [
        ("decline", ADA.who, "not today")
    ]
    assert rows_of(guarding, "held") == []
    with pytest.raises(NotPossibleError, match="is cancelled"):
        decline(guarding, record, "again")


def test_approving_again_changes_nothing(guarding: App) -> None:
    record = held(guarding, *map(deletion, range(3)))
    approved = approve(guarding, record)
    assert approve(guarding, record) == approved
    guarding.finish()
    assert [act.name.value for act in approve(guarding, record).acts] == ["approve"]


def test_too_many_deletes_are_held_instead_of_rejected(guarding: App) -> None:
    guarding.configure(MAX_DELETES="10", MAX_DELETE_SHARE="0.5")
    record = held(guarding, deletion(1), deletion(2), deletion(3))
    assert "MAX_DELETE_SHARE" in record.failure_reason
    ended = decline(guarding, record)
    is_held(guarding, guarding.importer.actions.retry(ended, ADA))
