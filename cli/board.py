"""The live view of `watch`: what is open, drawn anew, and above it what has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.follow import MAX_MARKERS, MAX_SHOWN, Sight, Standing
from cli.output import Output, clean
from cli.views import View, awaited, end_lines
from cli.words import condition, number, shortened
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.spans import span

__all__ = ["Board"]

#: Columns from which on the bars are wide, and there is room for ids.
_WIDE = 110


class Board(View):
    """Bars of running jobs, places in the queues and reasons to wait, on a terminal."""

    def __init__(self, output: Output, clock: Callable[[], datetime], *, names_hubs: bool) -> None:
        self._output = output
        self._names_hubs = names_hubs
        self._clock = clock
        self._began = time.monotonic()
        self._live = Live(
            Text("Looking ...", "dim"), console=output.console, refresh_per_second=5, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, sight: Sight) -> None:
        for record in sight.ended:
            self._output.show(end_lines(record, self._clock(), self._output))
        self._live.update(Group(*self._parts(sight)), refresh=True)

    def trouble(self, message: str) -> None:
        self._live.update(Text(clean(message), "red"), refresh=True)

    def _parts(self, sight: Sight) -> Iterator[RenderableType]:
        """Each hub's queue under its name."""
        now = self._clock()
        for hub, standings in groupby(sight.opened, lambda standing: standing.record.hub):
            listed = list(standings)
            if self._names_hubs:
                yield Text(clean(hub), "bold")
            yield self._table(listed, now)
            if more := sight.more.get(hub):
                least = "at least " if more == MAX_MARKERS - MAX_SHOWN else ""
                yield Text(f"  and {least}{more} more", "dim")
        for text in awaited(sight, time.monotonic() - self._began):
            yield Text(clean(text), "dim")
        if sight.is_idle:
            yield Text("Nothing is open. Ctrl-C ends this.", "dim")

    def _table(self, standings: Iterable[Standing], now: datetime) -> RenderableType:
        is_wide = self._output.console.width >= _WIDE
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True, min_width=12)
        table.add_column(width=30 if is_wide else 10)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, justify="right", min_width=6)
        reasons: list[Text] = []
        for standing in standings:
            record = standing.record
            table.add_row(
                f"  {record.id}" if is_wide else f"  {record.id[:8]}",
                clean(record.file),
                condition(record, standing.place),
                _bar(record),
                number(record.devices),
                span(now - (record.history[-1][1] if record.history else record.created_at)),
            )
            if record.failure_reason:
                reasons.append(shortened(f"  {record.file}: {record.failure_reason}", "yellow"))
        return Group(table, *reasons)


def _bar(record: ImportRecord) -> RenderableType:
    """The job's progress; a hub that tells none until the end gets a bar that moves by itself."""
    if record.state is not ImportState.RUNNING:
        return ""
    return ProgressBar(
        100,
        record.job.progress or 0,
        pulse=not record.job.progress,
        complete_style="cyan",
        finished_style="cyan",
        pulse_style="cyan",
    )
