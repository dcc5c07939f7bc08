"""Types of arguments, and arguments that several commands have."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = [
    "HELP_ID",
    "add_hub_filter",
    "add_id",
    "add_interval",
    "add_settings",
    "add_watch",
    "digest",
    "fraction",
    "import_id",
    "time_or_age",
    "whole_number",
]

HELP_ID = "import id, or enough of its first digits"

_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_hub_filter(parser: argparse.ArgumentParser) -> None:
    help_hub = "only imports of this hub, or of the hub of this folder in IOTHUB; can be repeated"
    parser.add_argument("--hub", action="append", default=[], metavar="NAME", help=help_hub)


def add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=import_id, metavar="ID", help=HELP_ID)


def add_interval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval",
        type=_interval,
        default=2.0,
        metavar="SECONDS",
        help="time between two reads of the imports, at least 0.2 seconds (default: 2)",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    help_settings = (
        "JSON file with the app settings (default: local.settings.json, if it exists); "
        "environment variables have precedence"
    )
    parser.add_argument("--settings", metavar="FILE", help=help_settings)


def add_watch(parser: argparse.ArgumentParser, help_watch: str) -> None:
    parser.add_argument("--watch", action="store_true", help=help_watch)
    add_interval(parser)


def whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """The type of a whole number from `low` to `high`; None: no upper bound."""

    def parse(text: str) -> int:
        # int() accepts underscores and other digits, and its time is quadratic in their number.
        if re.fullmatch(r"[0-9]{1,20}", text):
            value = int(text)
            if low <= value and (high is None or value <= high):
                return value
        expected = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise argparse.ArgumentTypeError(f"must be a whole number {expected}, not {text!r}")

    return parse


def fraction(text: str) -> float:
    """A number from 0 to 1, such as 0.25 or 1e-3."""
    # Not nan, inf, or digits with underscores, all of which float() accepts.
    if re.fullmatch(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE]-?[0-9]{1,3})?", text):
        value = float(text)
        if value <= 1:
            return value
    raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")


def import_id(text: str) -> str:
    """An import id, or the beginning of one, which is looked up when it is used."""
    if not re.fullmatch(r"[0-9a-f]{4,24}", text.lower()):
        raise argparse.ArgumentTypeError(
            f"invalid import id {text!r} (expected 24 hexadecimal digits, or the first of them, "
            "at least 4; see `list`)"
        )
    return text.lower()


def digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise argparse.ArgumentTypeError(
            f"invalid digest {text!r} (expected 32 hexadecimal digits; see `show`)"
        )
    return text


def time_or_age(text: str) -> datetime:
    """An ISO 8601 date or time, local unless it has an offset, or an age such as 2h."""
    try:
        if age := re.fullmatch(r"([0-9]{1,6}) *(s|m|min|h|d|w)", text):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a date or time such as 2026-11-23 or 2026-11-23T09:30 "
            "nor an age such as 30m, 2h or 3d"
        ) from None


def _interval(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", text) or float(text) < 0.2:
        raise argparse.ArgumentTypeError(f"must be at least 0.2 seconds, not {text!r}")
    return float(text)
