"""`device-importer show`: everything about an import, the commands for it, and its files."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, get_args

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.arguments import add_id
from cli.errors import Exit
from cli.formatting import other_files, state_text
from cli.output import Output, printable
from cli.problems import hub_failures, validation_problems
from cli.steps import show_steps
from cli.times import full_time, short_time
from cli.unregistered import app_activity, get_or_upload, not_registered
from shared.errors import ImportNotFoundError, NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import FileName, JobImport
from shared.imports.operate.import_detail import ImportDetail, PlanSummary
from shared.imports.operate.line_results import results_csv
from shared.imports.operate.reader import Reader
from shared.imports.operate.retry_advice import RetryAdvice, retry_advice
from shared.text import format_duration

__all__ = ["add_arguments", "run"]

STANDARD_OUTPUT = "-"

#: Other files of the job that are listed.
MAX_LISTED = 20

#: Width of a terminal below which times of today have no date.
_NARROW = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_id(parser)
    names = get_args(FileName)
    help_file = f"download this file instead: {', '.join(names[:-1])} or {names[-1]}"
    add("--file", choices=names, metavar="NAME", help=help_file)
    add(
        "--output",
        metavar="FILE",
        default=STANDARD_OUTPUT,
        help="where to write it; - is standard output (default: -)",
    )


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Show an import, or download one of its files.

    Raises:
        ImportNotFoundError: no import has this id, or it is only uploaded.
        NotPossibleError: it does not have the file, or no longer.
        OSError: the file cannot be written.
    """
    reader = importer.reader
    if options.file == "results.csv":
        _, results = reader.results(options.id)
        _download(results_csv(results), None, options.file, options.output, output)
        return Exit.DONE
    if options.file:
        _, file = reader.file(options.id, options.file)
        _download(file.chunks(), file.size, options.file, options.output, output)
        return Exit.DONE
    record, is_registered = get_or_upload(importer, options.id)
    if not is_registered:
        raise ImportNotFoundError(not_registered(record.file, app_activity(importer)))
    detail = reader.describe(record)
    if output.is_json:
        output.json(detail.model_dump(mode="json"))
        return Exit.DONE
    now = importer.services.clock()
    title = Text.assemble((detail.id, "bold"), "  ", state_text(detail.state))
    output.show(Group(title, _facts(detail, now)))
    report, report_error = _read_report(reader, detail)
    is_narrow = output.console.width < _NARROW
    sections = [
        ("States", _history(detail, now, is_narrow=is_narrow)),
        *_acts(detail, now, is_narrow=is_narrow),
        *_first_changes(reader, detail),
        *_imports("Later imports that may change its devices", detail.later_imports),
        *_imports("Other files in the job", detail.in_same_job),
        *report_error,
        *_report(detail, report),
    ]
    for heading, content in sections:
        output.show(Group(Text(f"\n{heading}", "bold"), content))
    output.show(Text("\nNext steps", "bold"))
    advice = retry_advice(report.get("failures"))
    steps = [(output.command(*arguments), why) for arguments, why in _commands(detail, advice)]
    show_steps(steps, output)
    return Exit.DONE


def _download(
    chunks: Iterable[bytes], size: int | None, name: str, target: str, output: Output
) -> None:
    """Write a file of an import; a target appears only when it is complete.

    Args:
        size: bytes; None if that is not known before.
    """
    if target == STANDARD_OUTPUT:
        _copy(chunks, sys.stdout.buffer, lambda _: None)
        return
    path = Path(target)
    part = path.with_name(f"{path.name}.part")
    try:
        with (
            open(part, "wb", opener=_open_private) as stream,
            output.progress(name, size) as advance,
        ):
            written = _copy(chunks, stream, advance)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    output.note(f"{path}: {written:,} bytes")


def _open_private(name: str, flags: int) -> int:
    """Only for the operator to read: rejected lines contain device keys."""
    return os.open(name, flags, 0o600)


def _copy(chunks: Iterable[bytes], stream: BinaryIO, advance: Callable[[int], None]) -> int:
    """Write a file; returns its bytes."""
    size = 0
    for chunk in chunks:
        stream.write(chunk)
        size += len(chunk)
        advance(len(chunk))
    stream.flush()
    return size


