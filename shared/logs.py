"""Loggers that add import, hub and job to each line, as attributes and in the text.

A line stays one line whatever its values contain: file names and messages of hubs are input.
Keys and signatures are redacted, also in exceptions and in the lines of libraries.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

from shared.redaction import redact, redact_error

__all__ = [
    "LIBRARIES",
    "LogContext",
    "log_context",
    "logger",
    "redact_libraries",
    "update_log_context",
]

#: Top loggers of the libraries that see addresses, tokens and answers.
LIBRARIES = ("azure", "msal", "msal_extensions", "opentelemetry", "requests", "urllib3")


@dataclass(frozen=True, slots=True)
class LogContext:
    """Import, hub and job of a line; "" for none. The field names are the line's attributes."""

    import_id: str = ""
    hub: str = ""
    job_id: str = ""

    def __str__(self) -> str:
        parts = {"import": self.import_id, "hub": self.hub, "job": self.job_id}
        text = " ".join(f"{name}={value}" for name, value in parts.items() if value)
        return f" [{text}]" if text else ""


_context: ContextVar[LogContext] = ContextVar("log_context", default=LogContext())  # noqa: B039


@contextmanager
def log_context(context: LogContext) -> Iterator[None]:
    """Add this context to the lines that are logged within the block."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def update_log_context(context: LogContext) -> None:
    """Replace the context until the end of the current block of `log_context`."""
    _context.set(context)


class _OneLine:
    """A value within a line, redacted, with unprintable characters escaped as by `repr`."""

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
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _redacted(exc_info: Any) -> BaseException | None:
    """The redacted exception of a line, from `exc_info` as `logging` accepts it."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    error = exc_info if isinstance(exc_info, BaseException) else sys.exception()
    return redact_error(error) if error else None


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds the context. The message stays a constant, so that lines can be counted by it."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        if self.logger.isEnabledFor(level):
            context = _context.get()
            suffix = _OneLine(context)
            if args:
                # %d accepts numbers only.
                values = (arg if isinstance(arg, int | float) else _OneLine(arg) for arg in args)
                text, args = f"{msg}%s", (*values, suffix)
            else:
                # Without arguments, percent signs in the message are literal.
                text, args = "%s%s", (redact(str(msg)), suffix)
            if exc_info := kwargs.get("exc_info"):
                kwargs["exc_info"] = _redacted(exc_info)
            kwargs["extra"] = {**asdict(context), **(kwargs.get("extra") or {})}
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            self.logger.log(level, text, *args, **kwargs)


def logger(name: str) -> logging.LoggerAdapter[logging.Logger]:
    """Return the logger of a module."""
    return _Logger(logging.getLogger(name), {})


def redact_libraries() -> None:
    """Redact each record that `LIBRARIES` log from now on, including exceptions.

    The records are redacted on creation, whatever handlers exist. Idempotent.
    """
    global _make_record
    if _make_record is None:
        _make_record = logging.getLogRecordFactory()
        logging.setLogRecordFactory(_redacted_record)


#: Creates the records that `_redacted_record` redacts.
_make_record: Callable[..., logging.LogRecord] | None = None


def _redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    assert _make_record is not None
    record = _make_record(*args, **kwargs)
    if str(record.name).partition(".")[0] in LIBRARIES:
        try:
            _redact_record(record)
        except Exception:
            # The library must not fail because of its log line, which may contain a secret.
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
