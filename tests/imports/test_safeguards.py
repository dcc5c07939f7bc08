"""What has to be approved, and that nothing relaxes it after the validation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import pytest

from shared.imports.model.safeguards import Safeguards, When
from shared.imports.workflow.holds import reason_to_hold
from shared.plan.model import Action, Note
from shared.plan.planner import PlanCounts
from tests.app import App, device
from tests.imports.guards import ADA, decline, deletion, held, is_held, run
from tests.imports.plans import NAME, counts, is_exported, keys, pump, put_pumps, send, use_lookups
from tests.records import import_record

RECORD = import_record("hub", NAME, "0x1", datetime(2026, 1, 1, tzinfo=UTC))
DESTRUCTIVE = Safeguards(approval=When.DESTRUCTIVE, unapproved=10, unapproved_share=0.1)


def plan(
    *, deletes: int = 0, new_keys: int = 0, disables: int = 0, not_compared: int = 0
) -> PlanCounts:
    found = PlanCounts(new_keys=new_keys, disables=disables)
    found.actions[Action.DELETE] = deletes
    found.notes[Note.KEYS_NOT_COMPARED] = not_compared
    return found


@pytest.mark.parametrize(
    ("found", "hub_devices", "part"),
    [
        (plan(deletes=10), 1000, ""),
        (plan(deletes=11), 1000, "deletes 11 devices or modules, and 10 need no approval"),
        (plan(new_keys=11), 1000, "replaces the keys of 11 devices or modules"),
        (plan(disables=11), 1000, "disables 11 devices or modules"),
        # Each kind has the threshold to itself.
        (plan(deletes=10, new_keys=10, disables=10), 1000, ""),
        # Keys that cannot be compared may be new.
        (plan(new_keys=6, not_compared=5), 1000, "replaces the keys of 11 devices or modules"),
        # The share is the stricter one, and rounded down.
        (plan(deletes=3), 39, ""),
        (plan(deletes=4), 39, "deletes 4 devices or modules, and 3 need no approval"),
        (plan(deletes=1), 9, "deletes 1 devices or modules, and 0 need no approval"),
        (plan(deletes=1), 0, "deletes 1 devices or modules"),
        # Without statistics, the absolute one counts.
        (plan(deletes=10), None, ""),
        (plan(deletes=11), None, "deletes 11 devices or modules"),
    ],
)
def test_thresholds(found: PlanCounts, hub_devices: int | None, part: str) -> None:
    record = replace(RECORD, safeguards=DESTRUCTIVE)
    reason = reason_to_hold(record, found, hub_devices)
    assert part in reason
    assert bool(reason) is bool(part)


def test_all_reasons_are_given() -> None:
    record = replace(RECORD, safeguards=DESTRUCTIVE)
    reason = reason_to_hold(record, plan(deletes=20, disables=30), 1000)
    assert "deletes 20 devices or modules" in reason
    assert "disables 30 devices or modules" in reason


def test_never_and_always_look_at_no_count() -> None:
    never = replace(RECORD, safeguards=replace(DESTRUCTIVE, approval=When.NEVER))
    assert reason_to_hold(never, plan(deletes=1000), 1000) == ""
    always = replace(RECORD, safeguards=replace(DESTRUCTIVE, approval=When.ALWAYS))
    assert "APPROVAL=always" in reason_to_hold(always, plan(), 1000)


def test_joined_safeguards_are_the_stricter_ones() -> None:
    strict = Safeguards(
        approval=When.ALWAYS,
        unapproved=0,
        unapproved_share=0.0,
        unapproved_lines=0.0,
        deadline_days=1,
        four_eyes=True,
        backup=When.ALWAYS,
    )
    lax = Safeguards(
        approval=When.DESTRUCTIVE,
        unapproved=10,
        unapproved_share=1.0,
        unapproved_lines=1.0,
        deadline_days=7,
        four_eyes=False,
        backup=When.DESTRUCTIVE,
    )
    for one, other in permutations((strict, lax, Safeguards()), 2):
        joined = one.joined(other)
        assert joined == other.joined(one)
        assert joined == (strict if strict in (one, other) else lax)


@pytest.mark.parametrize(
    ("modes", "concerned"),
    [
        (["create", "updateTwin", "updateTwinIfMatchETag"], False),
        (["create", "delete"], True),
        (["update"], True),
        (["createOrUpdate"], True),
        # Of a retry, they are not known.
        ([], True),
    ],
)
def test_modes_that_may_destroy(modes: list[str], concerned: bool) -> None:
    assert When.DESTRUCTIVE.concerns(modes) is concerned
    assert When.ALWAYS.concerns(modes)
    assert not When.NEVER.concerns(modes)


RELAXED = {"APPROVAL": "never", "MAX_DELETES": "1000", "MAX_DELETE_SHARE": "1", "BACKUP": "never"}


def test_settings_that_are_relaxed_after_the_validation_change_nothing(guarding: App) -> None:
    is_exported(guarding, *map(deletion, range(3)))
    guarding.configure(**RELAXED)
    record = is_held(guarding, guarding.record(NAME))
    assert record.safeguards.unapproved == 2
    retry = guarding.importer.actions.retry(decline(guarding, record), ADA)
    assert retry.safeguards == record.safeguards
    is_held(guarding, retry)


def test_upload_cannot_approve_itself(guarding: App) -> None:
    metadata = {"confirmDeletes": "3", "approval": "never", "approvedby": "me", "maxdeletes": "9"}
    guarding.upload(NAME, *map(deletion, range(3)), metadata=metadata)
    guarding.deliver(NAME)
    record = is_held(guarding, guarding.record(NAME))
    assert record.acts == ()


def test_file_confirms_its_share_of_deletes_in_vain(guarding: App) -> None:
    guarding.configure(MAX_DELETES="10", MAX_DELETE_SHARE="0.5")
    guarding.upload(NAME, *map(deletion, range(3)), metadata={"confirmDeletes": "3"})
    guarding.deliver(NAME)
    assert "MAX_DELETE_SHARE" in is_held(guarding, guarding.record(NAME)).failure_reason


def test_undo_is_guarded_by_the_stricter_of_then_and_now(guarding: App) -> None:
    guarding.configure(BACKUP="always")
    record = run(guarding, *(device(f"new-{number}") for number in range(3)))
    assert record.creates == 3
    guarding.configure(**RELAXED)
    guarding.pass_minutes(40)
    new = guarding.importer.actions.undo(record, 3, ADA)
    assert new.safeguards.backup is When.ALWAYS
    assert "deletes 3 devices or modules" in is_held(guarding, new).failure_reason


def test_undo_of_an_import_that_needed_no_approval_needs_it_now(app: App) -> None:
    app.configure(BACKUP="always")
    record = run(app, device("new-1"))
    app.configure(APPROVAL="always")
    app.pass_minutes(40)
    is_held(app, app.importer.actions.undo(record, 1, ADA))


def test_retry_of_an_import_that_needed_no_approval_needs_it_now(guarding: App) -> None:
    guarding.configure(APPROVAL="never", MAX_DELETE_SHARE="1", MAX_DELETES="3")
    guarding.hub.faults.add("failJob", reason="The disk is full.")
    record = run(guarding, *map(deletion, range(3)))
    assert record.state == "failed"
    guarding.configure(APPROVAL="destructive", MAX_DELETES="2")
    retry = is_held(guarding, guarding.importer.actions.retry(record, ADA))
    assert "deletes 3 devices or modules" in retry.failure_reason


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (
            [device(f"pump-{number}", authentication=keys(99)) for number in range(3)],
            "replaces the keys of 3",
        ),
        ([pump(number, status="disabled") for number in range(3)], "disables 3 devices or modules"),
    ],
    ids=["keys", "disabled"],
)
def test_new_keys_and_disabled_devices_are_held(
    guarding: App, lines: list[dict[str, object]], part: str
) -> None:
    assert part in held(guarding, *lines).failure_reason


def test_share_of_the_hub(guarding: App) -> None:
    guarding.configure(MAX_DELETES="1000", APPROVAL_HUB_SHARE="0.1")
    record = held(guarding, *map(deletion, range(4)))
    assert "deletes 4 devices or modules, and 3 need no approval" in record.failure_reason


@pytest.mark.parametrize("is_known", [True, False])
def test_statistics_of_the_hub(guarding: App, is_known: bool) -> None:
    """Where the hub does not say how many devices it has, it exports them."""
    guarding.configure(MAX_DELETES="4", APPROVAL_HUB_SHARE="0.1")
    use_lookups(guarding)

    def lose_statistics(request: str) -> None:
        if not is_known and "/statistics/" in request:
            guarding.hub.faults.add("error", operation="registry", status=500)

    guarding.before_request = lose_statistics
    record = send(guarding, *map(deletion, range(4)))
    record = is_held(guarding, record)
    assert "3 need no approval" in record.failure_reason
    plan = guarding.importer.reader.plan(record)
    assert plan is not None
    assert plan.source == ("lookups" if is_known else "export")


def test_always_holds_what_only_creates(app: App) -> None:
    app.configure(APPROVAL="always")
    record = held(app, device("new-1", importMode="create"))
    assert "APPROVAL=always" in record.failure_reason


def test_always_does_not_hold_what_changes_nothing(app: App) -> None:
    app.configure(APPROVAL="always", APPLY="changes")
    put_pumps(app, 2)
    assert counts(run(app, pump(1))) == ("completed", 0, 0, 1)


def test_never_rejects_too_many_deletes(app: App) -> None:
    app.configure(APPROVAL="never", MAX_DELETES="2")
    record = send(app, *map(deletion, range(3)))
    assert record.state == "rejected"
    assert "too-many-deletes" in record.validation["codes"]
    assert list(app.hub.jobs) == []


def test_never_reads_nothing_of_holds_and_backups(app: App) -> None:
    with app.counting() as sent:
        app.upload(NAME, pump(1))
        app.deliver(NAME)
        app.hub.wait_idle()
        app.tick()
        app.sweep()
    assert app.record(NAME).state == "completed"
    assert [request for request in sent if "backup" in request or "statistics" in request] == []
