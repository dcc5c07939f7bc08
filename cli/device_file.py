"""The device file of a command that works offline: options of its validation, and how it is opened.

Imports nothing of Azure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cli.arguments import fraction, whole_number
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.lines.values import ImportMode, Status
from shared.device_files.mapping.file_mapping import NO_MAPPING
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy

if TYPE_CHECKING:
    from shared.device_files.mapping.folder_mapping import FolderMapping

__all__ = [
    "STANDARD_INPUT",
    "add_validation_arguments",
    "open_file",
    "policy_of",
    "read_mapping_file",
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
        help="the setting VALIDATION_POLICY: with partial, a file with errors is imported without "
        f"the invalid lines (default: {Policy.REJECT}{otherwise})",
    )
    for limit, type, metavar, meaning in (
        ("max_devices", whole_number(1), "N", "maximum number of devices and modules"),
        ("max_deletes", count, "N", "maximum number of deletes without confirmation"),
        ("max_delete_share", fraction, "SHARE", "maximum share of deletes, from 0 to 1"),
    ):
        option = f"--{limit.replace('_', '-')}"
        default = f"default: {getattr(defaults, limit):,}{otherwise}"
        help_limit = f"{meaning}: the setting {limit.upper()} ({default})"
        add(option, type=type, metavar=metavar, help=help_limit)
    add(
        "--confirm-deletes",
        type=count,
        metavar="N",
        default=0,
        help="confirm that the file deletes up to N devices, more than the limits allow",
    )
    add(
        "--mapping",
        metavar="FILE",
        help="a mapping of the columns of other people's files, as the _mapping.json of a folder",
    )
    add(
        "--default-status",
        choices=[status.value for status in Status],
        help="status of CSV rows without one: the setting CSV_DEFAULT_STATUS",
    )
    add(
        "--default-import-mode",
        choices=[mode.value for mode in ImportMode],
        metavar="MODE",
        help="importMode of CSV rows without one, such as create: the setting "
        "CSV_DEFAULT_IMPORT_MODE",
    )


def policy_of(options: argparse.Namespace) -> Policy:
    return options.policy or Policy.REJECT


def read_mapping_file(options: argparse.Namespace) -> FolderMapping | None:
    """The mapping that is given; None if none is.

    Raises:
        OSError: it cannot be read.
    """
    if options.mapping is None:
        return None
    # Imports pydantic, which other checks do not need.
    from shared.device_files.mapping.document import MAX_MAPPING_BYTES
    from shared.device_files.mapping.folder_mapping import FolderMapping

    with Path(options.mapping).open("rb") as stream:
        return FolderMapping.of(options.mapping, stream.read(MAX_MAPPING_BYTES + 1))


def validation_of(
    options: argparse.Namespace,
    file: str,
    max_problems: int,
    mapping: FolderMapping | None = None,
) -> Validation:
    """The validation of a file by the options, and by the app's default for each one not given."""
    given = {name: getattr(options, name) for name in _LIMITS}
    limits = {name: value for name, value in given.items() if value is not None}
    return Validation(
        Limits(max_problems=max_problems, **limits),
        name=file,
        defaults=CsvDefaults(options.default_status or "", options.default_import_mode or ""),
        mapping=mapping.applied if mapping else NO_MAPPING,
        refusal=mapping.refusal if mapping else None,
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
