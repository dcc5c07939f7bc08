"""The plan of an import as its page shows it: bars, what is not known, and the first changes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from shared.imports.operate.plan_report import Change, ChangedLine, StoredPlan
from shared.plan.model import Action, NewKeys, Note
from shared.web.chart import bar_parts

__all__ = ["view_of"]

#: Lines, properties of a line, and characters of a value.
MAX_LINES, MAX_CHANGES, MAX_VALUE = 50, 8, 80
#: Lines that are not folded.
MAX_OPEN = 10

_LABELS = {
    Action.CREATE: "create",
    Action.UPDATE: "update",
    Action.UNCHANGED: "unchanged",
    Action.DELETE: "delete",
    Action.LEFT_OUT: "left out",
    Action.FAIL: "would fail",
}
_NEW_KEYS = {
    NewKeys.REPLACED: "new keys",
    NewKeys.MADE_BY_HUB: "new keys, made by the hub",
    NewKeys.OTHER_TYPE: "other type of authentication",
    NewKeys.OTHER_THUMBPRINT: "other certificate",
}


def view_of(plan: StoredPlan) -> Mapping[str, Any]:
    """What the page shows of a plan."""
    lines = plan.changes[:MAX_LINES]
    # The counts above the lines have it already: it would only make the page longer.
    of_all = set.intersection(*(set(line.notes) for line in lines)) if len(lines) > 1 else set()
    return {
        "as_of": plan.as_of,
        "source": "an export" if plan.source == "export" else "lookups",
        "hub_devices": plan.hub_devices,
        "parts": _parts(plan),
        "notes": [(note.note.text, note.count) for note in plan.notes],
        "lines": [_line(line, of_all) for line in lines],
        "is_cut": plan.truncated or len(plan.changes) > MAX_LINES,
        "max_open": MAX_OPEN,
    }


def _parts(plan: StoredPlan) -> Sequence[Mapping[str, Any]]:
    counts = plan.counts
    of_updates = _details(("new keys", counts.new_keys), ("disabled", counts.disable))
    of_deletes = _details(("modules", counts.deleted_modules))
    parts = [
        ("create", "to create", counts.create),
        ("update", f"to update{of_updates}", counts.update),
        ("unchanged", "unchanged", counts.unchanged),
        ("delete", f"to delete{of_deletes}", counts.delete),
        ("left", "left out", counts.left_out or None),
        ("fail", "would fail", counts.fail or None),
    ]
    return bar_parts(parts, max(1, sum(count or 0 for _, _, count in parts)))


def _details(*counts: tuple[str, int]) -> str:
    shown = ", ".join(f"{name}: {count:,}" for name, count in counts if count)
    return f" ({shown})" if shown else ""


def _line(line: ChangedLine, of_all: Collection[Note]) -> Mapping[str, Any]:
    return {
        "line": line.line,
        "id": f"{line.id}/{line.module_id}" if line.module_id else line.id,
        "action": _LABELS[line.action],
        "kind": "left" if line.action is Action.LEFT_OUT else line.action.value,
        "facts": [*_facts(line)],
        "changes": [_change(change) for change in line.changes[:MAX_CHANGES]],
        "more": max(0, len(line.changes) - MAX_CHANGES),
        "is_cut": line.truncated,
        "notes": [note.text for note in line.notes if note not in of_all],
    }


def _facts(line: ChangedLine) -> Iterator[str]:
    if line.new_keys:
        yield _NEW_KEYS[line.new_keys]
    if line.deleted_modules:
        yield f"with {line.deleted_modules:,} module{'' if line.deleted_modules == 1 else 's'}"
    if line.code:
        yield f"{line.code}: {line.remedy}"


def _change(change: Change) -> Mapping[str, str]:
    """A property with its values, as far as they may be shown."""
    old, new = map(_shown, (change.old, change.new))
    if change.old is None and change.new is None:
        # Keys, or what no export contains.
        text = "changed" if change.certain else "not compared"
    elif change.old is None:
        text = f"{new} added"
    elif change.new is None:
        text = f"{old} removed"
    else:
        text = f"{old} → {new}"
    return {"property": change.property, "text": text}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
