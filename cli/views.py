"""How looks at imports are told: line by line, for people or for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.follow import Sight
from cli.output import Output, clean
from cli.times import moment
from cli.words import condition, outcome, shortened, took
from shared.imports.model.record import ImportRecord
from shared.imports.operate.api_models import ImportSummary

__all__ = ["JsonLines", "Quiet", "TextLines", "View", "awaited", "end_lines"]

#: Seconds after which it is told what it may mean that the app does not see an upload.
_PATIENCE = 60


class View:
    """Shows what changes. This one keeps it to itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End what is drawn."""

    def show(self, sight: Sight) -> None:
        """Show what is new."""

    def trouble(self, message: str) -> None:
        """Show why nothing is known at present."""


class Quiet(View):
    """Says nothing."""


class _Changes(View):
    """Tells changes one by one."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown: dict[str, Any] = {}
        self._troubled = False

    def show(self, sight: Sight) -> None:
        self._troubled = False
        for standing in sight.opened:
            self._show(standing.record)
        for record in sight.ended:
            self._show(record)
            del self._shown[record.id]

    def trouble(self, message: str) -> None:
        if not self._troubled:
            self._output.note(message)
        self._troubled = True

    def _show(self, record: ImportRecord) -> None:
        told = (
            record.state,
            record.job.progress,
            record.queue_position,
            record.failure_reason,
            record.job.status,
            record.cancel_reason,
        )
        if self._shown.get(record.id) != told:
            self._shown[record.id] = told
            self._tell(record)

    def _tell(self, record: ImportRecord) -> None:
        raise NotImplementedError


class JsonLines(_Changes):
    """The import as an object, for each change of it."""

    def _tell(self, record: ImportRecord) -> None:
        self._output.json(ImportSummary.of(record))


class TextLines(_Changes):
    """A line for each change, for what is no terminal."""

    def __init__(self, output: Output, clock: Callable[[], datetime]) -> None:
        super().__init__(output)
        self._clock = clock
        self._awaits: set[str] = set()
        self._began = time.monotonic()

    def show(self, sight: Sight) -> None:
        super().show(sight)
        for text in awaited(sight, time.monotonic() - self._began):
            if text not in self._awaits:
                self._awaits.add(text)
                self._output.note(text)

    def _tell(self, record: ImportRecord) -> None:
        if record.state.is_final or self._output.is_terminal:
            self._output.show(end_lines(record, self._clock(), self._output))
            return
        self._output.show(_line(record, self._clock(), self._output))


def end_lines(record: ImportRecord, now: datetime, output: Output) -> RenderableType:
    """What became of an import: for a terminal on lines of its width, else on one."""
    facts = [f"{outcome(record)}" if outcome(record) else "", f"took {took(record, now)}"]
    about = clean(". ".join(filter(None, (", ".join(filter(None, facts)), record.failure_reason))))
    line = _line(record, now, output, with_reason=False)
    if output.is_terminal:
        return Group(line, Padding(Text(about, "dim"), (0, 0, 0, 10)))
    return line.append(f"  {about}")


def awaited(sight: Sight, seconds: float) -> list[str]:
    """What to tell of uploads that the app does not know."""
    hint = (
        " Is it running, and subscribed to events of the container? Its sweep finds uploads "
        "within minutes."
        if seconds > _PATIENCE
        else ""
    )
    return [f"{file}: waits for the app to see it.{hint}" for file in sight.awaited]


def _line(record: ImportRecord, now: datetime, output: Output, *, with_reason: bool = True) -> Text:
    state = condition(record)
    state.pad_right(max(0, 20 - len(state)))
    at = record.finished_at or record.updated_at
    line = Text.assemble(moment(at, now, in_full=not output.is_terminal), f"  {record.id}  ", state)
    line.append(f" {clean(record.file)}")
    if with_reason and record.failure_reason:
        line.append("  ").append_text(shortened(record.failure_reason))
    return line
