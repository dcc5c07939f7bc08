"""The device file of a command that works offline: options of its validation, and how it is opened.

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
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.lines.values import ImportMode, Status
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy

__all__ = [
    "STANDARD_INPUT",
    "add_validation_arguments",
    "open_file",
    "policy_of",
    "shown_name",
    "size_of",
    "validation_of",
]

STANDARD_INPUT = "-"
_LIMITS = ("max_devices", "max_deletes", "max_delete_share")


def add_validation_arguments(parser: argparse.ArgumentParser, otherwise: str = "") -> None:
    """Add the options that stand for settings of the app; None: not given.

    Args:
        otherwise: when another default applies, and which, for --help.
    """
    defaults = Limits()
    count = whole_number(0)
    add = parser.add_argument
    add(
        "--policy",
        type=Policy,
        choices=list(Policy),
        help="as VALIDATION_POLICY: with partial, a file with errors is imported without the "
        f"invalid lines (default: {Policy.REJECT}{otherwise})",
    )
    for limit, type, metavar in (
        ("max_devices", whole_number(1), "N"),
        ("max_deletes", count, "N"),
        ("max_delete_share", fraction, "SHARE"),
    ):
        option = f"--{limit.replace('_', '-')}"
        help_limit = f"as {limit.upper()} (default: {getattr(defaults, limit)}{otherwise})"
        add(option, type=type, metavar=metavar, help=help_limit)
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
        help="of CSV rows without a status, as CSV_DEFAULT_STATUS",
    )
    add(
        "--default-import-mode",
        choices=[mode.value for mode in ImportMode],
        metavar="MODE",
        help="of CSV rows without an importMode, as CSV_DEFAULT_IMPORT_MODE",
    )


def policy_of(options: argparse.Namespace) -> Policy:
    return options.policy or Policy.REJECT


def validation_of(options: argparse.Namespace, file: str, max_problems: int) -> Validation:
    """The validation of a file by the options, and by the app's default for each one not given."""
    given = {name: getattr(options, name) for name in _LIMITS}
    limits = {name: value for name, value in given.items() if value is not None}
    return Validation(
        Limits(max_problems=max_problems, **limits),
        name=file,
        defaults=CsvDefaults(options.default_status or "", options.default_import_mode or ""),
        confirmed_deletes=options.confirm_deletes,
    )


def shown_name(file: str) -> str:
    """The name of a file in a text."""
    return "standard input" if file == STANDARD_INPUT else file


def open_file(file: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """Open a file, or standard input.

    Raises:
        OSError: it cannot be read.
    """
    if file == STANDARD_INPUT:
        return contextlib.nullcontext(sys.stdin.buffer)
    return Path(file).open("rb")


def size_of(stream: BinaryIO) -> int | None:
    """Size of a file in bytes; None for a pipe."""
    with contextlib.suppress(OSError, ValueError):
        return os.fstat(stream.fileno()).st_size or None
    return None
