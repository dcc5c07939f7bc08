"""Import devices into Azure IoT Hub: check and upload device files, follow and control imports."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.arguments import add_settings
from cli.errors import EXIT_STATUSES, CommandError, Exit
from cli.output import PROGRAM, Output, discard_stdout


@dataclass(frozen=True)
class Command:
    """A command; its module has `add_arguments(parser)` and `run(options, [importer,] output)`."""

    summary: str
    module: str
    #: For --help; empty: the summary.
    description: str = ""
    #: Whether `run` gets an importer, which needs settings and a connection to the storage account.
    uses_storage: bool = True


COMMANDS = {
    "check": Command(
        "validate device files before the upload",
        "cli.check",
        "Validate device files: NDJSON, a JSON array or CSV, plain or gzipped. Works offline and "
        "without settings.",
        uses_storage=False,
    ),
    "template": Command(
        "write an empty CSV file, or a mapping of the columns of a CSV file",
        "cli.template",
        "Write a CSV file without devices to begin with. With --from, write a mapping "
        "(_mapping.json) of the columns of another CSV file, such as one that Excel exported: each "
        "column is guessed or ignored. Works offline and without settings.",
        uses_storage=False,
    ),
    "plan": Command(
        "show what a device file would change in the registry",
        "cli.plan",
        "Validate a device file, and show what its import would create, update and delete, and "
        "which lines would fail. The registry is that of the hub, read with your own rights, or "
        "an export (--registry), which works offline.",
        uses_storage=False,
    ),
    "export": Command(
        "export the registry of a hub into a file",
        "cli.export",
        "Export all devices and modules of a hub with your own rights, for `plan --registry` or, "
        "with --keys, as a backup.",
    ),
    "upload": Command(
        "check device files and upload them",
        "cli.upload",
        "Check device files with the limits in the settings, and upload them. If one of them would "
        "be rejected, print its problems and upload nothing.",
    ),
    "list": Command("list imports, the newest upload first", "cli.list"),
    "show": Command("show the details of an import, or download one of its files", "cli.show"),
    "find": Command(
        "find the imports that touched a device",
        "cli.find",
        "Search recent imports for a device, and show each that has it, the newest first, with the "
        "line and what became of it. Also asks the hub whether it has the device now, with your "
        "own rights. The exit status is 3 if no import has it.",
    ),
    "queues": Command(
        "show what each hub does, how much waits, and how long that takes", "cli.queues"
    ),
    "watch": Command("follow imports until they end", "cli.watch"),
    "approve": Command(
        "approve an import that is held",
        "cli.decide",
        "Approve an import that is held: it enters the end of the queue of its hub and does what "
        "its plan says. Devices that changed since the plan are not overwritten: their lines "
        "fail.",
    ),
    "decline": Command("decline an import that is held", "cli.decide"),
    "cancel": Command("cancel imports that have not ended", "cli.cancel_retry"),
    "retry": Command(
        "retry imports that failed, were cancelled or completed with errors",
        "cli.cancel_retry",
        "Retry imports. Each retry is a new import at the end of its hub's queue: of the lines "
        "that the hub rejected if the import completed with errors, otherwise of all lines. An "
        "import is retried once: repeating the command returns the same new import.",
    ),
    "undo": Command(
        "undo an import that was backed up",
        "cli.undo",
        "Make the devices of an import what they were before it, by a new import at the end of its "
        "hub's queue: those that it deleted are made again, those that it created are deleted, the "
        "others get their former properties. Devices that somebody changed since are left out. "
        "With --plan, show that and change nothing.",
    ),
}


_EPILOG = (
    f"Begin with `{PROGRAM} check FILE`, which needs nothing else; COMMAND --help explains each "
    "command. Most commands need the settings of the app: see their option --settings."
)


class _CommandParser(argparse.ArgumentParser):
    """Imports a command's module when the command is used, so that `check` does not load Azure."""

    def __init__(self, *, command: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._command = command

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        command = COMMANDS[self._command]
        module = importlib.import_module(command.module)
        add = self.add_argument
        add("--format", choices=("text", "json"), default="text", help="json: objects for programs")
        if command.uses_storage:
            add_settings(self)
        # Two commands of one module may have different arguments.
        self.set_defaults(command=self._command, run=module.run)
        module.add_arguments(self)
        return super().parse_known_args(args, namespace)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        options = _parser().parse_args(argv)
        # `check` has no settings.
        output = Output(options.format, getattr(options, "settings", None))
        try:
            status = _run(options, output)
            sys.stdout.flush()
        except CommandError as error:
            output.error(str(error))
            return error.status
    except BrokenPipeError:
        discard_stdout()
        return Exit.DONE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__, epilog=_EPILOG)
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=_CommandParser, title="commands"
    )
    for name, command in COMMANDS.items():
        description = command.description or f"{command.summary[0].upper()}{command.summary[1:]}."
        commands.add_parser(
            name, command=name, help=command.summary, description=description, epilog=EXIT_STATUSES
        )
    return parser


def _run(options: argparse.Namespace, output: Output) -> int:
    if not COMMANDS[options.command].uses_storage:
        return int(options.run(options, output))
    from cli.connection import connected

    with connected(options.settings) as importer:
        return int(options.run(options, importer, output))
