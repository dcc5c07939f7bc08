"""Reads the results of all lines of an import from the files that it keeps."""

from __future__ import annotations

import csv
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from shared.device_files.rules import Rule
from shared.errors import NotPossibleError
from shared.imports.model.record import Apply, ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import has_results
from shared.imports.operate.failure_details import FailureDetails
from shared.imports.operate.line_results import (
    LineResult,
    LinesEditedError,
    PlannedLine,
    Rest,
    Result,
    counted,
    invalid_lines,
    merged,
    staged_lines,
    unlisted_lines,
)
from shared.imports.operate.retry import retry_id, was_retried
from shared.imports.operate.stored_report import StoredReport, read_report
from shared.imports.services import Services
from shared.imports.store.import_container import (
    ImportContainer,
    LinesLostError,
    StagedFileChangedError,
)
from shared.plan.model import Action, Note
from shared.storage.blobs import StoredFile

__all__ = ["read_results"]

_UNKNOWN = Rest(
    Result.UNKNOWN,
    "the hub may have imported the line",
    "compare the device with the hub",
)
_UNKNOWN_DEVICE = Rest(
    Result.UNKNOWN, "the validated file was edited or deleted, so the device is not known"
)

#: Errors that say that a file of the import was edited or deleted.
_EDITED = (
    *(ValueError, zlib.error, LinesLostError),
    *(ResourceModifiedError, ResourceNotFoundError),
)


def read_results(services: Services, record: ImportRecord) -> Iterator[LineResult]:
    """The results of all lines of an import that has ended, in the order of its file.

    Lines whose number is not known come last. Everything is read as a stream.

    Raises:
        NotPossibleError: at once, if the import has not ended or has no lines, or if its files were
            deleted; at the end, if one of its files was edited.
        AzureError: storage is unavailable.
    """
    if not record.state.is_final:
        raise NotPossibleError(
            f"Import {record.id} is {record.state.label}. results.csv exists once it has ended."
        )
    if not has_results(record):
        raise NotPossibleError(f"Import {record.id} is {record.state} and has no results.csv.")
    container = services.container_of(record)
    if not container.exists():
        raise NotPossibleError(
            f"results.csv of import {record.id} was deleted with its container "
            "(IMPORT_RETENTION_DAYS)."
        )
    report = read_report(container, record)
    invalid = invalid_lines(report.problems, is_rejected=record.state is ImportState.REJECTED)
    return _Reading(services, record, container, report).results(invalid)


class _Reading:
    def __init__(
        self,
        services: Services,
        record: ImportRecord,
        container: ImportContainer,
        report: StoredReport,
    ) -> None:
        self._services = services
        self._record = record
        self._container = container
        self._report = report

    def results(self, invalid: list[LineResult]) -> Iterator[LineResult]:
        record, counts = self._record, Counter[Result]()
        rest = _rest_of(record, self._remedy)
        try:
            yield from merged(counted(self._staged(rest), counts), invalid)
        except _EDITED as error:
            raise self._edited() from error
        known = {
            Result.IMPORTED: record.imported,
            Result.FAILED: record.failed,
            Result.UNCHANGED: record.unchanged,
        }
        is_known = None not in (record.devices, record.imported) and not counts[Result.UNKNOWN]
        if is_known and any(counts[result] != (count or 0) for result, count in known.items()):
            raise self._edited()
        yield from self._without_number(invalid)

    def _staged(self, rest: Rest) -> Iterator[LineResult]:
        record, container = self._record, self._container
        if record.devices is None:
            return
        numbers = container.line_map(record.staged)
        lines = container.staged_lines(record.staged, record.devices)
        is_applied = rest.result is not Result.LEFT_OUT
        try:
            first = next(lines, None)
        except (ResourceNotFoundError, StagedFileChangedError):
            fate = _UNKNOWN_DEVICE if is_applied else rest
            for number in range(1, record.devices + 1):
                yield LineResult(numbers.upload_line(number), "", "", "", *fate.columns)
            return
        if first is None:
            return
        yield from staged_lines(
            _with_first(first, lines),
            numbers.upload_line,
            rest,
            failed=container.rejected_lines(record) if record.retry and is_applied else (),
            failure_of=FailureDetails(self._services, record, self._report).find,
            plan=self._plan(),
        )

    def _remedy(self) -> str:
        """What to do about lines that were not sent. An import is retried once."""
        id = self._record.id
        if not self._record.can_be_retried:
            return ""
        was = was_retried(self._services, id)
        return f"see its retry, import {retry_id(id)}" if was else "retry the import"

    def _plan(self) -> Iterator[PlannedLine] | None:
        """What is planned for each line; None if all lines are sent."""
        record = self._record
        if not record.plan.rows:
            return None
        sends_unchanged = record.apply is Apply.ALL
        return _planned(self._container.file_at(record.plan.rows), sends_unchanged=sends_unchanged)

    def _without_number(self, invalid: list[LineResult]) -> Iterator[LineResult]:
        """Lines that are counted and not listed."""
        listed = sum(row.line is not None for row in invalid)
        yield from unlisted_lines(
            (self._record.invalid_lines or 0) - listed,
            "the line breaks a rule; which one is not listed (MAX_REPORTED_PROBLEMS)",
            "check the file by device-importer check",
        )
        rule = Rule.SYSTEM_MODULES
        count = self._record.validation.get("leftOut")
        if isinstance(count, int):
            yield from unlisted_lines(count, rule.meaning, rule.remedy, rule.code)

    def _edited(self) -> NotPossibleError:
        return NotPossibleError(
            f"The results of import {self._record.id} are not known: files in its container "
            f"{self._record.staged.container} were edited or deleted."
        )


def _rest_of(record: ImportRecord, remedy_of_unsent: Callable[[], str]) -> Rest:
    """What became of the lines that are not named by any file of the import."""
    if record.imported is None:
        return _UNKNOWN
    if record.state not in (ImportState.COMPLETED, ImportState.COMPLETED_WITH_ERRORS):
        message = f"not sent: the import is {record.state.label}"
        return Rest(Result.LEFT_OUT, message, remedy_of_unsent())
    # Where the failed lines could not be written down, the plan may still tell them.
    by_plan = 0 if record.is_in_second_job else record.plan.failed or 0
    if record.failed and not record.retry and record.failed != by_plan:
        return Rest(Result.UNKNOWN, "which lines failed is not known", _UNKNOWN.remedy)
    return Rest(Result.IMPORTED)


def _planned(rows: StoredFile, *, sends_unchanged: bool) -> Iterator[PlannedLine]:
    """The rows of plan.csv.

    Raises:
        LinesEditedError: it was edited.
    """
    lines = (f"{line.decode()}\n" for line in rows.lines())
    try:
        for row in csv.DictReader(lines, strict=True):
            action = Action(row["action"])
            if sends_unchanged and action is Action.UNCHANGED:
                action = Action.UPDATE
            notes = "; ".join(Note(name).text for name in row["notes"].split())
            yield PlannedLine(int(row["line"]), action, row["code"], row["remedy"], notes)
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise LinesEditedError("plan.csv cannot be read") from error


def _with_first(first: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from lines
