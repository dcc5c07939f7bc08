"""The trace of an import: a span for each step of its way, and one from its upload to its end.

All of them are one trace, in whatever process and hour they happen: its id follows from the
import's. A step that does nothing makes no span.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

from shared import logs
from shared.imports import metrics
from shared.imports.model.record import ImportRecord
from shared.telemetry import facade
from shared.telemetry.facade import Attributes
from shared.texts import clean

__all__ = ["about", "became", "concerning", "ended", "step"]

log = logs.logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

#: Longest text of an attribute, in characters.
MAX_TEXT = 2000


@contextmanager
def about(record: ImportRecord) -> Iterator[None]:
    """Log lines of the block are about the import."""
    with logs.about(_subject(record)), facade.quiet(record.id):
        yield


def concerning(
    function: Callable[Concatenate[T, ImportRecord, P], R],
) -> Callable[Concatenate[T, ImportRecord, P], R]:
    """Log lines of the method are about the import that it is given."""

    @functools.wraps(function)
    def run(self: T, record: ImportRecord, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with about(record):
            return function(self, record, *args, **kwargs)

    return run


#: A method that takes an import further, and returns it as it is then.
Step: TypeAlias = Callable[Concatenate[T, ImportRecord, P], ImportRecord]


def step(name: str) -> Callable[[Step[T, P]], Step[T, P]]:
    """What the method does is a span of its import's trace."""

    def decorate(function: Step[T, P]) -> Step[T, P]:
        @functools.wraps(function)
        def run(
            self: T, record: ImportRecord, /, *args: P.args, **kwargs: P.kwargs
        ) -> ImportRecord:
            with (
                logs.about(_subject(record)),
                facade.span(record.id, name, _attributes(record)) as span,
            ):
                try:
                    result = function(self, record, *args, **kwargs)
                except Exception as error:
                    span.fail(type(error).__name__, clean(str(error), MAX_TEXT))
                    raise
                span.set(_attributes(result))
                return result

        return run

    return decorate


def became(record: ImportRecord) -> None:
    """The import at work has become this: the lines that follow name its job."""
    logs.turn_to(_subject(record))


def ended(record: ImportRecord) -> None:
    """The import has become final, and this process has written so."""
    metrics.count_end(record)
    state, is_trouble = record.state.value, record.state.is_alarming
    with about(record):
        log.log(
            logging.WARNING if is_trouble else logging.INFO,
            *(("%s. %s", state, record.failure_reason) if record.failure_reason else (state,)),
            extra={"import_state": state},
        )
    facade.emit_root(
        record.id,
        "import",
        record.uploaded_at,
        record.ended_at,
        {**_attributes(record), **_outcome(record)},
        record.failure_reason if is_trouble else "",
    )


def _subject(record: ImportRecord) -> logs.Subject:
    return logs.Subject(record.id, record.hub, record.job.id)


def _attributes(record: ImportRecord) -> Attributes:
    return {
        "deviceimporter.import.id": record.id,
        metrics.STATE: record.state.value,
        metrics.HUB: record.hub,
        "deviceimporter.file.name": record.file,
        "deviceimporter.file.size": record.size,
        **({"deviceimporter.job.id": record.job.id} if record.job.id else {}),
        **({"deviceimporter.import.retry_of": record.retry_of} if record.retry_of else {}),
        **(
            {"deviceimporter.import.reason": record.failure_reason} if record.failure_reason else {}
        ),
    }


def _outcome(record: ImportRecord) -> Attributes:
    """What is known at the end; what is not is left out."""
    known = {
        "deviceimporter.file.format": record.validation.get("format"),
        metrics.JOB_STATUS: record.job.status or None,
        "deviceimporter.devices.given": record.devices,
        "deviceimporter.devices.imported": record.imported,
        "deviceimporter.devices.failed": record.failed,
        "deviceimporter.lines.invalid": record.invalid_lines,
        "deviceimporter.import.attempts": record.validation_attempts or None,
    }
    return {name: value for name, value in known.items() if value is not None}
