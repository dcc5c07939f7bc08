"""Log lines that say what they are about: import, hub and job, as attributes and in the text.

A line stays one line whatever is put into it: names of files and texts of hubs come from others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

__all__ = ["Subject", "about", "logger", "turn_to"]

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


@dataclass(frozen=True, slots=True)
class Subject:
    """What is worked on; "" is not known. The names are those of the attributes of a line."""

    import_id: str = ""
    hub: str = ""
    job_id: str = ""

    def __str__(self) -> str:
        parts = {"import": self.import_id, "hub": self.hub, "job": self.job_id}
        told = " ".join(f"{name}={value}" for name, value in parts.items() if value)
        return f" [{told}]" if told else ""


_subject: ContextVar[Subject] = ContextVar("subject", default=Subject())  # noqa: B039


@contextmanager
def about(subject: Subject) -> Iterator[None]:
    """Lines that are logged within the block are about this."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


def turn_to(subject: Subject) -> None:
    """From here to the end of the block of `about`, lines are about this."""
    _subject.set(subject)


class _OneLine:
    """A value within a line. What cannot be printed is escaped as `repr` escapes it."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return _escaped(str(self._value))

    def __repr__(self) -> str:
        return _escaped(repr(self._value))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


class _Logger(_Adapter):
    """Adds the subject. The message stays a constant, so that lines can be counted by it."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        if self.logger.isEnabledFor(level):
            subject = _subject.get()
            told = _OneLine(subject)
            if args:
                # %d takes numbers only.
                values = (one if isinstance(one, int | float) else _OneLine(one) for one in args)
                text, args = f"{msg}%s", (*values, told)
            else:
                # Without arguments the message is taken as it is, percent signs and all.
                text, args = "%s%s", (msg, told)
            kwargs["extra"] = {**asdict(subject), **(kwargs.get("extra") or {})}
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            self.logger.log(level, text, *args, **kwargs)


def logger(name: str) -> _Adapter:
    """The logger of a module."""
    return _Logger(logging.getLogger(name), {})
