"""Log context and trace of an import: a span per step, and a root span from upload to end.

The trace id is derived from the import id, so all processes add to the same trace.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

from shared import logs, telemetry
from shared.imports import metrics
from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord
from shared.telemetry import Attributes
from shared.text import clean

__all__ = [
    "log_context",
    "log_job_context",
    "report_end",
    "traced",
    "traced_job",
    "update_log_context",
    "with_log_context",
]

log = logs.logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

#: Maximum length of an error message, in characters.
MAX_TEXT = 2000


@contextmanager
def log_context(record: ImportRecord) -> Iterator[None]:
    """Add import, hub and job to the log lines of the block."""
    with logs.log_context(_context(record)), telemetry.suppress_sdk_spans(record.id):
        yield


@contextmanager
def log_job_context(job: JobRecord) -> Iterator[None]:
    """Add hub and job to the log lines of the block, and the import if there is but one."""
    with logs.log_context(_job_context(job)), telemetry.suppress_sdk_spans(job.id):
        yield


def update_log_context(job: JobRecord) -> None:
    """Replace the context of the current block by the job that was started."""
    logs.update_log_context(_job_context(job))


def with_log_context(
    function: Callable[Concatenate[T, ImportRecord, P], R],
) -> Callable[Concatenate[T, ImportRecord, P], R]:
    """Decorate a method to run in the log context of its record."""

    @functools.wraps(function)
    def run(self: T, record: ImportRecord, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with log_context(record):
            return function(self, record, *args, **kwargs)

    return run


#: A method that advances an import and returns its new record.
Step: TypeAlias = Callable[Concatenate[T, ImportRecord, P], ImportRecord]


def traced(name: str) -> Callable[[Step[T, P]], Step[T, P]]:
    """Decorate a method to run in a span of its record's trace, and in its log context."""

    def decorate(function: Step[T, P]) -> Step[T, P]:
        @functools.wraps(function)
        def run(
            self: T, record: ImportRecord, /, *args: P.args, **kwargs: P.kwargs
        ) -> ImportRecord:
            with (
                logs.log_context(_context(record)),
                telemetry.span(record.id, name, _attributes(record)) as span,
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


#: A method that advances a job; None if the job is over.
JobStep: TypeAlias = Callable[Concatenate[T, JobRecord, P], R]


def traced_job(name: str) -> Callable[[JobStep[T, P, R]], JobStep[T, P, R]]:
    """Decorate a method to run in a span of its job's trace, and in its log context.

    The trace of a job of one import is that of the import.
    """

    def decorate(function: JobStep[T, P, R]) -> JobStep[T, P, R]:
        @functools.wraps(function)
        def run(self: T, job: JobRecord, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with (
                logs.log_context(_job_context(job)),
                telemetry.span(job.id, name, _job_attributes(job)) as span,
            ):
                try:
                    result = function(self, job, *args, **kwargs)
                except Exception as error:
                    span.fail(type(error).__name__, clean(str(error), MAX_TEXT))
                    raise
                if isinstance(result, JobRecord):
                    span.set(_job_attributes(result))
                return result

        return run

    return decorate


def report_end(record: ImportRecord) -> None:
    """Log, count and trace the end of an import whose final record this process has written."""
    metrics.count_end(record)
    state, is_alarming = record.state.value, record.state.is_alarming
    with log_context(record):
        log.log(
            logging.WARNING if is_alarming else logging.INFO,
            *(("%s. %s", state, record.failure_reason) if record.failure_reason else (state,)),
            extra={"import_state": state},
        )
    telemetry.emit_root_span(
        record.id,
        "import",
        record.uploaded_at,
        record.ended_at,
        {**_attributes(record), **_outcome(record)},
        record.failure_reason if is_alarming else "",
    )


def _context(record: ImportRecord) -> logs.LogContext:
    return logs.LogContext(record.id, record.hub, record.job.id)


def _job_context(job: JobRecord) -> logs.LogContext:
    import_id = "" if job.is_shared else job.id
    return logs.LogContext(import_id, job.hub, job.job.id or (job.id if job.is_shared else ""))


def _job_attributes(job: JobRecord) -> Attributes:
    optional = {
        "deviceimporter.import.id": "" if job.is_shared else job.id,
        "deviceimporter.job.id": job.job.id,
        "deviceimporter.import.reason": job.failure_reason,
    }
    return {
        metrics.STATE: job.import_state.value,
        metrics.HUB: job.hub,
        "deviceimporter.job.files": len(job.members),
        **{name: value for name, value in optional.items() if value},
    }


def _attributes(record: ImportRecord) -> Attributes:
    optional = {
        "deviceimporter.job.id": record.job.id,
        "deviceimporter.import.retry_of": record.retry_of,
        "deviceimporter.import.reason": record.failure_reason,
    }
    return {
        "deviceimporter.import.id": record.id,
        metrics.STATE: record.state.value,
        metrics.HUB: record.hub,
        "deviceimporter.file.name": record.file,
        "deviceimporter.file.size": record.size,
        **{name: value for name, value in optional.items() if value},
    }


def _outcome(record: ImportRecord) -> Attributes:
    """The known results; unknown ones are omitted."""
    known = {
        "deviceimporter.file.format": record.validation.get("format"),
        metrics.JOB_STATUS: record.job.status or None,
        "deviceimporter.devices.given": record.devices,
        "deviceimporter.devices.imported": record.imported,
        "deviceimporter.devices.failed": record.failed,
        "deviceimporter.devices.unchanged": record.unchanged,
        "deviceimporter.plan.sent": record.plan.sent,
        "deviceimporter.lines.invalid": record.invalid_lines,
        "deviceimporter.import.attempts": record.validation_attempts or None,
    }
    return {name: value for name, value in known.items() if value is not None}
