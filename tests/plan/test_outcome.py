"""What the plan says is what the import does, whatever nobody knows about hubs."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iothub_emulator.choices import Choices
from iothub_emulator.registry.registry import Registry
from iothub_emulator.store import Store
from shared.plan.file_devices import FileDevices
from shared.plan.planner import PlannedText
from tests.plan.fleets import Draw
from tests.plan.outcome import (
    export_of,
    imported,
    plan_of,
    rehearsal,
    snapshot_of_export,
    snapshot_of_lookups,
    staged,
    state_of,
    trials,
)

#: Cases are small as they are, and five times as many as with draws that shrink.
CHANCES = st.integers(0, 2**64 - 1).map(Random)
SOURCES = ("export", "export without keys", "lookups")


class Case:
    """A registry, a file about it, and its plan."""

    def __init__(self, chance: Random, source: str, *, is_recent: bool = False) -> None:
        self.draw = Draw(chance)
        self.choices = Choices(
            null_in_new_twin=chance.choice(("drop", "refuse")),
            reported=chance.choice(("ignore", "store")),
            other_twin_etag=chance.choice(("line", "twin")),
            absent_twin_parts=chance.choice(("keep", "clear")),
            module_before_device=chance.choice(("refuse", "wait")),
            repeated_device=chance.choice(("apply", "refuse")),
            etag_mismatch=chance.choice(("PreconditionFailed", "EtagDoesNotMatch")),
            device_registry=chance.choice(("none", "linked")),
            letter_case=chance.choice(("ignore", "exact")),
            json_syntax=chance.choice(("lenient", "strict")),
        )
        store = Store()
        # Devices have reported properties, whatever imports make of them.
        self.draw.registry(Registry(store, choices=Choices(reported="store")))
        self.registry = Registry(store, choices=self.choices)
        self.planned = state_of(self.registry)
        self.has_keys = source != "export without keys"
        lines = staged(self.draw.file(self.planned))
        devices = FileDevices(lines)
        if source == "lookups":
            snapshot = snapshot_of_lookups(self.registry, devices)
        else:
            export = export_of(self.registry, self.choices, with_keys=self.has_keys)
            snapshot = snapshot_of_export(export, devices)
        self.plan = plan_of(lines, devices, snapshot, is_recent=is_recent)

    def check(self, *, guarded: bool) -> None:
        """Import the file in some order, and compare."""
        sent = self._sent(guarded=guarded)
        with rehearsal(self.registry):
            codes = imported(self.registry, self.choices, [text for _, text in sent])
            results = trials(
                [line for line, _ in sent],
                codes,
                self.planned,
                self.planned,
                state_of(self.registry),
                has_keys=self.has_keys,
                may_be_partial=self.choices.other_twin_etag == "twin",
            )
            for trial in results:
                trial.check()

    def check_guards(self) -> None:
        """Import the guarded lines after another writer."""
        with rehearsal(self.registry):
            self.draw.other_writer(self.registry)
            before = state_of(self.registry)
            sent = self._sent(guarded=True)
            codes = imported(self.registry, self.choices, [text for _, text in sent])
            plan = [line for line, _ in sent]
            results = trials(
                plan,
                codes,
                self.planned,
                before,
                state_of(self.registry),
                may_be_partial=self.choices.other_twin_etag == "twin",
            )
            for trial in results:
                trial.check_guard()

    def _sent(self, *, guarded: bool) -> list[tuple[PlannedText, bytes]]:
        lines = [line for line in self.plan if line.guarded or not guarded]
        self.draw.chance.shuffle(lines)
        return [(line, line.guarded if guarded else line.text) for line in lines]


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=300)
@given(chance=CHANCES)
def test_each_line_does_what_its_plan_says(source: str, chance: Random) -> None:
    case = Case(chance, source)
    case.check(guarded=False)
    case.check(guarded=True)


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=300)
@given(chance=CHANCES, is_recent=st.booleans())
def test_nothing_is_overwritten_unseen(source: str, chance: Random, is_recent: bool) -> None:
    Case(chance, source, is_recent=is_recent).check_guards()
