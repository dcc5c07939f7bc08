"""`device-importer check`: validate device files before they are uploaded.

The same validator as in the function app, offline: it needs no setting and nothing of Azure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from cli.terminal import Progress, Style
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.lines.values import ImportMode, Status
from shared.device_files.rules import Severity
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy, Problem, Report
from shared.options import share, whole_number
from shared.texts import well_formed

__all__ = ["add_parser"]

#: Exit statuses.
OK, ERRORS, UNREADABLE = 0, 1, 2

STANDARD_INPUT = "-"
_CHUNK_BYTES = 1024 * 1024
#: Problems of one code that the text shows for each file.
_SHOWN_OF_A_CODE = 5
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def add_parser(commands: Any) -> None:
    """Add the command to those of argparse."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="validate device files before they are uploaded",
        description="Validate device files: NDJSON, a JSON array or CSV, plain or gzipped.",
        epilog="Exit status: 0 no errors, 1 errors, 2 wrong usage or a file cannot be read.",
    )
    defaults = Limits()
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a device file, or - for standard input")
    add("--format", choices=("text", "json"), default="text", help="json: one object a line")
    add(
        "--policy",
        type=Policy,
        choices=list(Policy),
        default=Policy.REJECT,
        help="what an error means for the good lines of its file (default: %(default)s)",
    )
    count, limit = whole_number(0), whole_number(1)
    add("--max-problems", type=count, metavar="N", help="of each severity, to be told")
    add("--max-devices", type=limit, metavar="N", default=defaults.max_devices)
    add("--max-deletes", type=count, metavar="N", default=defaults.max_deletes)
    add(
        "--max-delete-share",
        type=share,
        metavar="SHARE",
        default=defaults.max_delete_share,
        help="of the lines, from 0 to 1; 1 is no bound (default: %(default)s)",
    )
    add(
        "--confirm-deletes",
        type=count,
        metavar="N",
        default=0,
        help="allow so many, as the blob's metadata confirmDeletes will",
    )
    add(
        "--default-status",
        choices=[status.value for status in Status],
        default="",
        help="for CSV rows that tell none, as CSV_DEFAULT_STATUS",
    )
    add(
        "--default-import-mode",
        choices=[mode.value for mode in ImportMode],
        default="",
        metavar="MODE",
        help="for CSV rows that tell none, as CSV_DEFAULT_IMPORT_MODE",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    show = _show_json if options.format == "json" else _show_text
    status = OK
    for file in options.files:
        try:
            report = _validate(file, options)
        except OSError as error:
            print(f"{file}: {error.strerror or error}", file=sys.stderr)
            status = UNREADABLE
            continue
        try:
            show(file, report, options.policy)
        except BrokenPipeError:
            # The reader, such as head, has seen enough; what is still buffered goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = max(status, ERRORS if report.errors else OK)
    return status


def _validate(file: str, options: argparse.Namespace) -> Report:
    kept = options.max_problems
    if kept is None:
        kept = Limits().max_problems if options.format == "text" else sys.maxsize
    limits = Limits(
        max_devices=options.max_devices,
        max_problems=kept,
        max_deletes=options.max_deletes,
        max_delete_share=options.max_delete_share,
    )
    validation = Validation(
        limits,
        name=file,
        defaults=CsvDefaults(options.default_status, options.default_import_mode),
        confirmed_deletes=options.confirm_deletes,
    )
    with _open(file) as stream, Progress(file, _size(stream), sys.stderr) as progress:
        for _ in validation.run(_chunks(stream, progress.advance)):
            pass
    return validation.report


def _open(file: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if file == STANDARD_INPUT:
        return contextlib.nullcontext(sys.stdin.buffer)
    return Path(file).open("rb")


def _size(stream: BinaryIO) -> int | None:
    """Bytes of a file; None for a pipe."""
    with contextlib.suppress(OSError, ValueError):
        return os.fstat(stream.fileno()).st_size or None
    return None


def _chunks(stream: BinaryIO, advance: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
        advance(len(chunk))


def _show_json(file: str, report: Report, policy: Policy) -> None:
    for problem in report.problems:
        _print_json(problem.to_json(file))
    summary = {"summary": True, "file": well_formed(file), "policy": policy, **report.counts_json()}
    _print_json({**summary, "importable": report.may_be_imported(policy)})


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False))


def _show_text(file: str, report: Report, policy: Policy) -> None:
    """The problems by code, the most severe first, and what would become of the file."""
    style = Style(sys.stdout)
    groups: dict[str, list[Problem]] = {}
    for severity in Severity:
        for problem in report.problems:
            if problem.severity is severity:
                groups.setdefault(problem.code, []).append(problem)
    if groups:
        print(style.bold(file))
    for code, problems in groups.items():
        _show_group(code, problems, report.codes[code], style)
    print(f"{style.bold(file)}: {_summary(report, policy, style)}")


def _show_group(code: str, problems: list[Problem], count: int, style: Style) -> None:
    severity = problems[0].severity
    times = f" x {count:,}" if count > 1 else ""
    print(f"  {style.coloured(severity, _STYLES[severity])} {style.bold(code)}{times}")
    print(f"    {problems[0].remedy}")
    for problem in problems[:_SHOWN_OF_A_CODE]:
        place = "the file" if problem.line is None else f"line {problem.line:,}"
        about = ", ".join(filter(None, (_printable(problem.id), _printable(problem.field))))
        print(f"    {place}{about and f' ({about})'}: {_printable(problem.message)}")
    if count > _SHOWN_OF_A_CODE:
        print(f"    and {count - min(len(problems), _SHOWN_OF_A_CODE):,} more")


def _printable(text: str) -> str:
    """Text of a file that must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _summary(report: Report, policy: Policy, style: Style) -> str:
    counts = [
        f"{report.valid:,} of {report.lines:,} {'line' if report.lines == 1 else 'lines'} good"
    ]
    counts += [
        style.coloured(f"{report.severities[severity]:,} {name}", _STYLES[severity])
        for severity, name in ((Severity.ERROR, "errors"), (Severity.WARNING, "warnings"))
        if report.severities[severity]
    ]
    if not report.may_be_imported(policy):
        verdict = style.coloured("would be rejected", "red")
    elif report.errors:
        verdict = style.coloured("the good lines would be imported", "yellow")
    else:
        verdict = style.coloured("would be imported", "green")
    form = f" ({report.format})" if report.format else ""
    return f"{', '.join(counts)}; {verdict}{form}"
