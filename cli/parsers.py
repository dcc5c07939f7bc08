"""The command line of each command. Cheap to make: what a command needs is imported by its run."""

from __future__ import annotations

import argparse
import re
from typing import Any

from cli.exits import EPILOG
from cli.times import when
from shared.options import whole_number

__all__ = ["add_parsers"]

#: As the API names them.
_FILES = ("report.json", "problems.csv", "retry.ndjson")


def add_parsers(commands: Any) -> None:
    """Add the commands to those of argparse."""
    _add_list(_command(commands, "list", "list imports, the newest upload first", "listing.run"))
    _add_show(_command(commands, "show", "tell everything about an import", "show.run"))
    _add_watch(_command(commands, "watch", "follow imports until they end", "watch.run"))
    _add_cancel(_command(commands, "cancel", "cancel imports that are open", "verbs.cancel"))
    _add_retry(
        _command(commands, "retry", "import again what an import left undone", "verbs.retry")
    )
    _add_upload(_command(commands, "upload", "check device files and upload them", "upload.run"))


def _add_list(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_hubs(parser)
    add(
        "--state",
        action="append",
        type=_state,
        default=[],
        metavar="STATE",
        help="only those in this state, such as queued or failed; may be repeated. "
        "The rarer the state, the more of the history has to be looked through",
    )
    time = "a date or time such as 2026-11-23T09:30 (local), or an age such as 2h or 3d"
    add("--since", type=when, metavar="WHEN", help=f"uploaded then or later: {time}")
    add("--until", type=when, metavar="WHEN", help="uploaded before then")
    add(
        "--limit",
        type=whole_number(1, 99_999_999),
        default=20,
        metavar="N",
        help="at most so many (default: 20)",
    )
    add("--continuation", default="", metavar="TOKEN", help="go on where another list ended")
    add("--all", action="store_true", help="all of them, page by page; --limit does not matter")


def _add_show(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("id", type=_id, metavar="ID", help="id of an import, as the list has it")
    add("--file", choices=_FILES, help="instead, write one of its files as it is")
    add("--output", metavar="FILE", help="where to write it; - is standard output (default: -)")


def _add_watch(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    help_id = "imports to follow until all have ended; without: all that are or become open"
    add("ids", nargs="*", type=_id, metavar="ID", help=help_id)
    _add_hubs(parser)
    _add_interval(parser)
    add("--until-idle", action="store_true", help="without ids: end when nothing is open")


def _add_cancel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", type=_id, metavar="ID", help="imports to cancel")
    _add_watching(parser, "follow them until they have ended; then 0 is: all were cancelled")


def _add_retry(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Import again what imports left undone, each as a new import at the end of its hub's "
        "queue: after completedWithErrors the lines that the hub refused, else all. "
        "An import is tried again once: whoever repeats this gets the same new import."
    )
    help_ids = "imports that failed, were cancelled or completedWithErrors"
    parser.add_argument("ids", nargs="+", type=_id, metavar="ID", help=help_ids)
    _add_watching(parser, "follow the new imports until they have ended")


def _add_upload(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check device files as the app will and upload them. If one would be rejected, its "
        "problems are shown and nothing is uploaded."
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a device file")
    add(
        "--hub",
        metavar="FOLDER",
        help="the folder of the hub, or its name; required where there are several",
    )
    add("--name", help="name of the blob; without: that of the file")
    add("--no-check", dest="check", action="store_false", help="leave the check to the app")
    add(
        "--confirm-deletes",
        type=whole_number(0, 10_000_000),
        default=0,
        metavar="N",
        help="allow the file to delete so many devices",
    )
    add(
        "--overwrite",
        action="store_true",
        help="upload although there is a blob of this name; that is a new import",
    )
    _add_watching(parser, "follow the imports until they have ended")


def _command(commands: Any, name: str, summary: str, verb: str) -> argparse.ArgumentParser:
    """A command's parser with what all have; `verb` is the function that carries it out."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=EPILOG
    )
    add = parser.add_argument
    add("--format", choices=("text", "json"), default="text", help="json: one object a line")
    add("--settings", metavar="FILE", help="a file like local.settings.json, with the app settings")
    parser.set_defaults(run=_run, verb=verb)
    return parser


def _run(options: argparse.Namespace) -> int:
    from cli.runner import run

    return run(options)


def _add_hubs(parser: argparse.ArgumentParser) -> None:
    help_hub = "only those of this hub; may be repeated"
    parser.add_argument("--hub", action="append", default=[], metavar="NAME", help=help_hub)


def _add_interval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval",
        type=_interval,
        default=2.0,
        metavar="S",
        help="seconds between two looks, at least 0.2 (default: 2)",
    )


def _add_watching(parser: argparse.ArgumentParser, help_watch: str) -> None:
    parser.add_argument("--watch", action="store_true", help=help_watch)
    _add_interval(parser)


def _id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{24}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no id of an import, which has 24 digits of 0-9 a-f; see the list"
        )
    return text


def _state(text: str) -> str:
    from shared.imports.model.states import ImportState

    states = [state.value for state in ImportState]
    if text not in states:
        raise argparse.ArgumentTypeError(f"{text!r} is no state; these are: {', '.join(states)}")
    return text


def _interval(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", text) or float(text) < 0.2:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.2 on")
    return float(text)
