"""What became of each line of an import: the join of its lines with what is known of some of them.

No I/O. Everything is in the order of the file, so one line of each source is in memory at a time.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import groupby, islice
from typing import NamedTuple

import msgspec

from shared.csv_text import csv_rows
from shared.device_files.lines.values import ImportMode
from shared.device_files.rules import Rule, Severity
from shared.device_files.validation_report import Problem
from shared.hub.explain import remedy_of
from shared.plan.model import Action
from shared.redaction import redact_id

__all__ = [
    "LineFailure",
    "LineResult",
    "LinesEditedError",
    "PlannedLine",
    "Rest",
    "Result",
    "counted",
    "invalid_lines",
    "merged",
    "read_staged_line",
    "results_csv",
    "staged_lines",
    "unlisted_lines",
]

_DEFAULT_MODE = ImportMode.CREATE_OR_UPDATE.value

#: What a line cannot need that creates its device itself. Logs of live hubs report devices as
#: missing that exist.
_CREATE_FIRST = remedy_of("DeviceNotFound")

#: Rows that are formatted at a time.
_BATCH = 1000

#: Rules about what stands between lines or elements: it is no line of a device by itself.
_BETWEEN_LINES = frozenset(
    rule.code for rule in (Rule.JSON_COMMENT, Rule.CSV_COMMENT, Rule.ARRAY_COMMA)
)


class Result(StrEnum):
    """What became of a line."""

    IMPORTED = "imported"
    #: Not sent, since it would change nothing.
    UNCHANGED = "unchanged"
    #: The hub rejected it, or would have rejected it by the plan.
    FAILED = "failed"
    #: Not sent for another reason.
    LEFT_OUT = "leftOut"
    #: The hub may have imported it.
    UNKNOWN = "unknown"


class LineResult(NamedTuple):
    """A row of results.csv. Ids are redacted."""

    #: Of the uploaded file, from 1; None if it is not known.
    line: int | None
    #: "" if it is not known.
    id: str
    #: "" for a device.
    module_id: str
    #: "" if it is not known.
    import_mode: str
    result: Result
    #: Of a failed line, the hub's error code with its name; of an invalid line, the rule.
    code: str = ""
    message: str = ""
    remedy: str = ""


_COLUMNS = ("line", "id", "moduleId", "importMode", "result", "code", "message", "remedy")


class LineFailure(NamedTuple):
    """Why a line failed."""

    code: str
    message: str
    remedy: str
    #: False if the hub named the device alone, and the line is one of its modules.
    is_of_line: bool = True


class PlannedLine(NamedTuple):
    """What the plan says of a line."""

    #: Of the uploaded file, from 1.
    line: int
    action: Action
    code: str
    remedy: str
    #: The texts of its notes.
    notes: str


class Rest(NamedTuple):
    """What became of the lines that neither failed nor were kept back by a plan."""

    result: Result
    message: str = ""
    remedy: str = ""

    @property
    def columns(self) -> tuple[Result, str, str, str]:
        """The last columns of a row."""
        return self.result, "", self.message, self.remedy


class LinesEditedError(ValueError):
    """The files of an import do not fit together: one of them was edited."""


class _Line(msgspec.Struct, rename="camel", gc=False):
    id: str
    module_id: str | None = None
    import_mode: str | None = None


_DECODER = msgspec.json.Decoder(_Line)


def read_staged_line(text: bytes) -> tuple[str, str, str]:
    """The id of a validated line, not redacted, its module id or "", and its importMode.

    Raises:
        LinesEditedError: it was edited.
    """
    try:
        line = _DECODER.decode(text)
        return line.id, line.module_id or "", line.import_mode or _DEFAULT_MODE
    except msgspec.DecodeError as error:
        raise LinesEditedError("a staged line is not JSON") from error


def staged_lines(
    lines: Iterable[bytes],
    upload_line: Callable[[int], int],
    rest: Rest,
    *,
    failed: Iterable[bytes] = (),
    failure_of: Callable[[int, str, str], LineFailure | None] = lambda *_: None,
    plan: Iterable[PlannedLine] | None = None,
) -> Iterator[LineResult]:
    """Yield the results of the lines that the validation staged.

    Args:
        lines: all of them.
        upload_line: the line of the uploaded file for the number of a staged line.
        failed: those of the lines that failed, in the same order.
        failure_of: why a line failed, by line, device id and module id; None if that is not known.
        plan: what is planned for each line; None if all lines are sent.

    Raises:
        LinesEditedError: the sources do not fit together.
    """
    failing, planned, columns = iter(failed), iter(plan or ()), rest.columns
    next_failed = next(failing, None)
    for number, text in enumerate(lines, 1):
        device_id, module_id, import_mode = read_staged_line(text)
        place = upload_line(number)
        row = LineResult(
            place,
            redact_id(device_id),
            redact_id(module_id),
            import_mode,
            *columns,
        )
        fate = next(planned, None)
        if plan is not None and (fate is None or fate.line != place):
            raise LinesEditedError("the plan is of other lines")
        if text == next_failed:
            next_failed = next(failing, None)
            row = _failed(row, failure_of(place, device_id, module_id), rest)
        elif fate is not None:
            row = _planned(row, fate, rest)
        yield row
    if next_failed is not None or next(planned, None) is not None:
        raise LinesEditedError("a failed or planned line is not among the staged lines")


def _row(row: LineResult, result: Result, code: str, message: str, remedy: str) -> LineResult:
    return LineResult(
        row.line, row.id, row.module_id, row.import_mode, result, code, message, remedy
    )


def _failed(row: LineResult, failure: LineFailure | None, rest: Rest) -> LineResult:
    if failure is None:
        # Where it is not known what was imported, a device may stand for one of its modules.
        is_known = rest.result is not Result.UNKNOWN
        return _row(row, Result.FAILED, "", "", "") if is_known else row
    is_sure = failure.is_of_line or rest.result is not Result.UNKNOWN
    result = Result.FAILED if is_sure else Result.UNKNOWN
    remedy = failure.remedy
    if remedy == _CREATE_FIRST and not row.module_id and ImportMode(row.import_mode).creates:
        remedy = "the hub's log may be wrong: compare the device with the hub, then retry"
    return _row(row, result, failure.code, failure.message, remedy)


def _planned(row: LineResult, fate: PlannedLine, rest: Rest) -> LineResult:
    match fate.action:
        case Action.UNCHANGED:
            return _row(row, Result.UNCHANGED, "", "", "")
        case Action.LEFT_OUT:
            return _row(row, Result.LEFT_OUT, "", fate.notes, "")
        case Action.FAIL if rest.result is not Result.LEFT_OUT:
            return _row(row, Result.FAILED, fate.code, fate.notes, fate.remedy)
    return row


def invalid_lines(problems: Iterable[Problem], *, is_rejected: bool) -> list[LineResult]:
    """The lines that break rules, as far as they are listed, each with its first problem.

    Args:
        problems: of the file, in the order of its lines.
        is_rejected: whether the file was rejected. Then problems of the file as a whole, and of
            what stands between its lines, are among the rows.
    """
    errors = (item for item in problems if item.severity is Severity.ERROR)
    rows = []
    # Several elements of an array may be on one line.
    for (line, device_id), group in groupby(errors, lambda item: (item.line, item.id)):
        found = [*group]
        if not is_rejected and (line is None or not _are_of_a_line(found)):
            continue
        first = next((item for item in found if item.code not in _BETWEEN_LINES), found[0])
        message = first.message
        if len(found) > 1:
            message += f" (and {len(found) - 1:,} more; see problems.csv)"
        rows.append(
            LineResult(line, device_id, "", "", Result.LEFT_OUT, first.code, message, first.remedy)
        )
    return rows


def _are_of_a_line(problems: Sequence[Problem]) -> bool:
    return any(problem.code not in _BETWEEN_LINES for problem in problems)


def unlisted_lines(count: int, message: str, remedy: str, code: str = "") -> Iterator[LineResult]:
    """Rows of lines that were left out, and of which only the number is known."""
    for _ in range(count):
        yield LineResult(None, "", "", "", Result.LEFT_OUT, code, message, remedy)


def merged(staged: Iterable[LineResult], invalid: Sequence[LineResult]) -> Iterator[LineResult]:
    """Both in the order of the file. Several elements of an array may be on one line."""
    if not invalid:
        return iter(staged)
    return heapq.merge(staged, invalid, key=lambda row: row.line or 0)


def counted(results: Iterable[LineResult], counts: Counter[Result]) -> Iterator[LineResult]:
    """Count the results as they pass."""
    for row in results:
        counts[row.result] += 1
        yield row


def results_csv(results: Iterable[LineResult]) -> Iterator[bytes]:
    """results.csv in pieces."""
    yield csv_rows([_COLUMNS]).encode()
    rows = iter(results)
    while batch := [*islice(rows, _BATCH)]:
        yield csv_rows(batch).encode()
