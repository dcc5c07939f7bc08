"""Arguments that select imports."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime

from cli.arguments import add_hub_filter, time_or_age
from shared.imports.model.states import ImportState, StateGroup, states_of
from shared.imports.operate.import_filter import ImportFilter

__all__ = ["add_filters", "arguments_of", "filter_of"]

_STATES: Mapping[str, ImportState | StateGroup] = {
    name.value: name for name in (*StateGroup, *ImportState)
}


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the options that select imports."""
    add = parser.add_argument
    add_hub_filter(parser)
    add(
        "--state",
        action="append",
        type=_state,
        default=[],
        metavar="STATE",
        help="only imports in this state, such as queued or failed, or in one of a group: open "
        "(not finished), waiting (not sent to the hub yet), attention; can be repeated",
    )
    add(
        "--file",
        default="",
        metavar="TEXT",
        help="only files with this text in their names; the letter case does not matter. With *, "
        "which stands for any text, the whole name has to match",
    )
    add(
        "--who",
        default="",
        metavar="TEXT",
        help="only imports that somebody with this text in the name cancelled, retried, approved, "
        "declined, undid or asked for; as --file",
    )
    time = "a local date or time such as 2026-11-23T09:30, or an age such as 2h or 3d"
    add("--since", type=time_or_age, metavar="TIME", help=f"uploaded at or after: {time}")
    add("--until", type=time_or_age, metavar="TIME", help="uploaded before")


def filter_of(options: argparse.Namespace) -> ImportFilter:
    """The filter that the options make."""
    return ImportFilter(
        frozenset(options.hub),
        states_of(options.state),
        options.since,
        options.until,
        options.file,
        options.who,
    )


def arguments_of(
    options: argparse.Namespace, since: datetime | None, until: datetime | None
) -> list[str]:
    """The options as arguments of a command, with these times."""
    given = [
        *(("--hub", hub) for hub in options.hub),
        *(("--state", str(state)) for state in options.state),
        ("--file", options.file),
        ("--who", options.who),
        ("--since", _text(since)),
        ("--until", _text(until)),
    ]
    # With an equals sign, as a value may begin with a hyphen.
    return [f"{name}={value}" for name, value in given if value]


def _text(time: datetime | None) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z") if time else ""


def _state(text: str) -> ImportState | StateGroup:
    if text not in _STATES:
        raise argparse.ArgumentTypeError(
            f"unknown state {text!r} (expected one of: {', '.join(_STATES)})"
        )
    return _STATES[text]
