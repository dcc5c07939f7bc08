"""Whether an import does what its plan says: each line's state before and after, and its error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from iothub_emulator.api.documents import device_document, module_document, twin_document
from iothub_emulator.choices import Choices
from iothub_emulator.errors import ErrorCode
from iothub_emulator.jobs.importing import DeviceImport
from iothub_emulator.jobs.runner import KEYLESS_NOTE
from iothub_emulator.registry.device_registry import registry_properties
from iothub_emulator.registry.entries import FIRST_KEY, Entry, Kind
from iothub_emulator.registry.registry import Registry
from shared.device_files.limits import Limits
from shared.device_files.validation import Validation
from shared.hub.registry import export_line
from shared.plan.entries import read_entry
from shared.plan.file_devices import FileDevices
from shared.plan.model import Action, Note
from shared.plan.planner import PlannedText, plan_file
from shared.plan.snapshot import Snapshot, export_lines
from tests.plan.fleets import Line

__all__ = [
    *("AS_OF", "Ids", "State", "Trial", "export_of", "imported", "plan_of", "rehearsal"),
    *("snapshot_of_export", "snapshot_of_lookups", "staged", "state_of", "trials"),
]

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
_VERSION = "2021-04-12"

Ids = tuple[str, str]
State = Mapping[Ids, Line]

_MAY_FAIL = {Note.DEPENDS_ON_ORDER, Note.NULL_MAY_FAIL}
_MISMATCHES = {"PreconditionFailed", "EtagDoesNotMatch"}
#: Of a module whose device the file also creates or deletes.
_MISSING = {"DeviceNotFound", "ModuleNotFound"}


def _entries(registry: Registry) -> list[Entry]:
    return registry.scan(Kind.ALL, FIRST_KEY, 1000)


def state_of(registry: Registry) -> dict[Ids, Line]:
    """The registry as an export with keys shows it."""
    return {
        (entry.identity.key.device_id, entry.identity.key.module_id or ""): entry.to_json()
        for entry in _entries(registry)
    }


def export_of(registry: Registry, choices: Choices, *, with_keys: bool) -> bytes:
    lines = [] if with_keys else [KEYLESS_NOTE]
    for entry in _entries(registry):
        line = entry.to_json(with_keys=with_keys)
        if choices.device_registry == "linked" and entry.identity.key.module_id is None:
            line |= registry_properties(entry)
        lines.append(json.dumps(line) + "\n")
    return "".join(lines).encode()


def staged(lines: Iterable[Line]) -> list[bytes]:
    """The lines that pass the validation, as the app stages them."""
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    validation = Validation(Limits(max_deletes=1000, max_delete_share=1))
    return b"".join(validation.run([data])).splitlines()


def snapshot_of_export(export: bytes, devices: FileDevices) -> Snapshot:
    snapshot = Snapshot(AS_OF, has_keys=True)
    snapshot.read_export(export_lines([export]), devices.__contains__)
    return snapshot


def snapshot_of_lookups(registry: Registry, devices: FileDevices) -> Snapshot:
    snapshot = Snapshot(AS_OF, has_keys=True)
    for entry in _entries(registry):
        key = entry.identity.key
        if key.device_id in devices:
            document = module_document if key.module_id else device_document
            line = export_line(document(entry, _VERSION), twin_document(entry, _VERSION))
            snapshot.add(*read_entry(json.dumps(line).encode()))
    return snapshot


def plan_of(
    lines: list[bytes], devices: FileDevices, snapshot: Snapshot, *, is_recent: bool = False
) -> list[PlannedText]:
    with snapshot:
        return list(plan_file(lines, devices, snapshot, lambda _: is_recent))


def imported(registry: Registry, choices: Choices, lines: Iterable[bytes]) -> dict[Ids, str]:
    """Import lines; the code of each that failed."""
    work = DeviceImport(registry, choices)
    errors = [*work.apply(line.decode() for line in lines), *work.finish()]
    codes = {}
    for error in map(json.loads, errors):
        ids = error["deviceId"], error.get("moduleId", "")
        assert ids not in codes, error
        codes[ids] = ErrorCode(error["errorCode"]).name
    return codes


class _UndoneError(Exception):
    pass


@contextmanager
def rehearsal(registry: Registry) -> Iterator[None]:
    """Undo at the end what the block does to the registry."""
    try:
        with registry.transaction():
            yield
            raise _UndoneError
    except _UndoneError:
        pass


@dataclass(frozen=True)
class Trial:
    """One line of an import."""

    line: PlannedText
    #: As the registry was planned, and as it was before and after the import.
    planned: Line | None
    before: Line | None
    after: Line | None
    #: The hub's code, "" if the line was applied or not sent.
    code: str
    #: Whether a line of the import deleted the module's device.
    is_swept: bool
    #: Modules that the device had.
    modules: int = 0
    has_keys: bool = True
    #: Whether the hub applies the identity of a line although it refuses the twin.
    may_be_partial: bool = False

    def check(self) -> None:
        """Check that an import without another writer did what the plan says."""
        plan = self.line.planned
        if plan.action is Action.FAIL:
            assert self._is_code(plan.code), self
            self._check_refused()
        elif self.code:
            assert not _MAY_FAIL.isdisjoint(plan.notes), self
            self._check_refused()
        elif plan.action is Action.DELETE:
            assert self.before is not None, self
            assert self.after is None, self
            assert Note.DEPENDS_ON_ORDER in plan.notes or plan.deleted_modules == self.modules, self
        elif self.is_swept:
            assert Note.DEPENDS_ON_ORDER in plan.notes, self
        elif plan.action is Action.CREATE:
            assert self.before is None, self
            assert self.after is not None, self
        else:
            self._check_changes()

    def check_guard(self) -> None:
        """Check that a guarded line overwrote nothing that the plan did not see."""
        plan = self.line.planned
        if not plan.action.is_sent or self.is_swept:
            return
        if self.code:
            self._check_refused()
            if self.before != self.after:
                # Of a guarded line, it was the identity that the plan saw.
                assert _identity(self.before) == _identity(self.planned), self
        elif plan.action is Action.CREATE:
            assert self.before is None, self
        elif plan.action is Action.DELETE:
            assert _identity(self.before) == _identity(self.planned), self
        elif plan.mode.updates_twin:
            assert self.before is not None, self
            assert self.planned is not None, self
            assert self.before["twinETag"] == self.planned["twinETag"], self
            # A device that was deleted and created again may have the same twinETag.
            if self.before["eTag"] == self.planned["eTag"]:
                assert self.before == self.planned, self
        else:
            assert self.before == self.planned, self

    def _check_refused(self) -> None:
        """Check that a line that the hub refused changed nothing but the identity, if that."""
        if self.is_swept or self.before == self.after:
            return
        assert self.may_be_partial, self
        assert self.code in _MISMATCHES, self
        assert b"twinETag" in self.line.guarded or b"twinETag" in self.line.text, self
        assert self.before is not None, self
        assert self.after is not None, self
        assert _twin(self.before) == _twin(self.after), self

    def _is_code(self, code: str) -> bool:
        if self.code in _MISMATCHES:
            return code == "PreconditionFailed"
        if self.code == "ArgumentInvalid" and b"null" in self.line.text:
            # Hubs check the twin first, if they reject null.
            return True
        depends = Note.DEPENDS_ON_ORDER in self.line.planned.notes
        return self.code == code or (depends and self.code in _MISSING)

    def _check_changes(self) -> None:
        plan = self.line.planned
        assert self.before is not None, self
        assert self.after is not None, self
        changed = set(_changed(self.before, self.after))
        if not self.has_keys and self.before["authentication"]["type"] != "sas":
            # Keys that a device has without using them are not in the export.
            changed.discard(_KEYS)
        named = {change.field for change in plan.changes if "$metadata" not in change.field}
        certain = {change.field for change in plan.changes if change.is_certain}
        if not self.has_keys and self.before["authentication"]["type"] != "sas":
            certain.discard(_KEYS)
        for field in changed:
            assert any(_is_within(field, name) for name in named), (field, self)
        for name in certain:
            assert any(_is_within(field, name) for field in changed), (name, self)
        if plan.action is Action.UNCHANGED:
            assert not plan.changes, self
        if plan.action is Action.UPDATE and not plan.changes:
            assert Note.DEPENDS_ON_ORDER in plan.notes, self
        if Note.KEYS_NOT_COMPARED not in plan.notes:
            is_new = _credentials(self.before) != _credentials(self.after)
            assert (plan.new_keys is not None) == is_new, self
        is_disabled = (self.before["status"], self.after["status"]) == ("enabled", "disabled")
        assert plan.disables == is_disabled, self


def trials(
    plan: Iterable[PlannedText],
    codes: Mapping[Ids, str],
    planned: State,
    before: State,
    after: State,
    *,
    has_keys: bool = True,
    may_be_partial: bool = False,
) -> Iterator[Trial]:
    swept = {ids[0] for ids in before if not ids[1] and ids not in after}
    for line in plan:
        ids = (line.planned.id, line.planned.module_id)
        yield Trial(
            line,
            planned.get(ids),
            before.get(ids),
            after.get(ids),
            codes.get(ids, ""),
            is_swept=bool(ids[1]) and ids[0] in swept,
            modules=0 if ids[1] else sum(1 for other in before if other[0] == ids[0]) - 1,
            has_keys=has_keys,
            may_be_partial=may_be_partial,
        )


_TWIN = ("twinETag", "tags", "properties")


def _identity(line: Line | None) -> Any:
    return line and {name: value for name, value in line.items() if name not in _TWIN}


def _twin(line: Line) -> Any:
    return {name: line.get(name) for name in _TWIN}


def _is_within(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _credentials(line: Line) -> Any:
    """What a device needs to connect."""
    authentication = line["authentication"]
    kind = authentication["type"]
    if kind == "sas":
        return kind, authentication["symmetricKey"]
    if kind == "selfSigned":
        prints = authentication["x509Thumbprint"].values()
        return kind, [(print_ or "").lower() for print_ in prints]
    return kind


def _changed(before: Line, after: Line) -> Iterator[str]:
    old, new = _flat(before), _flat(after)
    for field in {**old, **new}:
        if old.get(field) != new.get(field):
            yield field


def _flat(line: Line) -> dict[str, str]:
    """The JSON of each property, by its path."""
    whole = {**line, "deviceScope": line.get("deviceScope") or None}
    whole["parentScopes"] = whole.get("parentScopes") or []
    flat: dict[str, str] = {}

    def add(path: str, value: Any) -> None:
        if isinstance(value, dict) and value and path not in _WHOLE:
            for name, item in value.items():
                add(f"{path}.{name}" if path else name, item)
        else:
            flat[path] = json.dumps(value)

    add("", {name: value for name, value in whole.items() if name not in ("eTag", "twinETag")})
    return flat


_KEYS = "authentication.symmetricKey"
_WHOLE = (_KEYS, "authentication.x509Thumbprint")
