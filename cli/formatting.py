"""An import as text, with its state, counts and times, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from cli.output import printable
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState, Tone
from shared.imports.operate.api_models import ImportSummary
from shared.text import format_duration

__all__ = [
    "device_counts",
    "file_of",
    "known_count",
    "one_line",
    "other_files",
    "state_and_progress",
    "state_text",
    "summary",
    "time_taken",
]

_STYLES: Mapping[Tone, str] = {
    "waiting": "blue",
    "active": "cyan",
    "good": "green",
    "warning": "yellow",
    "bad": "red",
    "cancelled": "magenta",
    "neutral": "dim",
}


def summary(record: ImportRecord) -> dict[str, Any]:
    """An import as JSON, as in the API."""
    return ImportSummary.of(record).model_dump(mode="json")


def state_text(state: ImportState) -> Text:
    return Text(state.value, _STYLES[state.tone])


def state_and_progress(record: ImportRecord, queue_position: int | None = None) -> Text:
    """The state, with the percentage and files of a job or the queue position."""
    text = state_text(record.state)
    queue_position = queue_position or record.queue_position
    if _has_progress(record) and record.job.progress is not None:
        text.append(f" {record.job.progress} %")
    elif (percent := ImportSummary.of(record).validated_percent) is not None:
        text.append(f" {percent} %")
    elif record.state is ImportState.QUEUED and queue_position:
        text.append(f" #{queue_position}")
    if ImportSummary.of(record).shares_started_job:
        text.append(f" ({record.job_files} files)")
    return text


def _has_progress(record: ImportRecord) -> bool:
    return record.state in (ImportState.PLANNING, ImportState.RUNNING)


def other_files(count: int) -> str:
    """The number of other files in a job."""
    return f"{count:,} other file{'' if count == 1 else 's'}"


def file_of(record: ImportRecord) -> str:
    """The name of the file; of an undo, which has the name of what it undoes, with that word."""
    return f"undo of {record.file}" if record.undo_of else record.file


def known_count(count: int | None, record: ImportRecord) -> str:
    """A count of imported or failed devices."""
    if record.has_unknown_counts:
        return "unknown"
    return "" if count is None else f"{count:,}"


def device_counts(record: ImportRecord) -> str:
    """How many devices or lines were imported, failed or are invalid; "" if not finished."""
    deletes = ImportSummary.of(record).shown_deletes
    of_these = f" ({deletes})" if deletes else ""
    if record.has_unknown_counts:
        return f"number of imported devices unknown{of_these}"
    if record.state is ImportState.REJECTED and record.lines:
        return f"{record.invalid_lines or 0:,} of {record.lines:,} lines invalid"
    if record.imported is None or record.devices is None:
        return ""
    if no_counts := ImportSummary.of(record).no_counts:
        return f"{record.devices:,} {no_counts}"
    counts = [f"{record.imported:,} imported{of_these}"]
    if record.unchanged:
        counts.append(f"{record.unchanged:,} unchanged")
    if record.left_out:
        counts.append(f"{record.left_out:,} left out")
    if record.failed:
        counts.append(f"{record.failed:,} failed")
    if record.invalid_lines:
        noun = "line" if record.invalid_lines == 1 else "lines"
        counts.append(f"{record.invalid_lines:,} invalid {noun} skipped")
    return ", ".join(counts)


def time_taken(record: ImportRecord, now: datetime) -> str:
    """From the upload to the end, or until now."""
    return format_duration((record.finished_at or now) - record.uploaded_at)


def one_line(text: str, style: str = "") -> Text:
    """Text on one line, cut at the width of the terminal."""
    return Text(printable(text.replace("\n", " ")), style, no_wrap=True, overflow="ellipsis")
