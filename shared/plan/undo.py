"""What gives back what an import changed: lines that restore its devices, planned like any others.

A device is restored only if each part of it is as it was before the import or as the import left
it; the parts count one by one, since an import may have been applied in part. Otherwise somebody
changed it since, and it is left out unless that is asked for.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Self

import msgspec

from shared.device_files.duplicates import fingerprint
from shared.plan import twins
from shared.plan.entries import Entry, FileLine, read_file_line
from shared.plan.file_devices import FileDevices
from shared.plan.known_states import is_known
from shared.plan.line_plan import Device, Fate, guarded, plan_line
from shared.plan.model import Action, Note, PlannedLine
from shared.plan.planner import PlannedText
from shared.plan.snapshot import Snapshot
from shared.plan.undo_lines import is_of_hub

__all__ = ["SentLines", "plan_undo"]

#: As the hub builds it: the parent's id, and a number.
_SCOPE = re.compile(r"ms-azure-iot-edge://(.+)-[0-9]+")


class SentLines:
    """The lines that an import sent, by device and module, in a temporary database.

    Like `Snapshot`, it contains digests of keys instead of keys.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        """Read them.

        Raises:
            RegistryLineError: one was not validated.
        """
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA cache_size = -16384",
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "CREATE TABLE lines (device INTEGER, module_id TEXT, line BLOB)",
            "CREATE INDEX devices ON lines (device)",
            "BEGIN",
        ):
            self._database.execute(statement)
        encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(FileLine).decode
        self._database.executemany(
            "INSERT INTO lines VALUES (?, ?, ?)",
            (
                (fingerprint(line.id), line.module_id, encode(line))
                for line in map(read_file_line, lines)
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def deletes(self, device_id: str, module_id: str) -> bool:
        """Whether a line was sent that deletes a device or module, or the device of the module."""
        lines = [self.find(device_id)]
        if module_id:
            lines.append(self.find(device_id, module_id))
        return any(line is not None and line.mode.deletes for line in lines)

    def find(self, device_id: str, module_id: str = "") -> FileLine | None:
        """The line that was sent for a device or module."""
        row = self._database.execute(
            "SELECT line FROM lines WHERE device = ? AND module_id = ?",
            (fingerprint(device_id), module_id),
        ).fetchone()
        return None if row is None else self._decode(row[0])


def plan_undo(
    lines: Iterable[bytes],
    devices: FileDevices,
    snapshot: Snapshot,
    sent: SentLines,
    is_recent: Callable[[str], bool] = lambda _: False,
    *,
    also_changed: bool = False,
) -> Iterator[PlannedText]:
    """Plan each line of an undo.

    Args:
        lines: made by `restoring_line` and `removing_line`; devices precede their modules.
        devices: has read the same lines.
        sent: by the import that is undone.
        is_recent: whether a device may have changed since the snapshot was read.
        also_changed: whether devices are restored, too, that somebody changed since.

    Raises:
        RegistryLineError: a line is not valid.
    """
    return _UndoPlanner(devices, snapshot, sent, is_recent, also_changed).plan(lines)


class _UndoPlanner:
    def __init__(
        self,
        devices: FileDevices,
        snapshot: Snapshot,
        sent: SentLines,
        is_recent: Callable[[str], bool],
        also_changed: bool,
    ) -> None:
        self._devices = devices
        self._snapshot = snapshot
        self._sent = sent
        self._is_recent = is_recent
        self._also_changed = also_changed
        #: By fingerprint: what happens to devices whose modules may have lines.
        self._fates: dict[int, Action] = {}

    def plan(self, lines: Iterable[bytes]) -> Iterator[PlannedText]:
        for number, text in enumerate(lines, 1):
            line = read_file_line(text)
            # First, as it may look the device up again.
            is_stale = self._is_recent(line.id)
            now = self._snapshot.find(line.id, line.module_id)
            if line.mode.deletes:
                planned = self._removed(line, now, is_stale=is_stale)
            else:
                text, line = self._with_attributes(text, line)
                text, line, lost = self._with_scopes(text, line, now)
                planned = self._restored(line, now, is_stale=is_stale)
                # A hub takes the scope of a device away that ceases to be an edge device.
                ceases = now is not None and now.iot_edge and not line.iot_edge
                if planned.action.is_sent and (lost or (ceases and line.device_scope)):
                    planned = _noted(planned, Note.SCOPE_NOT_RESTORED)
            if not line.module_id and self._devices.added_modules(line.id):
                self._fates[fingerprint(line.id)] = planned.action
            is_sent = planned.action.is_sent
            yield PlannedText(
                number,
                planned,
                text,
                guarded(text, line, now) if is_sent else b"",
                is_second=Note.AFTER_ITS_DEVICE in planned.notes,
            )

    def _removed(self, line: FileLine, now: Entry | None, *, is_stale: bool) -> PlannedLine:
        """What becomes of what was not there before."""
        if now is None:
            planned = PlannedLine(line.id, line.module_id, line.mode, Action.UNCHANGED)
            if not is_stale:
                return planned
            # It may be there, and nothing is known by which a deletion could be guarded.
            failing = replace(planned, action=Action.FAIL, code="DeviceNotFound")
            return _noted(failing, Note.IMPORTED_RECENTLY)
        modules = 0 if line.module_id else self._snapshot.modules(line.id)
        planned = plan_line(line, now, Device(modules=modules))
        is_known = self._is_known(line, now, None) and (
            bool(line.module_id) or self._knows_modules(line.id)
        )
        return planned if is_known or self._also_changed else _left_out(planned)

    def _restored(self, line: FileLine, now: Entry | None, *, is_stale: bool) -> PlannedLine:
        """What becomes of what was there before."""
        if now is None and line.module_id:
            fate = self._fates.get(fingerprint(line.id))
            if fate is Action.LEFT_OUT:
                return _left_out(PlannedLine(line.id, line.module_id, line.mode, Action.CREATE))
        planned = plan_line(line, now, self._device_of(line))
        if planned.action is Action.UNCHANGED:
            if is_stale:
                # It may have been changed since: then it fails under its guard.
                return _noted(replace(planned, action=Action.UPDATE), Note.IMPORTED_RECENTLY)
            return planned
        if now is None:
            is_known = self._sent.deletes(line.id, line.module_id)
            if planned.action is Action.CREATE:
                planned = self._made_again(line, planned)
        else:
            is_known = self._is_known(line, now, line)
        return planned if is_known or self._also_changed else _left_out(planned)

    def _made_again(self, line: FileLine, planned: PlannedLine) -> PlannedLine:
        notes = tuple(note for note in planned.notes if note is not Note.DEPENDS_ON_ORDER)
        planned = _noted(replace(planned, notes=notes), Note.MADE_AGAIN)
        if line.module_id and not self._snapshot.has_device(line.id):
            return _noted(planned, Note.AFTER_ITS_DEVICE)
        return planned

    def _device_of(self, line: FileLine) -> Device:
        if not line.module_id:
            return Device()
        if self._snapshot.has_device(line.id):
            fate = Fate.KEPT
        elif self._fates.get(fingerprint(line.id)) is Action.CREATE:
            fate = Fate.CREATED
        else:
            fate = Fate.MISSING
        added = self._devices.added_modules(line.id)
        return Device(fate, self._snapshot.modules(line.id), added)

    def _is_known(self, line: FileLine, now: Entry, before: FileLine | None) -> bool:
        sent = self._sent.find(line.id, line.module_id)
        return is_known(now, before, None if sent is not None and sent.mode.deletes else sent)

    def _knows_modules(self, device_id: str) -> bool:
        """Whether the import made all modules of a device that it made."""
        for module_id, entry in self._snapshot.modules_of(device_id):
            if is_of_hub(module_id):
                if twins.stored_values(entry.desired):
                    return False
                continue
            sent = self._sent.find(device_id, module_id)
            if sent is None or not is_known(entry, None, sent):
                return False
        return True

    def _with_attributes(self, text: bytes, line: FileLine) -> tuple[bytes, FileLine]:
        """The line of a device that had no attributes: an update that omits them keeps them."""
        sent = self._sent.find(line.id, line.module_id)
        if line.attributes is not None or sent is None or sent.attributes is None:
            return text, line
        members = msgspec.json.decode(text, type=dict[str, Any])
        text = msgspec.json.encode({**members, "attributes": {}})
        return text, read_file_line(text)

    def _with_scopes(
        self, text: bytes, line: FileLine, now: Entry | None
    ) -> tuple[bytes, FileLine, bool]:
        """The line without scopes of parents that are made again, and get others.

        Returns:
            Also whether there are such.
        """
        scopes = filter(None, (line.device_scope, *line.parent_scopes))
        if not any(map(self._is_lost, scopes)):
            return text, line, False
        members = msgspec.json.decode(text, type=dict[str, Any])
        for name in ("deviceScope", "parentScopes"):
            members.pop(name, None)
        if now is not None and not line.iot_edge and now.device_scope:
            members["deviceScope"] = now.device_scope
        if now is not None and now.parent_scopes:
            members["parentScopes"] = list(now.parent_scopes)
        text = msgspec.json.encode(members)
        return text, read_file_line(text), True

    def _is_lost(self, scope: str) -> bool:
        match = _SCOPE.fullmatch(scope)
        if match is None or match[1] not in self._devices:
            return False
        parent = self._snapshot.find(match[1])
        return parent is None or parent.device_scope != scope


def _left_out(planned: PlannedLine) -> PlannedLine:
    notes = (Note.CHANGED_SINCE,)
    return replace(planned, action=Action.LEFT_OUT, notes=notes, new_keys=None, disables=False)


def _noted(planned: PlannedLine, note: Note) -> PlannedLine:
    return replace(planned, notes=(note, *planned.notes))
