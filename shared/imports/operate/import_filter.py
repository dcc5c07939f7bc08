"""Which imports a list shows, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState

__all__ = ["ImportFilter", "SortColumn", "matches", "sort_imports"]


@dataclass(frozen=True)
class ImportFilter:
    """Which imports a list shows. Empty means all."""

    hubs: frozenset[str] = frozenset()
    states: frozenset[ImportState] = frozenset()
    #: Uploaded at or after the first and before the second.
    uploaded_after: datetime | None = None
    uploaded_before: datetime | None = None
    #: Patterns, see `matches`: the name of the file, and of somebody who did something with it.
    file: str = ""
    who: str = ""

    @property
    def has_names(self) -> bool:
        """Whether it compares names, which storage cannot do: all records have to be read."""
        return bool(self.file or self.who)

    def accepts(self, record: ImportRecord) -> bool:
        """Whether an import of the hubs and times fits, as it is shown."""
        if self.states and record.state not in self.states:
            return False
        return self.accepts_names(record.file, [act.who for act in record.acts])

    def accepts_names(self, file: str, who: Iterable[str] | None) -> bool:
        """Whether the names of an import fit, or may fit if it is not known who did something."""
        if self.file and not matches(self.file, file):
            return False
        return not self.who or who is None or any(matches(self.who, name) for name in who)


def matches(pattern: str, name: str) -> bool:
    """Whether a name contains the pattern; the letter case does not matter.

    A pattern with `*`, which stands for any text, has to match the whole name.
    """
    pattern, name = pattern.casefold(), name.casefold()
    first, *others = pattern.split("*")
    if not others:
        return first in name
    *middle, last = others
    if not name.startswith(first):
        return False
    position = len(first)
    for part in middle:
        found = name.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return len(name) - position >= len(last) and name.endswith(last)


class SortColumn(StrEnum):
    """What imports can be sorted by."""

    UPLOADED = "uploaded"
    FILE = "file"
    STATE = "state"
    DEVICES = "devices"
    FAILED = "failed"
    #: From the upload to the end.
    DURATION = "duration"


def _duration(record: ImportRecord) -> Any:
    return record.finished_at - record.uploaded_at if record.finished_at else None


_VALUES: Mapping[SortColumn, Callable[[ImportRecord], Any]] = {
    SortColumn.UPLOADED: lambda record: record.uploaded_at,
    SortColumn.FILE: lambda record: record.file.casefold(),
    SortColumn.STATE: lambda record: record.state.label,
    SortColumn.DEVICES: lambda record: record.devices,
    SortColumn.FAILED: lambda record: record.failed,
    SortColumn.DURATION: _duration,
}


def sort_imports(
    imports: Sequence[ImportRecord], column: SortColumn, *, descending: bool
) -> list[ImportRecord]:
    """The imports in the order of a column; those without a value last, equal ones as before."""
    value_of = _VALUES[column]
    known = [record for record in imports if value_of(record) is not None]
    unknown = [record for record in imports if value_of(record) is None]
    return sorted(known, key=value_of, reverse=descending) + unknown
