"""`device-importer plan`: what a device file would change in the registry of a hub.

With --registry it works offline and without settings, and imports nothing of Azure.
"""

from __future__ import annotations

import argparse

from cli.arguments import add_settings
from cli.device_file import (
    add_validation_arguments,
    policy_of,
    read_mapping_file,
    validation_of,
)
from cli.errors import Exit, UsageError
from cli.output import Output
from cli.planning import DeviceFile, plan_device_file
from cli.registry import export_file
from shared.device_files.limits import Limits

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help="a device file, or - for standard input")
    add(
        "--registry",
        metavar="EXPORT",
        help="an export of the registry, plain or gzipped, instead of the hub: works offline and "
        "without settings",
    )
    add(
        "--hub",
        metavar="NAME",
        help="hub name, or folder in IOTHUB; required if there are several hubs",
    )
    add(
        "--detail",
        action="store_true",
        help="show all lines that are not unchanged, with the old and new value of each property",
    )
    add_settings(parser)
    add_validation_arguments(parser, "; without --registry, the setting")


def run(options: argparse.Namespace, output: Output) -> Exit:
    """Plan a file for a registry that was exported before, or for that of a hub.

    Raises:
        CommandError: the registry cannot be read.
    """
    try:
        if options.registry is None:
            from cli.plan_hub import plan_for_hub

            return plan_for_hub(options, output)
        if options.hub is not None:
            raise UsageError("--registry and --hub exclude each other: a plan is made for one.")
        mapping = read_mapping_file(options)
        validation = validation_of(options, options.file, Limits().max_problems, mapping)
        file = DeviceFile(options.file, validation, policy_of(options))
        return plan_device_file(
            file,
            lambda devices, _: export_file(options.registry, devices, output),
            output,
            detail=options.detail,
        )
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"{error.filename or options.file}: {error.strerror or error}") from None
