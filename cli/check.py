"""`device-importer check`: the validator of the app, offline and without settings.

Imports nothing of Azure.
"""

from __future__ import annotations

import argparse
import sys

from cli.arguments import whole_number
from cli.device_file import (
    add_validation_arguments,
    open_file,
    policy_of,
    size_of,
    validation_of,
)
from cli.errors import Exit
from cli.output import Output, discard_stdout
from cli.problems import show_report, validate
from shared.device_files.limits import Limits
from shared.device_files.validation_report import Policy, Report
from shared.text import well_formed

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a device file, or - for standard input")
    add(
        "--max-problems",
        type=whole_number(0),
        metavar="N",
        help="problems of each severity to list (default: "
        f"{Limits().max_problems:,} as text, all as JSON)",
    )
    add_validation_arguments(parser)


def run(options: argparse.Namespace, output: Output) -> Exit:
    """Check each file, even if others have errors or cannot be read."""
    status = Exit.DONE
    policy = policy_of(options)
    for file in options.files:
        try:
            report = _check(file, options, output)
        except OSError as error:
            output.error(f"{file}: {error.strerror or error}")
            status = Exit.USAGE
            continue
        try:
            if output.is_json:
                _write_json(file, report, policy, output)
            else:
                show_report(file, report, policy, output)
        except BrokenPipeError:
            # The exit status is still that of the files.
            discard_stdout()
        status = max(status, Exit.UNSUCCESSFUL if report.errors else Exit.DONE)
    return status


def _check(file: str, options: argparse.Namespace, output: Output) -> Report:
    max_problems = options.max_problems
    if max_problems is None:
        max_problems = sys.maxsize if output.is_json else Limits().max_problems
    validation = validation_of(options, file, max_problems)
    with open_file(file) as stream:
        return validate(validation, stream, file, size_of(stream), output)


def _write_json(file: str, report: Report, policy: Policy, output: Output) -> None:
    for problem in report.problems:
        output.json(problem.to_json(file))
    summary = {"summary": True, "file": well_formed(file), "policy": policy, **report.counts_json()}
    output.json({**summary, "importable": report.may_be_imported(policy)})
