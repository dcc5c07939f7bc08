"""`device-importer show`: everything about an import, the commands for it, and its files."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, get_args

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.arguments import import_id
from cli.errors import Exit
from cli.formatting import local_time, other_files, state_text
from cli.output import PROGRAM, Output, printable
from cli.problems import hub_failures, validation_problems
from shared.errors import NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import FileName, ImportDetail, JobImport, PlanSummary
from shared.imports.operate.reader import Reader
from shared.storage.blobs import StoredFile
from shared.text import format_duration

__all__ = ["add_arguments", "run"]

STANDARD_OUTPUT = "-"

#: Other files of the job that are listed.
MAX_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("id", type=import_id, metavar="ID", help="import id, as shown by list")
    add("--file", choices=get_args(FileName), help="download this file instead")
    add(
        "--output",
        metavar="FILE",
        default=STANDARD_OUTPUT,
        help="where to write it; - is standard output (default: -)",
    )


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Show an import, or download one of its files.

    Raises:
        ImportNotFoundError: no import has this id.
        NotPossibleError: it does not have the file, or no longer.
        OSError: the file cannot be written.
    """
    reader = importer.reader
    if options.file:
        _, file = reader.file(options.id, options.file)
        _download(file, options.file, options.output, output)
        return Exit.DONE
    detail = reader.detail(options.id)
    if output.is_json:
        output.json(detail.model_dump(mode="json"))
        return Exit.DONE
    now = importer.services.clock()
    title = Text.assemble((detail.id, "bold"), "  ", state_text(detail.state))
    output.show(Group(title, _facts(detail, now)))
    sections = [
        ("States", _history(detail, now)),
        *_acts(detail, now),
        *_first_changes(reader, detail),
        *_imports("Later imports that may change its devices", detail.later_imports),
        *_imports("Other files in the job", detail.in_same_job),
        *_report(reader, detail),
        ("Next steps", _next_steps(detail)),
    ]
    for heading, content in sections:
        output.show(Group(Text(f"\n{heading}", "bold"), content))
    return Exit.DONE


def _download(file: StoredFile, name: str, target: str, output: Output) -> None:
    """Write a file of an import; a target appears only when it is complete."""
    if target == STANDARD_OUTPUT:
        _copy(file, sys.stdout.buffer, lambda _: None)
        return
    path = Path(target)
    part = path.with_name(f"{path.name}.part")
    try:
        with (
            open(part, "wb", opener=_open_private) as stream,
            output.progress(name, file.size) as advance,
        ):
            _copy(file, stream, advance)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    output.note(f"{path}: {file.size:,} bytes")


def _open_private(name: str, flags: int) -> int:
    """Only for the operator to read: rejected lines contain device keys."""
    return os.open(name, flags, 0o600)


def _copy(file: StoredFile, stream: BinaryIO, advance: Callable[[int], None]) -> None:
    for chunk in file.chunks():
        stream.write(chunk)
        advance(len(chunk))
    stream.flush()


def _facts(detail: ImportDetail, now: datetime) -> RenderableType:
    table = _grid()
    for name, value in _named_facts(detail, now):
        if value:
            table.add_row(Text(name, "dim"), printable(value))
    return table


