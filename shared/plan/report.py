"""A plan as people and programs read it: counts, the first changes, and a table of all lines."""

from __future__ import annotations

import functools
import json
from hashlib import blake2b
from typing import Any

from shared.csv_text import csv_row
from shared.hub.explain import code_label, remedy_of
from shared.plan.model import Action, PlannedLine, PropertyChange
from shared.plan.planner import PlanCounts, PlannedText
from shared.plan.snapshot import Snapshot
from shared.redaction import REDACTED, redact, redact_id
from shared.text import well_formed

__all__ = ["CSV_HEADER", "PlanReport", "counts_json", "csv_line", "line_json", "summary_line"]

#: Changed lines that are listed.
MAX_LISTED = 1000
#: Bytes of the lines that are listed: who reads a plan is to be able to show it.
MAX_BYTES = 2 * 1024 * 1024
#: Properties that are listed of one line.
MAX_PROPERTIES = 50
#: No secret by itself.
_PROBE = "swordfish"
#: Characters of a value that are shown.
MAX_VALUE = 1000

_COLUMNS = (
    *("line", "id", "moduleId", "importMode", "action", "properties", "newKeys"),
    *("code", "remedy", "notes"),
)
CSV_HEADER = csv_row(_COLUMNS)


class PlanReport:
    """Collects the plan of a file line by line."""

    def __init__(self, snapshot: Snapshot, *, source: str, max_listed: int = MAX_LISTED) -> None:
        """Begin a plan.

        Args:
            source: how the registry was read: `export` or `lookups`.
            max_listed: how many lines that are not unchanged are listed.
        """
        self.counts = PlanCounts()
        self._snapshot = snapshot
        self._source = source
        self._max_listed = max_listed
        self._destructive: list[tuple[int, PlannedLine]] = []
        self._others: list[tuple[int, PlannedLine]] = []
        #: Lines that are sent although no change is known.
        self._unsure: list[tuple[int, PlannedLine]] = []
        self._digest = blake2b(digest_size=16)

    @property
    def digest(self) -> str:
        """Identifies what the import does: 32 hexadecimal digits."""
        return self._digest.hexdigest()

    @property
    def listed(self) -> list[tuple[int, PlannedLine]]:
        """The first lines that are not unchanged, with their numbers in the uploaded file.

        Lines that destroy something come first, those that are sent although no change is known
        come last.
        """
        return [*self._destructive, *self._others, *self._unsure][: self._max_listed]

    @property
    def is_truncated(self) -> bool:
        changed = self.counts.actions.total() - self.counts.actions[Action.UNCHANGED]
        return changed > self._max_listed

    def add(self, line: PlannedText, upload_line: int) -> None:
        planned = line.planned
        self.counts.add(planned)
        self._digest.update(f"{upload_line} {planned.action} {planned.code}\n".encode())
        self._digest.update(line.guarded)
        if planned.action is Action.UNCHANGED:
            return
        is_unsure = planned.action is Action.UPDATE and not planned.changes
        listed = self._unsure if is_unsure else self._others
        if planned.is_destructive:
            listed = self._destructive
        if len(listed) < self._max_listed:
            listed.append((upload_line, planned))

    def to_json(self) -> dict[str, Any]:
        """plan.json, without keys and other secrets."""
        counts = self.counts
        changes, size = [], 0
        for number, planned in self.listed:
            change = line_json(number, planned)
            size += len(json.dumps(change, ensure_ascii=False, indent=2).encode())
            if size > MAX_BYTES:
                break
            changes.append(change)
        return {
            "asOf": self._snapshot.as_of.isoformat(),
            "source": self._source,
            "keysCompared": self._snapshot.has_keys,
            "hubDevices": self._snapshot.devices,
            "digest": self.digest,
            "counts": counts_json(counts),
            "codes": [
                {"code": code_label(code), "count": count, "remedy": remedy_of(code)}
                for code, count in counts.codes.most_common()
            ],
            "notes": [
                {"note": note.value, "count": count, "text": note.text}
                for note, count in counts.notes.most_common()
            ],
            "changes": changes,
            "truncated": self.is_truncated or len(changes) < len(self.listed),
        }


