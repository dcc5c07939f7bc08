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

from cli.arguments import fraction, whole_number
from cli.errors import Exit
from cli.output import Output, discard_stdout
from cli.problems import show_report, validate
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.lines.values import ImportMode, Status
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy, Report
from shared.text import well_formed

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
    for limit, type, metavar in (
        ("max_devices", whole_number(1), "N"),
        ("max_deletes", count, "N"),
        ("max_delete_share", fraction, "SHARE"),
    ):
        option = f"--{limit.replace('_', '-')}"
        help_limit = f"as {limit.upper()} (default: %(default)s)"
        default = getattr(defaults, limit)
        add(option, type=type, metavar=metavar, default=default, help=help_limit)
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
                show_report(file, report, options.policy, output)
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
