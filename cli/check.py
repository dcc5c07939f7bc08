"""`device-importer check`: the validator of the app, offline and without settings.

Imports nothing of Azure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

from rich.text import Text

from cli.arguments import fraction, whole_number
from cli.errors import Exit
from cli.output import Output, discard_stdout, printable
from cli.problems import SEVERITY_STYLES, validate, validation_problems
from shared.device_files.csvtable import CsvDefaults
from shared.device_files.members import ImportMode, Status
from shared.device_files.report import Policy, Report
from shared.device_files.rules import Severity
from shared.device_files.source import Limits
from shared.device_files.validation import Validation
from shared.texts import well_formed

__all__ = ["add_arguments", "run"]

STANDARD_INPUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = Limits()
    count = whole_number(0)
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a device file, or - for standard input")
    add(
        "--policy",
        type=Policy,
        choices=list(Policy),
        default=Policy.REJECT,
        help="as VALIDATION_POLICY: with partial, a file with errors is imported without the "
        "invalid lines (default: %(default)s)",
    )
    add(
        "--max-problems",
        type=count,
        metavar="N",
        help="problems of each severity to list (default: "
        f"{defaults.max_problems:,} as text, all as JSON)",
    )
    add(
        "--max-devices",
        type=whole_number(1),
        metavar="N",
        default=defaults.max_devices,
        help="as MAX_DEVICES (default: %(default)s)",
    )
    add(
        "--max-deletes",
        type=count,
        metavar="N",
        default=defaults.max_deletes,
        help="as MAX_DELETES (default: %(default)s)",
    )
    add(
        "--max-delete-share",
        type=fraction,
        metavar="SHARE",
        default=defaults.max_delete_share,
        help="as MAX_DELETE_SHARE, of all lines, from 0 to 1 (default: %(default)s)",
    )
    add(
        "--confirm-deletes",
        type=count,
        metavar="N",
        default=0,
        help="allow up to N deletes, as the blob metadata confirmDeletes",
    )
    add(
        "--default-status",
        choices=[status.value for status in Status],
        default="",
        help="of CSV rows without a status, as CSV_DEFAULT_STATUS",
    )
    add(
        "--default-import-mode",
        choices=[mode.value for mode in ImportMode],
        default="",
        metavar="MODE",
        help="of CSV rows without an importMode, as CSV_DEFAULT_IMPORT_MODE",
    )


def run(options: argparse.Namespace, output: Output) -> Exit:
    """Check each file, even if others have errors or cannot be read."""
    status = Exit.DONE
    for file in options.files:
        try:
            report = _check(file, options, output)
        except OSError as error:
            output.error(f"{file}: {error.strerror or error}")
            status = Exit.USAGE
            continue
        try:
            if output.is_json:
                _write_json(file, report, options.policy, output)
            else:
                _show(file, report, options.policy, output)
        except BrokenPipeError:
            # The exit status is still that of the files.
            discard_stdout()
        status = max(status, Exit.UNSUCCESSFUL if report.errors else Exit.DONE)
    return status


def _check(file: str, options: argparse.Namespace, output: Output) -> Report:
    max_problems = options.max_problems
    if max_problems is None:
        max_problems = sys.maxsize if output.is_json else Limits().max_problems
    limits = Limits(
        max_devices=options.max_devices,
        max_problems=max_problems,
        max_deletes=options.max_deletes,
        max_delete_share=options.max_delete_share,
    )
    validation = Validation(
        limits,
        name=file,
        defaults=CsvDefaults(options.default_status, options.default_import_mode),
        confirmed_deletes=options.confirm_deletes,
    )
    with _open(file) as stream:
        return validate(validation, stream, file, _size(stream), output)


def _open(file: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if file == STANDARD_INPUT:
        return contextlib.nullcontext(sys.stdin.buffer)
    return Path(file).open("rb")


def _size(stream: BinaryIO) -> int | None:
    """Size of a file in bytes; None for a pipe."""
    with contextlib.suppress(OSError, ValueError):
        return os.fstat(stream.fileno()).st_size or None
    return None


def _write_json(file: str, report: Report, policy: Policy, output: Output) -> None:
    for problem in report.problems:
        output.json(problem.to_json(file))
    summary = {"summary": True, "file": well_formed(file), "policy": policy, **report.counts_json()}
    output.json({**summary, "importable": report.may_be_imported(policy)})


def _show(file: str, report: Report, policy: Policy, output: Output) -> None:
    name = (printable(file), "bold")
    if report.problems:
        output.show(Text.assemble(name))
        output.show(validation_problems(report.problems_json(file), report.codes))
    lines = "line" if report.lines == 1 else "lines"
    summary = Text.assemble(name, f": {report.valid:,} of {report.lines:,} {lines} valid")
    for severity, plural in ((Severity.ERROR, "errors"), (Severity.WARNING, "warnings")):
        if count := report.severities[severity]:
            summary.append(", ").append(f"{count:,} {plural}", SEVERITY_STYLES[severity])
    summary.append("; ")
    if not report.may_be_imported(policy):
        summary.append("would be rejected", "red")
    elif report.errors:
        summary.append("the valid lines would be imported", "yellow")
    else:
        summary.append("would be imported", "green")
    output.show(summary.append(f" ({report.format})" if report.format else ""))
