"""An import in few words and in colour."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from cli.output import clean
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.spans import span

__all__ = [
    "condition",
    "number",
    "number_known",
    "outcome",
    "shortened",
    "state_text",
    "took",
]

_STYLES = {
    ImportState.VALIDATING: "blue",
    ImportState.QUEUED: "blue",
    ImportState.STARTING: "cyan",
    ImportState.RUNNING: "cyan",
    ImportState.REJECTED: "red",
    ImportState.SUPERSEDED: "dim",
    ImportState.COMPLETED: "green",
    ImportState.COMPLETED_WITH_ERRORS: "yellow",
    ImportState.FAILED: "red",
    ImportState.CANCELLED: "magenta",
}


def state_text(state: ImportState) -> Text:
    return Text(state.value, _STYLES[state])


def condition(record: ImportRecord, place: int | None = None) -> Text:
    """The state, and how far it is in it: percent of the job, or the place in the queue."""
    text = state_text(record.state)
    place = place or record.queue_position
    if record.state is ImportState.RUNNING and record.job.progress is not None:
        text.append(f" {record.job.progress} %")
    elif record.state is ImportState.QUEUED and place:
        text.append(f" #{place}")
    return text


def number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def number_known(count: int | None, record: ImportRecord) -> str:
    """A count of what became of an import's devices."""
    return "unknown" if record.has_unknown_counts else number(count)


def took(record: ImportRecord, now: datetime) -> str:
    """From the upload to the end, or until now."""
    return span((record.finished_at or now) - record.uploaded_at)


def outcome(record: ImportRecord) -> str:
    """What became of the devices; "" while the import is open."""
    if record.has_unknown_counts:
        return "not known how many devices were imported"
    if record.state is ImportState.REJECTED and record.lines:
        return f"{record.invalid_lines or 0:,} of {record.lines:,} lines break rules"
    if record.imported is None or record.devices is None:
        return ""
    parts = [f"{record.imported or 0:,} imported"]
    if record.failed:
        parts.append(f"{record.failed:,} failed")
    if record.invalid_lines:
        parts.append(f"{record.invalid_lines:,} left out")
    return ", ".join(parts)


def shortened(text: str, style: str = "") -> Text:
    """Text of others on one line, cut where the terminal ends."""
    return Text(clean(text.replace("\n", " ")), style, no_wrap=True, overflow="ellipsis")
