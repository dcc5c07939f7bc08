"""Log lines that say what they are about: import, hub and job, as attributes and in the text.

A line stays one line whatever is put into it: names of files and texts of hubs come from others.
Keys and signatures are redacted, also in exceptions, and also in what libraries log.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from shared.redaction import redact, redact_error

__all__ = ["LIBRARIES", "Subject", "about", "logger", "redact_libraries", "turn_to"]

#: Top loggers of the libraries that see addresses, tokens and answers.
LIBRARIES = ("azure", "msal", "msal_extensions", "opentelemetry", "requests", "urllib3")

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
        return _escaped(redact(str(self._value)))

    def __repr__(self) -> str:
        return _escaped(redact(repr(self._value)))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _redacted(exc_info: Any) -> BaseException | None:
    """The redacted exception of a line, from `exc_info` as `logging` accepts it."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    error = exc_info if isinstance(exc_info, BaseException) else sys.exception()
    return redact_error(error) if error else None


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
                text, args = "%s%s", (redact(str(msg)), told)
            if exc_info := kwargs.get("exc_info"):
                kwargs["exc_info"] = _redacted(exc_info)
            kwargs["extra"] = {**asdict(subject), **(kwargs.get("extra") or {})}
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            self.logger.log(level, text, *args, **kwargs)


def logger(name: str) -> _Adapter:
    """The logger of a module."""
    return _Logger(logging.getLogger(name), {})


def redact_libraries() -> None:
    """Redact each record that `LIBRARIES` log from here on, exceptions included.

    The records are redacted when they are made, so it does not matter which handlers there are or
    come later. Calling this again changes nothing.
    """
    global _make_record
    if _make_record is None:
        _make_record = logging.getLogRecordFactory()
        logging.setLogRecordFactory(_redacted_record)


#: Makes the records that `_redacted_record` redacts.
_make_record: Callable[..., logging.LogRecord] | None = None


def _redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    assert _make_record is not None
    record = _make_record(*args, **kwargs)
    if str(record.name).partition(".")[0] in LIBRARIES:
        try:
            _redact_record(record)
        except Exception:
            # A library must not fail for its log line, nor may the line pass as it is.
            record.msg, record.args, record.exc_info = "a line that cannot be redacted", (), None
    return record


def _redact_record(record: logging.LogRecord) -> None:
    """Redact message and exception. A record without secrets keeps its template and arguments."""
    text = record.getMessage()
    if (redacted := redact(text)) != text:
        record.msg, record.args = redacted, ()
    if error := record.exc_info and record.exc_info[1]:
        error = redact_error(error)
        record.exc_info = (type(error), error, error.__traceback__)
