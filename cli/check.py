"""`device-importer check`: the validator of the app, offline and without settings.

Imports nothing of Azure.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.arguments import whole_number
from cli.device_file import (
    add_validation_arguments,
    open_file,
    policy_of,
    read_mapping_file,
    size_of,
    validation_of,
)
from cli.errors import Exit, UsageError
from cli.output import Output, discard_stdout
from cli.problems import show_report, validate
from shared.device_files.limits import Limits
from shared.device_files.mapping.file_mapping import MAPPING_NAME
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy, Report
from shared.text import well_formed

if TYPE_CHECKING:
    from shared.device_files.mapping.folder_mapping import FolderMapping

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="a device file, or - for standard input")
    add(
        "--max-problems",
        type=whole_number(0),
        metavar="N",
        help="problems of each severity to list (default: "
        f"{Limits().max_problems:,} as text, all as JSON)",
    )
    add_validation_arguments(parser)


def run(options: argparse.Namespace, output: Output) -> Exit:
    """Check each file, even if others have errors or cannot be read.

    Raises:
        UsageError: no file is named, or the mapping cannot be read.
    """
    status = Exit.DONE
    policy = policy_of(options)
    if options.mapping is None and not options.files:
        raise UsageError("Name at least one device file, or a mapping (--mapping).")
    if options.mapping is not None:
        report = _check_mapping(options, output)
        # A valid one is only mentioned if nothing else is checked.
        if report.errors or not options.files:
            _show(options.mapping, report, policy, output)
        if report.errors:
            if options.files:
                output.error("No device file was checked: the mapping is invalid.")
            return Exit.UNSUCCESSFUL
    mapping = read_mapping_file(options)
    for file in options.files:
        try:
            report = _check(file, options, output, mapping)
        except OSError as error:
            output.error(f"{file}: {error.strerror or error}")
            status = Exit.USAGE
            continue
        _show(file, report, policy, output)
        status = max(status, Exit.UNSUCCESSFUL if report.errors else Exit.DONE)
    return status


def _check_mapping(options: argparse.Namespace, output: Output) -> Report:
    """Check the mapping itself, whatever the name of its file.

    Raises:
        UsageError: it cannot be read.
    """
    file = options.mapping
    validation = Validation(Limits(max_problems=_max_problems(options, output)), name=MAPPING_NAME)
    try:
        with Path(file).open("rb") as stream:
            return validate(validation, stream, file, size_of(stream), output)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None


def _check(
    file: str, options: argparse.Namespace, output: Output, mapping: FolderMapping | None
) -> Report:
    validation = validation_of(options, file, _max_problems(options, output), mapping)
    with open_file(file) as stream:
        return validate(validation, stream, file, size_of(stream), output)


def _max_problems(options: argparse.Namespace, output: Output) -> int:
    max_problems: int | None = options.max_problems
    if max_problems is None:
        max_problems = sys.maxsize if output.is_json else Limits().max_problems
    return max_problems


def _show(file: str, report: Report, policy: Policy, output: Output) -> None:
    try:
        if output.is_json:
            _write_json(file, report, policy, output)
        else:
            show_report(file, report, policy, output)
    except BrokenPipeError:
        # The exit status is still that of the files.
        discard_stdout()


def _write_json(file: str, report: Report, policy: Policy, output: Output) -> None:
    for problem in report.problems:
        output.json(problem.to_json(file))
    summary = {"summary": True, "file": well_formed(file), "policy": policy, **report.counts_json()}
    output.json({**summary, "importable": report.may_be_imported(policy)})
