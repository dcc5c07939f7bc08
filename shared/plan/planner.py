"""The plan of a whole file: its second reading, line by line against a snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from shared.plan.entries import Entry, FileLine, read_file_line
from shared.plan.file_devices import FileDevices
from shared.plan.line_plan import Device, Fate, guarded, plan_line
from shared.plan.model import Action, Note, PlannedLine
from shared.plan.snapshot import Snapshot

__all__ = ["PlanCounts", "PlannedText", "plan_file"]


@dataclass
class PlanCounts:
    """How many lines a plan has of each kind."""

    actions: Counter[Action] = field(default_factory=Counter)
    #: Updates after which former credentials do not work.
    new_keys: int = 0
    #: Enabled devices that are disabled.
    disables: int = 0
    #: Modules that are deleted with their devices.
    deleted_modules: int = 0
    #: Lines that would fail, by the hub's code.
    codes: Counter[str] = field(default_factory=Counter)
    notes: Counter[Note] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        return sum(count for action, count in self.actions.items() if action.is_sent)

    def add(self, planned: PlannedLine) -> None:
        self.actions[planned.action] += 1
        self.new_keys += planned.new_keys is not None
        self.disables += planned.disables
        self.deleted_modules += planned.deleted_modules
        if planned.code:
            self.codes[planned.code] += 1
        self.notes.update(planned.notes)


@dataclass(frozen=True, slots=True)
class PlannedText:
    """A line of the staged file with its plan."""

    #: Of the staged file, from 1.
    number: int
    planned: PlannedLine
    text: bytes
    #: As it is sent, under its guards; b"" if it is not sent.
    guarded: bytes
    #: Whether it is sent in a second job, since it needs devices that the first one makes.
    is_second: bool = False


def plan_file(
    lines: Iterable[bytes],
    devices: FileDevices,
    snapshot: Snapshot,
    is_recent: Callable[[str], bool] = lambda _: False,
    *,
    sends_unchanged: bool = False,
) -> Iterator[PlannedText]:
    """Plan each line of a file.

    Args:
        lines: the validated lines of the file, the same that `devices` has read.
        is_recent: whether a device may have changed since the snapshot was read.
        sends_unchanged: whether lines that change nothing are sent, too.

    Raises:
        RegistryLineError: a line was not validated.
    """
    for number, text in enumerate(lines, 1):
        line = read_file_line(text)
        # First, as it may look the device up again.
        is_stale = is_recent(line.id)
        present = snapshot.find(line.id, line.module_id)
        device = _device(line, present, devices, snapshot)
        planned = plan_line(line, present, device, is_recent=is_stale)
        is_sent = planned.action.is_sent or (sends_unchanged and planned.action is Action.UNCHANGED)
        yield PlannedText(number, planned, text, guarded(text, line, present) if is_sent else b"")


def _device(
    line: FileLine, present: Entry | None, devices: FileDevices, snapshot: Snapshot
) -> Device:
    """What is known of the modules of a device, or of the device of a module."""
    if not line.module_id:
        return Device(modules=snapshot.modules(line.id) if line.mode.deletes else 0)
    mode = devices.mode_of(line.id)
    if present is not None or snapshot.has_device(line.id):
        fate = Fate.DELETED if mode is not None and mode.deletes else Fate.KEPT
    else:
        fate = Fate.CREATED if mode is not None and mode.creates else Fate.MISSING
    if not line.mode.creates:
        return Device(fate)
    return Device(fate, snapshot.modules(line.id), devices.added_modules(line.id))
