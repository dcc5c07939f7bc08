"""`show`: everything that is known of an import, and what can be done next."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.exits import Exit
from cli.files import download, read_report
from cli.output import PROGRAM, Output, clean
from cli.problems import hub_failures, validation_problems
from cli.times import moment
from cli.words import state_text
from shared.errors import NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportDetail
from shared.imports.operate.reader import Reader
from shared.spans import span

__all__ = ["run"]


def run(options: argparse.Namespace, importer: Importer, output: Output) -> int:
    """Show an import, or write one of its files.

    Raises:
        ImportNotFoundError: there is none with this id.
        NotPossibleError: it has no such file.
        OSError: the file cannot be written.
    """
    reader = importer.reader
    if options.file:
        download(reader, options.id, options.file, options.output, output)
        return Exit.DONE
    detail = reader.detail(options.id)
    if output.is_json:
        output.json(detail)
        return Exit.DONE
    now = importer.services.clock()
    title = Text.assemble((detail.id, "bold"), "  ", state_text(detail.state))
    output.show(Group(title, _facts(detail, now)))
    _section(output, "States", _timeline(detail, now))
    for heading, part in _report(reader, detail):
        _section(output, heading, part)
    _section(output, "What can be done", _next_steps(detail))
    return Exit.DONE


def _section(output: Output, heading: str, part: RenderableType) -> None:
    output.show(Group(Text(f"\n{heading}", "bold"), part))


def _facts(detail: ImportDetail, now: datetime) -> RenderableType:
    table = _grid()
    for name, value in _named_facts(detail, now):
        if value:
            table.add_row(Text(name, "dim"), clean(value))
    return table


def _named_facts(detail: ImportDetail, now: datetime) -> Iterator[tuple[str, str]]:
    yield "file", f"{detail.file} ({detail.size:,} bytes)"
    yield "hub", detail.hub
    yield "uploaded", moment(detail.uploaded_at, now, in_full=True)
    ended = f", ended {moment(detail.finished_at, now, in_full=True)}" if detail.finished_at else ""
    yield "took", f"{span((detail.finished_at or now) - detail.uploaded_at)}{ended}"
    if detail.lines is not None:
        broken = detail.invalid_lines or 0
        yield "lines", f"{detail.lines:,}" + (f", {broken:,} break rules" if broken else "")
    if detail.has_unknown_counts:
        given = f" of {detail.devices:,}" if detail.devices is not None else ""
        yield "devices", f"not known how many{given} were imported"
    elif detail.imported is not None and detail.devices is not None:
        yield "devices", f"{detail.imported:,} imported, {detail.failed or 0:,} failed"
    elif detail.devices is not None:
        yield "devices", f"{detail.devices:,} for the hub"
    yield "place", f"{detail.queue_position} in the hub's queue" if detail.queue_position else ""
    progress = f", {detail.progress} %" if detail.progress is not None else ""
    yield "job", f"{detail.job_id} ({detail.job_status}{progress})" if detail.job_id else ""
    if detail.start_time_utc and detail.end_time_utc:
        yield "job took", span(detail.end_time_utc - detail.start_time_utc)
    yield "hub says", detail.job_failure_reason
    yield (
        "attempts",
        f"{detail.validation_attempts} to read the file" if detail.validation_attempts > 1 else "",
    )
    yield "retry of", detail.retry_of
    yield "retried as", detail.retried_as
    yield "cancel", "was asked for" if detail.cancel_requested else ""
    yield "reason", detail.failure_reason


def _timeline(detail: ImportDetail, now: datetime) -> RenderableType:
    table = _grid()
    ends = [*(entry.entered_at for entry in detail.history[1:]), None]
    for entry, end in zip(detail.history, ends, strict=True):
        lasted = "" if entry.state.is_final else span((end or now) - entry.entered_at)
        table.add_row(moment(entry.entered_at, now, in_full=True), state_text(entry.state), lasted)
    return table


def _report(reader: Reader, detail: ImportDetail) -> Iterator[tuple[str, RenderableType]]:
    """What report.json lists, if there is anything."""
    has_problems = "problems.csv" in detail.files
    is_of_interest = has_problems or detail.failed or detail.has_unknown_counts
    if "report.json" not in detail.files or not is_of_interest:
        return
    try:
        report = read_report(reader, detail.id)
    except NotPossibleError as error:
        yield "Report", Padding(Text(str(error)), (0, 0, 0, 2))
        return
    if failures := report["failures"]:
        yield "What the hub refused", hub_failures(failures)
    validation = report["validation"]
    if validation["problems"]:
        problems = validation_problems(validation["problems"], validation["codes"])
        yield "What the validation found", problems


def _next_steps(detail: ImportDetail) -> RenderableType:
    """Commands, which can be copied with what they do: for a shell that is a comment."""
    steps = [(f"  {PROGRAM} {command}", what) for command, what in _commands(detail)]
    longest = max(len(command) for command, _ in steps)
    return Group(
        *(
            Text.assemble(
                (command.ljust(longest), "cyan"),
                (f"  # {what}", "dim"),
                no_wrap=True,
                overflow="ellipsis",
            )
            for command, what in steps
        )
    )


def _commands(detail: ImportDetail) -> Iterator[tuple[str, str]]:
    if not detail.is_final:
        yield f"watch {detail.id}", "follow it"
    if "cancel" in detail.actions:
        yield f"cancel {detail.id}", "cancel it"
    if detail.retried_as:
        yield f"show {detail.retried_as}", "see how the new try went"
    elif "retry" in detail.actions:
        is_partial = detail.state is ImportState.COMPLETED_WITH_ERRORS
        what = "the refused lines" if is_partial else "its lines"
        yield f"retry {detail.id}", f"try {what} again"
    for name in detail.files:
        yield f"show {detail.id} --file {name}", f"get {name}"
    if detail.state in (ImportState.REJECTED, ImportState.FAILED, ImportState.CANCELLED):
        yield "upload FILE", "upload the corrected file"
    yield "list", "see the other imports"


def _grid() -> Table:
    return Table(box=None, show_header=False, padding=(0, 0, 0, 2))
