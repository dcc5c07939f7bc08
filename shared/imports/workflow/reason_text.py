"""The form of failure reasons: what an operator reads in a record, with what to do next."""

from __future__ import annotations

from datetime import timedelta

from shared.errors import first_line
from shared.text import clean

__all__ = ["bounded", "error_text", "hours_and_minutes", "joined", "unreadable", "unwritten"]

#: Characters. A column holds 32,768, an operator reads fewer.
MAX_REASON = 2000


def bounded(text: str) -> str:
    """The reason without secrets, on one line, not longer than `MAX_REASON`."""
    return clean(text, MAX_REASON)


def joined(*parts: str) -> str:
    return bounded(" ".join(filter(None, parts)))


def error_text(error: BaseException) -> str:
    """An error's message as a part of a sentence."""
    return first_line(error).rstrip(".")


def unreadable(what: str, error: BaseException) -> str:
    return f"{what[0].upper()}{what[1:]} cannot be read ({error_text(error)})."


def unwritten(what: str, error: BaseException) -> str:
    return f"{what[0].upper()}{what[1:]} could not be written ({error_text(error)})."


def hours_and_minutes(time: timedelta) -> str:
    if time >= timedelta(days=2):
        return f"{time.days} days"
    minutes = round(time.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
