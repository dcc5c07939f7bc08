"""An undo gives back what an import changed, and nothing that is somebody else's."""

from __future__ import annotations

import contextlib
import json
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from iothub_emulator.choices import Choices
from iothub_emulator.registry.registry import Registry
from iothub_emulator.store import Store
from shared.device_files.duplicates import fingerprint
from shared.imports.workflow.backup_making import keep_for_backup
from shared.plan.file_devices import FileDevices
from shared.plan.model import Action, Note
from shared.plan.planner import PlannedText, plan_file
from shared.plan.undo import SentLines, plan_undo
from shared.plan.undo_lines import applied_lines, undo_lines
from tests.plan.fleets import Draw, Line
from tests.plan.outcome import (
    Ids,
    export_of,
    imported,
    snapshot_of_export,
    staged,
    state_of,
)

CHANCES = st.integers(0, 2**64 - 1).map(Random)

#: Parts of a device that an undo compares one by one.
_PARTS = (
    *("status", "statusReason", "authentication", "capabilities", "deviceScope", "parentScopes"),
    *("tags", "desired", "attributes"),
)


class _RollBackError(Exception):
    pass


class Case:
    """A registry, an import of a random file that may have been cut short, and its undo."""

    def __init__(self, chance: Random) -> None:
        self.draw = Draw(chance)
        self.chance = chance
        self.choices = Choices(
            null_in_new_twin=chance.choice(("drop", "refuse")),
            other_twin_etag=chance.choice(("line", "twin")),
            absent_twin_parts=chance.choice(("keep", "clear")),
            module_before_device="refuse",
            etag_mismatch=chance.choice(("PreconditionFailed", "EtagDoesNotMatch")),
        )
        store = Store()
        self.registry = Registry(store, choices=self.choices)
        self.draw.registry(self.registry)
        self.before = state_of(self.registry)
        lines = staged(self.draw.file(self.before))
        devices = FileDevices(lines)
        export = export_of(self.registry, self.choices, with_keys=True)
        snapshot = snapshot_of_export(export, devices)
        self.plan = list(plan_file(lines, devices, snapshot))
        for line in self.plan:
            keep_for_backup(snapshot, line)
        self.backup = [
            line for line in export.splitlines() if snapshot.takes(*_ids(json.loads(line)))
        ]
        assert snapshot.left() == 0
        sent = [line.guarded for line in self.plan if line.guarded]
        chance.shuffle(sent)
        with contextlib.suppress(_RollBackError), store.transaction():
            imported(self.registry, self.choices, sent)
            #: What a whole import leaves, but for keys that the hub makes.
            self.wanted = state_of(self.registry)
            raise _RollBackError
        if chance.random() < 0.3:
            sent = sent[: chance.randint(0, len(sent))]
        self.codes = imported(self.registry, self.choices, sent)
        self.imported = state_of(self.registry)

    def may_have_made_keys(self, ids: Ids) -> bool:
        """Whether the line of a device or module has no keys, so that the hub makes some."""
        [text] = [line.text for line in self.plan if _ids(json.loads(line.text)) == ids] or [b""]
        return bool(text) and b"primaryKey" not in text

    def may_have_deleted(self, ids: Ids) -> bool:
        """Whether a line deletes a device or module; that the hub rejects it proves nothing."""
        return any(
            (line.planned.id, line.planned.module_id) in (ids, (ids[0], ""))
            and line.planned.action is Action.DELETE
            for line in self.plan
        )

    def shown(self, state: dict[Ids, Line]) -> dict[Ids, dict[str, Any]]:
        """A registry without what does not come back: modules that the hub makes."""
        return {
            ids: self._comparable(ids, line)
            for ids, line in state.items()
            if not ids[1].startswith("$")
            or (self.is_edge(self.before, ids) and self.is_edge(self.imported, ids))
        }

    def _comparable(self, ids: Ids, line: Line) -> dict[str, Any]:
        before = self.before.get(ids)
        parts = _parts(line)
        if before is not None and before["authentication"]["type"] == "selfSigned":
            prints = before["authentication"]["x509Thumbprint"].values()
            if not any(prints):
                # A hub keeps the thumbprints that a line does not have.
                parts["authentication"] = ""
        return parts

    def is_edge(self, state: dict[Ids, Line], ids: Ids) -> bool:
        device = state.get((ids[0], ""))
        return device is not None and bool(device["capabilities"]["iotEdge"])

    def undo(self, *, also_changed: bool = False) -> list[PlannedText]:
        sent = [line.guarded for line in self.plan if line.guarded]
        rejected = {(fingerprint(device), module) for device, module in self.codes}
        applied = list(applied_lines(sent, rejected))
        lines = list(undo_lines(lambda: self.backup, lambda: applied))
        devices = FileDevices(lines)
        export = export_of(self.registry, self.choices, with_keys=True)
        snapshot = snapshot_of_export(export, devices)
        with SentLines(applied) as sent_lines:
            plan = list(plan_undo(lines, devices, snapshot, sent_lines, also_changed=also_changed))
        for is_second in (False, True):
            job = [line.guarded for line in plan if line.guarded and line.is_second is is_second]
            self.chance.shuffle(job)
            codes = imported(self.registry, self.choices, job)
            assert codes == {}, job
        return plan


@settings(max_examples=600)
@given(chance=CHANCES)
def test_the_registry_is_what_it_was(chance: Random) -> None:
    case = Case(chance)
    plan = case.undo()
    if any(Note.SCOPE_NOT_RESTORED in line.planned.notes for line in plan):
        plan += case.undo()
    assert {Action.LEFT_OUT, Action.FAIL}.isdisjoint(line.planned.action for line in plan)
    assert case.shown(state_of(case.registry)) == case.shown(case.before)


@settings(max_examples=600)
@given(chance=CHANCES)
def test_nothing_of_others_is_lost(chance: Random) -> None:
    case = Case(chance)
    case.draw.other_writer(case.registry)
    theirs = state_of(case.registry)
    case.undo()
    after = state_of(case.registry)
    for ids in theirs.keys() | after.keys() | case.imported.keys():
        now, left, before = theirs.get(ids), case.imported.get(ids), case.before.get(ids)
        if now is None:
            if left is not None and not case.may_have_deleted(ids):
                # They deleted it.
                assert ids not in after, ids
            continue
        # An undo trusts no counts: what the import was to leave is known, too.
        states = (before, left, case.wanted.get(ids))
        known = [_parts(line) for line in states if line is not None]
        is_foreign = any(
            all(part != candidate[name] for candidate in known)
            for name, part in _parts(now).items()
            # Keys that the hub made cannot be told from others.
            if name != "authentication" or not case.may_have_made_keys(ids)
        )
        if is_foreign:
            assert ids in after, ids
            assert _parts(after[ids]) == _parts(now), ids


def _ids(line: Line) -> Ids:
    return line["id"], line.get("moduleId") or ""


def _parts(line: Line) -> dict[str, Any]:
    authentication = line["authentication"]
    # Keys and thumbprints that a device has without using them may stay.
    used = {"sas": "symmetricKey", "selfSigned": "x509Thumbprint"}.get(authentication["type"], "")
    flat = {
        **line,
        "authentication": [authentication["type"], authentication.get(used)],
        "desired": line["properties"]["desired"],
    }
    is_edge = line["capabilities"]["iotEdge"]
    flat["deviceScope"] = None if is_edge else flat.get("deviceScope") or None
    flat["parentScopes"] = flat.get("parentScopes") or []
    flat["attributes"] = flat.get("attributes") or {}
    return {name: json.dumps(flat.get(name), sort_keys=True) for name in _PARTS}
