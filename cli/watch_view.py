"""How `watch` shows snapshots: a live table on a terminal, otherwise a line per change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.formatting import (
    device_counts,
    file_of,
    one_line,
    state_and_progress,
    summary,
    time_taken,
)
from cli.output import Output, printable
from cli.times import full_time, short_time
from cli.unregistered import not_registered
from cli.watch_source import MAX_QUEUED, MAX_SHOWN, OpenImport, Snapshot
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.text import format_duration

__all__ = ["LineView", "LiveView", "NotesView", "View"]

#: Width of a terminal from which on there is room for whole ids and wide bars.
_WIDE = 110
#: Width below which an import takes two lines.
_NARROW = 70

#: Digits of the ids that a live view shows: enough for commands.
_ID_DIGITS = 8


class View:
    """Shows how imports go on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""

    def show(self, snapshot: Snapshot) -> None:
        """Show what has changed."""

    def show_failure(self, message: str) -> None:
        """Show why there is no snapshot at present."""


class NotesView(View):
    """Writes only why imports do not go on, to stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._notes: set[str] = set()

    def show(self, snapshot: Snapshot) -> None:
        notes = _unregistered(snapshot)
        # The same failure is reported again after a success.
        self._notes &= set(notes)
        for note in notes:
            self._note(note)

    def show_failure(self, message: str) -> None:
        self._note(message)

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.add(text)
            self._output.note(text)


class LineView(NotesView):
    """A line of text or a JSON object for each change of an import."""

    def __init__(self, output: Output, clock: Callable[[], datetime]) -> None:
        super().__init__(output)
        self._clock = clock
        self._shown: dict[str, tuple[object, ...]] = {}

    def show(self, snapshot: Snapshot) -> None:
        records = [*(item.record for item in snapshot.open), *snapshot.ended]
        for record in sorted(records, key=_changed_at):
            shown = self._shown_of(record)
            if self._shown.get(record.id) != shown:
                self._shown[record.id] = shown
                self._show(record)
        for record in snapshot.ended:
            del self._shown[record.id]
        super().show(snapshot)

    def _shown_of(self, record: ImportRecord) -> tuple[object, ...]:
        """What a reader sees of an import, but for times."""
        text = state_and_progress(record).plain, record.failure_reason
        if not self._output.is_json:
            return text
        return (*text, record.job.status, record.cancel_reason)

    def _show(self, record: ImportRecord) -> None:
        if self._output.is_json:
            self._output.json(summary(record))
        elif record.state.is_final:
            self._output.show(_ended(record, self._clock(), self._output))
        else:
            line = _line(record, self._clock(), self._output)
            if record.failure_reason:
                line.append("  ").append_text(one_line(record.failure_reason))
            self._output.show(line)


class LiveView(View):
    """The open imports, redrawn with each snapshot; above them a line for each that has ended."""

    def __init__(self, output: Output, clock: Callable[[], datetime], *, shows_hubs: bool) -> None:
        self._output = output
        self._shows_hubs = shows_hubs
        self._clock = clock
        self._live = Live(
            Text("Reading ...", "dim"), console=output.console, refresh_per_second=5, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        for record in sorted(snapshot.ended, key=_changed_at):
            self._output.show(_ended(record, self._clock(), self._output))
        self._live.update(Group(*self._content(snapshot)), refresh=True)

    def show_failure(self, message: str) -> None:
        self._live.update(Text(printable(message), "red"), refresh=True)

    def _content(self, snapshot: Snapshot) -> Iterator[RenderableType]:
        for hub, imports in groupby(snapshot.open, lambda item: item.record.hub):
            if self._shows_hubs:
                yield Text(printable(hub), "bold")
            yield self._table(imports)
            if more := snapshot.more.get(hub):
                at_least = "at least " if more == MAX_QUEUED - MAX_SHOWN else ""
                yield Text(f"  and {at_least}{more} more", "dim")
        for note in _unregistered(snapshot):
            yield Text(printable(note), "dim")
        if snapshot.is_idle:
            yield Text("No open imports. Ctrl-C ends.", "dim")

    def _table(self, imports: Iterable[OpenImport]) -> RenderableType:
        width = self._output.console.width
        if width < _NARROW:
            return Group(*(part for item in imports for part in self._narrow(item)))
        is_wide = width >= _WIDE
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True, min_width=12)
        table.add_column(width=30 if is_wide else 10)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, justify="right", min_width=6)
        reasons: list[Text] = []
        for item in imports:
            record = item.record
            table.add_row(
                f"  {record.id if is_wide else record.id[:_ID_DIGITS]}",
                printable(file_of(record)),
                state_and_progress(record, item.queue_position),
                _progress_bar(record),
                "" if record.devices is None else f"{record.devices:,}",
                self._time_in_state(record),
            )
            if record.failure_reason:
                reasons.append(one_line(f"  {file_of(record)}: {record.failure_reason}", "yellow"))
        return Group(table, *reasons)

    def _narrow(self, item: OpenImport) -> Iterator[Text]:
        """An import on lines that are cut, but for its id and state."""
        record = item.record
        state = state_and_progress(record, item.queue_position)
        time = self._time_in_state(record)
        yield Text.assemble(f"{record.id[:_ID_DIGITS]}  ", state, f"  {time}")
        yield one_line(f"  {file_of(record)}")
        if record.failure_reason:
            yield one_line(f"  {record.failure_reason}", "yellow")

    def _time_in_state(self, record: ImportRecord) -> str:
        entered_at = record.history[-1][1] if record.history else record.created_at
        return format_duration(self._clock() - entered_at)


def _progress_bar(record: ImportRecord) -> RenderableType:
    """The progress of the job; a pulsing bar where the hub does not report any."""
    if record.state not in (ImportState.PLANNING, ImportState.RUNNING) or not record.job.id:
        return ""
    return ProgressBar(
        100,
        record.job.progress or 0,
        pulse=not record.job.progress,
        complete_style="cyan",
        finished_style="cyan",
        pulse_style="cyan",
    )


def _unregistered(snapshot: Snapshot) -> list[str]:
    if not snapshot.activity:
        return [f"{file}: waiting for the app." for file in snapshot.unregistered]
    return [not_registered(file, snapshot.activity) for file in snapshot.unregistered]


def _ended(record: ImportRecord, now: datetime, output: Output) -> RenderableType:
    """How an import ended: on one line, or on a terminal on lines that fit it."""
    facts = ", ".join(filter(None, (device_counts(record), f"took {time_taken(record, now)}")))
    details = printable(". ".join(filter(None, (facts, record.failure_reason))))
    line = _line(record, now, output)
    if output.is_terminal:
        return Group(line, Padding(Text(details, "dim"), (0, 0, 0, 10)))
    return line.append(f"  {details}")


def _line(record: ImportRecord, now: datetime, output: Output) -> Text:
    state = state_and_progress(record)
    state.pad_right(max(0, 20 - len(state)))
    time = _changed_at(record)
    shown_time = short_time(time, now) if output.is_terminal else full_time(time)
    return Text.assemble(f"{shown_time}  {record.id}  ", state, f" {printable(file_of(record))}")


def _changed_at(record: ImportRecord) -> datetime:
    return record.finished_at or record.updated_at
