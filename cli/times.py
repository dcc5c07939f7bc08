"""Times as people give them and as they are shown them: local, and no longer than needed."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

__all__ = ["moment", "when"]

_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def when(text: str) -> datetime:
    """An ISO date or time, local unless it says otherwise, or an age such as 2h.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    try:
        if age := re.fullmatch(r"([0-9]{1,6}) *(s|m|min|h|d|w)", text):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        # A time without a zone is a local one.
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a date or time such as 2026-11-23 or 2026-11-23T09:30 "
            "nor an age such as 30m, 2h or 3d"
        ) from None


def moment(time: datetime, now: datetime, *, in_full: bool = False) -> str:
    """A time by the local clock; of today the time of day alone, unless it is wanted in full."""
    local, today = time.astimezone(), now.astimezone()
    if in_full:
        return f"{local:%Y-%m-%d %H:%M:%S}"
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d}"