def _facts(detail: ImportDetail, now: datetime) -> RenderableType:
    table = _grid(1, 1)
    for name, value in _named_facts(detail, now):
        if value:
            table.add_row(Text(name, "dim"), printable(value))
    return table


def _named_facts(detail: ImportDetail, now: datetime) -> Iterator[tuple[str, str]]:
    undo = "undo of " if detail.undo_of else ""
    yield "file", f"{undo}{detail.file} ({detail.size:,} bytes)"
    yield "hub", detail.hub
    yield "uploaded", full_time(detail.uploaded_at)
    took = format_duration((detail.finished_at or now) - detail.uploaded_at)
    if detail.finished_at:
        took += f", ended {full_time(detail.finished_at)}"
    yield "took", took
    if detail.lines is not None:
        invalid = f", {detail.invalid_lines:,} invalid" if detail.invalid_lines else ""
        yield "lines", f"{detail.lines:,}{invalid}"
    yield "modes", detail.import_modes
    if detail.mapping:
        yield "mapping", f"{detail.mapping.file}, ETag {detail.mapping.etag} (--file mapping.json)"
    yield "devices", _devices(detail)
    if detail.plan and detail.plan.as_of:
        yield "plan", _plan(detail.plan)
    elif detail.plan and detail.plan.missing not in detail.failure_reason:
        yield "plan", detail.plan.missing
    if detail.queue_position:
        yield "position", f"job {detail.queue_position} in the hub's queue"
    if detail.expected_start:
        left = format_duration(detail.expected_start - now)
        yield "start", f"expected {short_time(detail.expected_start, now)}, in about {left}"
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
        limit = f", until {full_time(until)}" if until else ""
        yield "approval", f"waits since {full_time(detail.hold.since)}{limit}"
        yield "digest", detail.hold.digest
        if detail.hold.four_eyes:
            yield "by whom", "another person, signed in, than asked for it (APPROVAL_FOUR_EYES)"
    if detail.undo and "undo" in detail.actions:
        until = detail.undo.until
        limit = f" until {full_time(until)}" if until else ""
        yield "undo", f"possible{limit}. {detail.undo.text}"
    yield "undo of", detail.undo_of
    yield "undone as", detail.undo.undone_as if detail.undo else ""
    yield "retry of", detail.retry_of
    yield "retried as", detail.retried_as
    yield "cancel", "requested" if detail.cancel_requested else ""
    yield "reason", detail.failure_reason


def _devices(detail: ImportDetail) -> str:
    deletes = f" ({detail.shown_deletes})" if detail.shown_deletes else ""
    unchanged = f", {detail.unchanged:,} unchanged" if detail.unchanged else ""
    if detail.left_out:
        unchanged += f", {detail.left_out:,} left out"
    if detail.has_unknown_counts:
        total = "" if detail.sent is None else f"{detail.sent:,} sent to the hub, "
        return f"{total}number imported unknown{deletes}{unchanged}"
    if detail.devices is None:
        return ""
    if detail.no_counts:
        return f"{detail.devices:,} {detail.no_counts}{unchanged}"
    if detail.imported is None:
        return f"{detail.sent:,} to import{deletes}{unchanged}"
    return f"{detail.imported:,} imported{deletes}, {detail.failed or 0:,} failed{unchanged}"


def _plan(plan: PlanSummary) -> str:
    """The counts of a plan, and when the registry was read."""
    counts = f"{plan.sent or 0:,} to send, {plan.failed or 0:,} would fail"
    as_of = full_time(plan.as_of) if plan.as_of else "unknown"
    return f"{counts}; registry as of {as_of}"


def _history(detail: ImportDetail, now: datetime, *, is_narrow: bool) -> RenderableType:
    table = _grid(1, 2)
    ends = [*(entry.entered_at for entry in detail.history[1:]), None]
    for entry, end in zip(detail.history, ends, strict=True):
        entered_at = entry.entered_at
        time = short_time(entered_at, now) if is_narrow else full_time(entered_at)
        duration = "" if entry.state.is_final else format_duration((end or now) - entry.entered_at)
        table.add_row(time, state_text(entry.state), duration)
    return table