def counts_json(counts: PlanCounts) -> dict[str, int]:
    actions = counts.actions
    return {
        "create": actions[Action.CREATE],
        "update": actions[Action.UPDATE],
        "newKeys": counts.new_keys,
        "disable": counts.disables,
        "unchanged": actions[Action.UNCHANGED],
        "delete": actions[Action.DELETE],
        "deletedModules": counts.deleted_modules,
        "leftOut": actions[Action.LEFT_OUT],
        "fail": actions[Action.FAIL],
    }


def summary_line(counts: PlanCounts, left_out: int = 0) -> str:
    """The plan in one line, whose form does not change.

    Args:
        left_out: lines that the validation left out.
    """
    actions = counts.actions
    return (
        f"Plan: {actions[Action.CREATE]} to create, {actions[Action.UPDATE]} to update "
        f"({counts.new_keys} get new keys), {actions[Action.UNCHANGED]} unchanged, "
        f"{actions[Action.DELETE]} to delete, {actions[Action.LEFT_OUT] + left_out} left out, "
        f"{actions[Action.FAIL]} would fail"
    )


def line_json(number: int, planned: PlannedLine) -> dict[str, Any]:
    """One line of a plan."""
    return {
        "line": number,
        "id": redact_id(planned.id),
        **({"moduleId": redact_id(planned.module_id)} if planned.module_id else {}),
        "importMode": planned.mode.value,
        "action": planned.action.value,
        "newKeys": planned.new_keys and planned.new_keys.value,
        "deletedModules": planned.deleted_modules,
        "code": code_label(planned.code) if planned.code else "",
        "remedy": remedy_of(planned.code) if planned.code else "",
        "notes": [note.value for note in planned.notes],
        "changes": [*map(_change_json, planned.changes[:MAX_PROPERTIES])],
        "truncated": len(planned.changes) > MAX_PROPERTIES,
    }


def csv_line(number: int, planned: PlannedLine) -> str:
    """One row of plan.csv: names of properties without values."""
    names = dict.fromkeys(_shown_field(change) for change in planned.changes[:MAX_PROPERTIES])
    return csv_row(
        (
            number,
            redact_id(planned.id),
            planned.module_id and redact_id(planned.module_id),
            planned.mode.value,
            planned.action.value,
            " ".join(names),
            planned.new_keys and planned.new_keys.value,
            code_label(planned.code) if planned.code else "",
            remedy_of(planned.code) if planned.code else "",
            " ".join(note.value for note in planned.notes),
        )
    )


def _change_json(change: PropertyChange) -> dict[str, Any]:
    values = {}
    if change.is_shown:
        values = {
            "old": _shown(change.field, change.old),
            "new": _shown(change.field, change.new),
        }
    return {
        "property": _shown_field(change),
        **values,
        "certain": change.is_certain,
    }


def _shown_field(change: PropertyChange) -> str:
    return redact(well_formed(change.field[:MAX_VALUE]))[:MAX_VALUE]


def _shown(field: str, value: Any) -> Any:
    """A value without secrets, or the beginning of its JSON if it is long."""
    if value is not None and any(map(_names_secret, field.split("."))):
        return REDACTED
    value = _without_secrets(value)
    text = well_formed(json.dumps(value, ensure_ascii=False))
    return value if len(text) <= MAX_VALUE else text[:MAX_VALUE]


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            redact(name): REDACTED if _names_secret(name) else _without_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [*map(_without_secrets, value)]
    return redact(well_formed(value)) if isinstance(value, str) else value


@functools.lru_cache
def _names_secret(name: str) -> bool:
    """Whether what has this name is secret, whatever it is."""
    probe = json.dumps({name: _PROBE})
    return redact(probe) != probe
