"""Why an upload is rejected, waits for its validation, or failed before it had a job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from shared.device_files.rules import Rule, Severity
from shared.device_files.validation_report import Problem, Report
from shared.errors import error_text
from shared.imports.model.record import ImportRecord
from shared.text import clean_reason, format_duration

__all__ = [
    "cancelled_before_job",
    "dot_folder",
    "file_rejected",
    "hub_not_configured",
    "lines_that_break_rules",
    "older_than_records",
    "record_deleted",
    "storage_unavailable",
    "superseded",
    "unexpected_end",
    "unexpected_error",
    "unknown_folder",
    "unsettled",
    "validation_failed",
    "validation_gave_up",
    "validation_terminated",
]


def file_rejected(report: Report) -> str:
    errors = [problem for problem in report.problems if problem.severity is Severity.ERROR]
    if report.is_mapping:
        return _mapping_rejected(report, errors)
    if report.refusal and report.refusal.code == Rule.MAPPING_INVALID.code:
        return clean_reason(
            f"The file cannot be imported: {report.refusal.message}. No device was changed. "
            "Correct the mapping (device-importer check --mapping FILE checks it) or delete it, "
            "then upload the file again."
        )
    if report.refusal:
        summary = "The file cannot be imported"
        errors.sort(key=lambda problem: problem is not report.refusal)
    elif report.lines > report.valid:
        summary = lines_that_break_rules(report.lines - report.valid, report.lines)
    else:
        # Outside of any line of a device, such as in a comment.
        count = f"{report.errors:,} {'error' if report.errors == 1 else 'errors'}"
        summary = f"The file contains {count}"
    first = "; ".join(map(str, errors[:3]))
    return clean_reason(
        f"{summary}: {first}. No device was changed. "
        "Correct the file and upload it again; problems.csv lists all problems."
    )


def _mapping_rejected(report: Report, errors: Sequence[Problem]) -> str:
    if not errors:
        # Of an upload that a former version of the app found invalid.
        return "The mapping is valid and applies to the files that follow. It contains no devices."
    count = f"{report.errors:,} {'error' if report.errors == 1 else 'errors'}"
    first = "; ".join(f"{_place(problem)}: {problem.message}" for problem in errors[:3])
    return clean_reason(
        f"The mapping contains {count}: {first}. The files of its folder are rejected until it is "
        "corrected or deleted; problems.csv lists all problems."
    )


def _place(problem: Problem) -> str:
    line = "" if problem.line is None else f"line {problem.line:,}"
    return ", ".join(filter(None, (line, problem.field))) or "the file"


def lines_that_break_rules(invalid: int, lines: int) -> str:
    return f"{invalid:,} of {lines:,} lines {'breaks a rule' if invalid == 1 else 'break rules'}"


def unknown_folder(file: str, folders: Iterable[str]) -> str:
    return clean_reason(
        f"The first folder of {file!r} is not configured for a hub. Upload the file into one of "
        f"these folders: {', '.join(sorted(folders))}."
    )


def dot_folder(file: str) -> str:
    return clean_reason(
        f"{file!r} contains a folder named '.' or '..', which clients resolve to another path. "
        "Upload the file under another name."
    )


def superseded(file: str) -> str:
    return clean_reason(
        f"{file!r} was overwritten or deleted before it was validated. No device was changed."
    )


def unsettled(file: str, time: timedelta) -> str:
    return clean_reason(
        f"Waiting: {file!r} is empty or may still be written. It is validated once it has not "
        f"changed for {format_duration(time)}."
    )


def older_than_records(days: int) -> str:
    return (
        f"The file was uploaded more than {days} days ago (RECORD_RETENTION_DAYS) and may have "
        "been imported before. Upload it again to import it."
    )


def storage_unavailable(error: BaseException) -> str:
    remedy = ""
    if getattr(error, "status_code", None) in (401, 403):
        remedy = (
            " Grant the app's identity the role Storage Blob Data Contributor on the storage "
            "account, or correct ImporterStorage; allow the app in the account's firewall."
        )
    return clean_reason(
        f"Waiting: the storage account is unavailable ({error_text(error)}).{remedy} The next "
        "sweep retries; this attempt does not count."
    )


def validation_failed(attempt: int, error: BaseException) -> str:
    return clean_reason(
        f"Validation attempt {attempt} failed with {type(error).__name__}: {error_text(error)}. "
        "The next sweep retries."
    )


def validation_terminated(record: ImportRecord) -> str:
    before = f" Before that: {record.failure_reason}" if record.failure_reason else ""
    return clean_reason(
        f"Validation failed {_times(record.validation_attempts)}. The last attempt was terminated "
        "(deployment, functionTimeout or out of memory). Correct that, then retry the "
        f"import.{before}"
    )


def validation_gave_up(attempts: int, error: BaseException) -> str:
    return clean_reason(
        f"Validation failed {_times(attempts)}. The last attempt failed with "
        f"{type(error).__name__}: {error_text(error)}. Correct that, then retry the import."
    )


def record_deleted() -> str:
    return (
        "The record of the import was deleted. It is not known whether the devices were applied. "
        "Compare some of them with the hub before you upload the file again."
    )


def unexpected_error(error: BaseException) -> str:
    return clean_reason(
        f"Waiting after an unexpected error, {type(error).__name__}: {error_text(error)}. The "
        "import is retried; the log has the details."
    )


def unexpected_end(errors: int, error: BaseException) -> str:
    return clean_reason(
        f"Failed after {errors} unexpected errors in a row. The last one was "
        f"{type(error).__name__}: {error_text(error)}. Correct that, then retry the import or "
        "upload the file again."
    )


def hub_not_configured(hub: str) -> str:
    return clean_reason(
        f"Waiting: the hub {hub} is not configured. Add it to IOTHUB again, or cancel the import."
    )


def cancelled_before_job() -> str:
    return "An operator cancelled the import before it had a job. No device was changed."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