def _named_facts(detail: ImportDetail, now: datetime) -> Iterator[tuple[str, str]]:
    yield "file", f"{detail.file} ({detail.size:,} bytes)"
    yield "hub", detail.hub
    yield "uploaded", local_time(detail.uploaded_at, now, in_full=True)
    took = format_duration((detail.finished_at or now) - detail.uploaded_at)
    if detail.finished_at:
        took += f", ended {local_time(detail.finished_at, now, in_full=True)}"
    yield "took", took
    if detail.lines is not None:
        invalid = f", {detail.invalid_lines:,} invalid" if detail.invalid_lines else ""
        yield "lines", f"{detail.lines:,}{invalid}"
    yield "devices", _devices(detail)
    if detail.plan and detail.plan.as_of:
        yield "plan", _plan(detail.plan, now)
    elif detail.plan and detail.plan.missing not in detail.failure_reason:
        yield "plan", detail.plan.missing
    if detail.queue_position:
        yield "position", f"job {detail.queue_position} in the hub's queue"
    if detail.expected_start:
        left = format_duration(detail.expected_start - now)
        yield "start", f"expected {local_time(detail.expected_start, now)}, in about {left}"
    progress = f", {detail.progress} %" if detail.progress is not None else ""
    yield "job", f"{detail.job_id} ({detail.job_status}{progress})" if detail.job_id else ""
    if detail.other_files:
        yield "job files", f"in one job with {other_files(detail.other_files)}"
    if detail.start_time_utc and detail.end_time_utc:
        yield "job took", format_duration(detail.end_time_utc - detail.start_time_utc)
    yield "job message", detail.job_failure_reason
    if detail.validation_attempts > 1:
        yield "attempts", f"{detail.validation_attempts} to validate the file"
    if detail.hold and detail.state is ImportState.HELD:
        until = detail.hold.until
        limit = f", until {local_time(until, now, in_full=True)}" if until else ""
        yield "approval", f"waits since {local_time(detail.hold.since, now, in_full=True)}{limit}"
        yield "digest", detail.hold.digest
        if detail.hold.four_eyes:
            yield "by whom", "another person, signed in, than asked for it (APPROVAL_FOUR_EYES)"
    if detail.undo and "undo" in detail.actions:
        until = detail.undo.until
        limit = f" until {local_time(until, now, in_full=True)}" if until else ""
        yield "undo", f"possible{limit}; deletes {detail.undo.deletes:,} that it created"
    yield "undo of", detail.undo_of
    yield "undone as", detail.undo.undone_as if detail.undo else ""
    yield "retry of", detail.retry_of
    yield "retried as", detail.retried_as
    yield "cancel", "requested" if detail.cancel_requested else ""
    yield "reason", detail.failure_reason


def _devices(detail: ImportDetail) -> str:
    unchanged = f", {detail.unchanged:,} unchanged" if detail.unchanged else ""
    if detail.left_out:
        unchanged += f", {detail.left_out:,} left out"
    if detail.has_unknown_counts:
        total = "" if detail.sent is None else f"{detail.sent:,} sent to the hub, "
        return f"{total}number imported unknown{unchanged}"
    if detail.devices is None:
        return ""
    if detail.imported is None:
        return f"{detail.sent:,} to import{unchanged}"
    return f"{detail.imported:,} imported, {detail.failed or 0:,} failed{unchanged}"


def _plan(plan: PlanSummary, now: datetime) -> str:
    """The counts of a plan, and when the registry was read."""
    counts = f"{plan.sent or 0:,} to send, {plan.failed or 0:,} would fail"
    as_of = local_time(plan.as_of, now, in_full=True) if plan.as_of else "unknown"
    return f"{counts}; registry as of {as_of}"


def _history(detail: ImportDetail, now: datetime) -> RenderableType:
    table = _grid()
    ends = [*(entry.entered_at for entry in detail.history[1:]), None]
    for entry, end in zip(detail.history, ends, strict=True):
        time = local_time(entry.entered_at, now, in_full=True)
        duration = "" if entry.state.is_final else format_duration((end or now) - entry.entered_at)
        table.add_row(time, state_text(entry.state), duration)
    return table