def _acts(
    detail: ImportDetail, now: datetime, *, is_narrow: bool
) -> Iterator[tuple[str, RenderableType]]:
    """A section with who did what."""
    if not detail.acts:
        return
    table = _grid(1, 1)
    for act in detail.acts:
        by = f"by {act.who}" + (f" ({act.via})" if act.via else "")
        time = short_time(act.at, now) if is_narrow else full_time(act.at)
        note = f": {act.note}" if act.note else ""
        table.add_row(time, printable(f"{act.action.value} {by}{note}"))
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
    table = _grid(2, 2)
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
    table = _grid(1, 2)
    for other in imports[:MAX_LISTED]:
        table.add_row(other.id, state_text(other.state), printable(other.file))
    if len(imports) > MAX_LISTED:
        table.add_row(f"and {len(imports) - MAX_LISTED} more")
    yield title, table


def _read_report(
    reader: Reader, detail: ImportDetail
) -> tuple[Mapping[str, Any], Sequence[tuple[str, RenderableType]]]:
    """report.json if it has failures or problems, else nothing; and a section if it is lost."""
    has_problems = "problems.csv" in detail.files
    has_failures = detail.failed or detail.has_unknown_counts
    if "report.json" not in detail.files or not (has_problems or has_failures):
        return {}, ()
    try:
        _, file = reader.file(detail.id, "report.json")
        report: dict[str, Any] = json.loads(b"".join(file.chunks()))
    except NotPossibleError as error:
        return {}, [("Report", Padding(Text(str(error)), (0, 0, 0, 2)))]
    return report, ()


def _report(
    detail: ImportDetail, report: Mapping[str, Any]
) -> Iterator[tuple[str, RenderableType]]:
    """Sections with the failures and problems in report.json."""
    if not report:
        return
    failures = report["failures"]
    if failures and failures["codes"]:
        title = "Failed lines" if detail.not_sent else "Rejected by the hub"
        yield title, hub_failures(failures)
    validation = report["validation"]
    if problems := validation["problems"]:
        yield "Validation problems", validation_problems(problems, validation["codes"])


def _commands(detail: ImportDetail, advice: RetryAdvice) -> Iterator[tuple[tuple[str, ...], str]]:
    """Arguments of commands, and what they do."""
    id = detail.id
    if not detail.is_final:
        yield ("watch", id), "follow it"
    if detail.hold and "approve" in detail.actions:
        count = len(detail.later_imports)
        later = ("--later", str(count)) if count else ()
        yield ("approve", id, "--plan", detail.hold.digest, *later), "approve it"
        yield ("decline", id, "--reason", "TEXT"), "decline it"
    if detail.undo and "undo" in detail.actions:
        deletes = ("--deletes", str(detail.undo.deletes)) if detail.undo.deletes else ()
        yield ("undo", id, "--plan"), "show what an undo would do"
        yield ("undo", id, *deletes), "undo it"
    if "cancel" in detail.actions:
        if detail.shares_started_job:
            yield ("cancel", id, "--job", detail.job_record), "cancel all files of its job"
        else:
            yield ("cancel", id), "cancel it"
    files: list[str] = list(detail.files)
    if detail.retried_as:
        yield ("show", detail.retried_as), "show its retry"
    elif advice.is_correction_first and "retry.ndjson" in files:
        name = "retry.ndjson"
        files.remove(name)
        yield ("show", id, "--file", name, "--output", name), "correct these lines"
        yield ("upload", name), "upload the corrected lines"
    elif "retry" in detail.actions:
        is_partial = detail.state is ImportState.COMPLETED_WITH_ERRORS
        again = f"; {advice.persistent:,} fail again" if advice.persistent else ""
        yield ("retry", id), f"retry {'the rejected' if is_partial else 'all'} lines{again}"
    for name in files:
        yield ("show", id, "--file", name), f"download {name}"
    if detail.state.needs_attention and len(files) == len(detail.files):
        yield ("upload", "FILE"), "upload the corrected file"
    yield ("list",), "list other imports"


def _grid(fixed: int, folded: int) -> Table:
    """A table for `fixed` columns that keep their width and `folded` ones that are not cut."""
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    for _ in range(fixed):
        table.add_column(no_wrap=True)
    for _ in range(folded):
        table.add_column(overflow="fold")
    return table