def _acts(detail: ImportDetail, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    """A section with who did what."""
    if not detail.acts:
        return
    table = _grid()
    for act in detail.acts:
        by = f"by {act.who}" + (f" ({act.via})" if act.via else "")
        time = local_time(act.at, now, in_full=True)
        table.add_row(time, act.action.value, printable(by), printable(act.note))
    yield "Who did what", table


def _first_changes(reader: Reader, detail: ImportDetail) -> Iterator[tuple[str, RenderableType]]:
    """A section with the first lines of the plan of an import that is to be approved."""
    if detail.state is not ImportState.HELD:
        return
    record = reader.get(detail.id)
    plan = reader.plan(record)
    if plan is None:
        modes = record.validation.get("importModes") or {}
        shown = ", ".join(f"{mode} {count:,}" for mode, count in modes.items())
        yield "Without a plan, its lines by importMode", Text(shown)
        return
    table = _grid()
    for line in plan.changes[:MAX_LISTED]:
        name = f"{line.id}/{line.module_id}" if line.module_id else line.id
        facts = ", ".join(change.property for change in line.changes) or line.code
        table.add_row(f"line {line.line:,}", line.action.value, printable(name), printable(facts))
    if plan.truncated or len(plan.changes) > MAX_LISTED:
        table.add_row("and more in plan.csv")
    counts = plan.counts
    yield (
        f"Plan: {counts.create:,} to create, {counts.update:,} to update ({counts.new_keys:,} get "
        f"new keys, {counts.disable:,} are disabled), {counts.delete:,} to delete",
        table,
    )


def _imports(title: str, imports: Sequence[JobImport]) -> Iterator[tuple[str, RenderableType]]:
    """A section with other imports."""
    if not imports:
        return
    table = _grid()
    for other in imports[:MAX_LISTED]:
        table.add_row(other.id, state_text(other.state), printable(other.file))
    if len(imports) > MAX_LISTED:
        table.add_row(f"and {len(imports) - MAX_LISTED} more")
    yield title, table


def _report(reader: Reader, detail: ImportDetail) -> Iterator[tuple[str, RenderableType]]:
    """Sections with the failures and problems in report.json."""
    has_problems = "problems.csv" in detail.files
    has_failures = detail.failed or detail.has_unknown_counts
    if "report.json" not in detail.files or not (has_problems or has_failures):
        return
    try:
        _, file = reader.file(detail.id, "report.json")
        report: dict[str, Any] = json.loads(b"".join(file.chunks()))
    except NotPossibleError as error:
        yield "Report", Padding(Text(str(error)), (0, 0, 0, 2))
        return
    failures = report["failures"]
    if failures and failures["codes"]:
        title = "Failed lines" if detail.not_sent else "Rejected by the hub"
        yield title, hub_failures(failures)
    validation = report["validation"]
    if problems := validation["problems"]:
        yield "Validation problems", validation_problems(problems, validation["codes"])


def _next_steps(detail: ImportDetail) -> RenderableType:
    """Commands to copy; what they do follows as a comment of the shell."""
    steps = [(f"  {PROGRAM} {command}", purpose) for command, purpose in _commands(detail)]
    width = max(len(command) for command, _ in steps)
    lines = [
        Text.assemble((command.ljust(width), "cyan"), (f"  # {purpose}", "dim"))
        for command, purpose in steps
    ]
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def _commands(detail: ImportDetail) -> Iterator[tuple[str, str]]:
    if not detail.is_final:
        yield f"watch {detail.id}", "follow it"
    if detail.hold and "approve" in detail.actions:
        later = f" --later {len(detail.later_imports)}" if detail.later_imports else ""
        yield f"approve {detail.id} --plan {detail.hold.digest}{later}", "approve it"
        yield f"decline {detail.id} --reason TEXT", "decline it"
    if detail.undo and "undo" in detail.actions:
        deletes = f" --deletes {detail.undo.deletes}" if detail.undo.deletes else ""
        yield f"undo {detail.id} --plan", "show what an undo would do"
        yield f"undo {detail.id}{deletes}", "undo it"
    if "cancel" in detail.actions:
        if detail.shares_started_job:
            yield f"cancel {detail.id} --job {detail.job_record}", "cancel all files of its job"
        else:
            yield f"cancel {detail.id}", "cancel it"
    if detail.retried_as:
        yield f"show {detail.retried_as}", "show its retry"
    elif "retry" in detail.actions:
        is_partial = detail.state is ImportState.COMPLETED_WITH_ERRORS
        yield f"retry {detail.id}", f"retry {'the rejected' if is_partial else 'all'} lines"
    for name in detail.files:
        yield f"show {detail.id} --file {name}", f"download {name}"
    if detail.state.needs_attention:
        yield "upload FILE", "upload the corrected file"
    yield "list", "list other imports"


def _grid() -> Table:
    return Table(box=None, show_header=False, padding=(0, 0, 0, 2))
