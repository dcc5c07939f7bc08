"""Failure reasons: what an operator reads in a record, with what to do next where that is known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from shared.devices.report import Report
from shared.devices.rules import Severity
from shared.errors import ImporterError
from shared.hub.errorlog import LOG_NAME, REMEDIES, code_label
from shared.hub.errors import (
    HubThrottledError,
    HubUnauthorizedError,
    JobSlotBusyError,
    StorageRefusedError,
)
from shared.imports.outcome import Outcome
from shared.imports.record import ImportRecord, Stop
from shared.storage import DelegationKeyRefusedError

__all__ = [
    "cancelled",
    "cancelled_in_queue",
    "cancelled_too_late",
    "cannot_follow",
    "dots_in_name",
    "file_rejected",
    "first_line",
    "hub_refused",
    "hub_trouble",
    "job_failed",
    "job_forgotten",
    "job_lost",
    "log_missing",
    "not_all_imported",
    "stopping",
    "superseded",
    "unknown_folder",
    "validation_died",
    "validation_failed",
    "validation_gave_up",
    "waiting",
]

#: A text column holds 32,768 characters; an operator reads fewer.
MAX_REASON = 2000

ROLE = "IoT Hub Data Contributor"
POLICIES = "registryReadWrite or iothubowner"
_GRANT = (
    f"Grant the app's identity the role {ROLE} on the hub (Registry Contributor does not allow "
    f"jobs), or use a connection string of the policy {POLICIES} in IOTHUB."
)


def file_rejected(report: Report) -> str:
    errors = [problem for problem in report.problems if problem.severity is Severity.ERROR]
    if report.refusal:
        what = "The file cannot be imported"
        errors.sort(key=lambda problem: problem is not report.refusal)
    else:
        what = _lines_that_break_rules(report.lines - report.valid, report.lines)
    first = "; ".join(map(str, errors[:3]))
    return _bounded(
        f"{what}: {first}. No device was touched. "
        "Correct the file and upload it again; problems.csv lists what is wrong."
    )


def _lines_that_break_rules(invalid: int, lines: int) -> str:
    return f"{invalid:,} of {lines:,} lines {'breaks a rule' if invalid == 1 else 'break rules'}"


def unknown_folder(file: str, hubs: Iterable[str]) -> str:
    return _bounded(
        f"The first folder of {file!r} names no hub. Upload the file into one of these folders: "
        f"{', '.join(sorted(hubs))}."
    )


def dots_in_name(file: str) -> str:
    return _bounded(
        f"{file!r} has '.' or '..' for a folder, which leads elsewhere. Upload the file under "
        "another name."
    )


def superseded(file: str) -> str:
    return f"{file} was overwritten or deleted before it was read to its end; nothing was imported."


def validation_failed(attempt: int, error: BaseException) -> str:
    """What a record says until its file is read again."""
    return _bounded(
        f"Attempt {attempt} to read and stage the file ended with {type(error).__name__}: "
        f"{first_line(error)}. It will be tried again."
    )


def validation_died(record: ImportRecord) -> str:
    before = f" Before that: {record.failure_reason}" if record.failure_reason else ""
    return _bounded(
        f"Gave up after {_attempts(record.attempts)} to read and stage the file; the last one "
        "ended without a word: its process was killed, by a deploy, by functionTimeout of "
        f"host.json or for want of memory. Upload the file again once that is mended.{before}"
    )


def validation_gave_up(attempts: int, error: BaseException) -> str:
    return _bounded(
        f"Gave up after {_attempts(attempts)} to read and stage the file; the last one ended with "
        f"{type(error).__name__}: {first_line(error)}. Upload the file again once that is mended."
    )


def _attempts(count: int) -> str:
    return f"{count} attempt{'' if count == 1 else 's'}"


def waiting(error: ImporterError) -> str:
    """Why an import stays in the queue although its turn has come."""
    match error:
        case JobSlotBusyError():
            return "Waits: another import or export job holds the hub's only job slot."
        case HubThrottledError():
            return "Waits: the hub throttles job calls."
        case HubUnauthorizedError() | StorageRefusedError() | DelegationKeyRefusedError():
            return _bounded(f"Waits, for roles take minutes to apply. {hub_refused(error)}")
    return _bounded(f"Waits and tries again: {first_line(error)}")


def hub_refused(error: ImporterError) -> str:
    """Why the hub started no job, and what to do."""
    said = first_line(error)
    match error:
        case HubUnauthorizedError():
            remedy = _GRANT
        case StorageRefusedError():
            remedy = (
                "Let the hub reach the storage account: its firewall has to admit the hub; with "
                "JOB_STORAGE_AUTHENTICATION=identityBased the hub's managed identity needs the "
                "role Storage Blob Data Contributor; with keyBased the account has to allow SAS."
            )
        case DelegationKeyRefusedError():
            return _bounded(said)
        case _:
            remedy = "Upload the file again once that is mended."
    return _bounded(f"The hub refused the job ({said}). {remedy}")


def not_all_imported(record: ImportRecord, outcome: Outcome) -> str:
    """Why an import that ran to its end is not complete."""
    parts = []
    if outcome.failed:
        codes = outcome.codes.most_common()
        told = "; ".join(
            f"{count:,} x {code_label(code)}" + (f" ({REMEDIES[code]})" if code in REMEDIES else "")
            for code, count in codes[:5]
        )
        more = f" and {len(codes) - 5} more codes" if len(codes) > 5 else ""
        parts.append(
            f"{outcome.failed:,} of {record.devices or 0:,} devices failed: {told}{more}. "
            f"{outcome.example} The report lists them with their lines"
            + ("; retry.ndjson holds these lines." if outcome.retry else ".")
        )
    if there := sum(outcome.looked_up.values()):
        parts.append(
            f"The hub's log may be wrong: of {len(outcome.looked_up)} devices that it calls "
            f"missing, {there} are in the registry. Compare them before you import them again."
        )
    if record.invalid_lines:
        left_out = _lines_that_break_rules(record.invalid_lines, record.lines or 0)
        were, them = ("was", "it") if record.invalid_lines == 1 else ("were", "them")
        parts.append(f"{left_out} and {were} left out; problems.csv lists {them}.")
    return _bounded(" ".join(parts))


def job_failed(record: ImportRecord, sas_expired: bool) -> str:
    if record.job_failure_reason:
        why = f"The hub failed the job: {record.job_failure_reason.rstrip('.')}."
    elif sas_expired:
        why = (
            "The hub failed the job without a reason, but its SAS had expired by then. "
            "Raise SAS_LIFETIME_HOURS."
        )
    else:
        why = "The hub failed the job without a reason; check that it can still reach the storage."
    return _bounded(f"{why} {_repeat(record)}")


def cancelled(record: ImportRecord) -> str:
    """Why the job of an import ended `cancelled`."""
    match record.stop:
        case Stop.OPERATOR:
            why = "An operator cancelled the import, and so its job."
        case Stop.DEADLINE:
            why = (
                "The job took longer than JOB_DEADLINE_HOURS and was cancelled. If it needs more "
                "time, raise it and SAS_LIFETIME_HOURS, or split the file."
            )
        case _:
            why = "The job was cancelled at the hub."
    said = f" The hub says: {record.job_failure_reason}" if record.job_failure_reason else ""
    return _bounded(f"{why}{said} {_repeat(record)}")


def cancelled_in_queue() -> str:
    return "An operator cancelled the import before it had a job. No device was touched."


def stopping(stop: Stop, deadline: timedelta, is_presumed: bool) -> str:
    """What a running import says while the hub is cancelling its job."""
    match stop:
        case Stop.OPERATOR:
            why = "An operator cancelled the import"
        case Stop.DEADLINE:
            hours = int(deadline.total_seconds() // 3600)
            why = f"The job has run for more than {hours} h (JOB_DEADLINE_HOURS) and was cancelled"
        case _:
            return ""
    if is_presumed:
        return (
            f"{why}, but its job is left alone: it may be somebody else's, as the hub's answer to "
            "the start was lost. Cancel it at the hub if it is not."
        )
    return f"{why}; waits for the hub to end its job."


def cancelled_too_late() -> str:
    return "An operator cancelled the import, but its job had run to its end."


def log_missing() -> str:
    return (
        f"The hub says completed, but its {LOG_NAME} is not in the import's container, so it is "
        "not known whether devices failed. Check some of the devices."
    )


def job_forgotten(record: ImportRecord, age: timedelta) -> str:
    return _bounded(
        f"The hub does not know the job any more, {_span(age)} after it was started, and it left "
        f"no log. {_repeat(record)}"
    )


def job_lost(patience: timedelta) -> str:
    """What a running import says whose job is gone from the hub before its time."""
    waits = _span(patience)
    return f"The hub does not know the job, and it has left no log yet; waits {waits} for it."


def cannot_follow(error: ImporterError) -> str:
    """Why nothing is known of a running job at present, and what to do."""
    said = first_line(error)
    if isinstance(error, HubUnauthorizedError):
        return _bounded(f"The job runs, but the hub does not tell how it goes ({said}). {_GRANT}")
    return _bounded(f"The job runs, but the hub does not tell how it goes: {said}")


def hub_trouble(error: ImporterError) -> str:
    """Why a hub cannot be asked for its jobs, and what to do."""
    said = first_line(error)
    return _bounded(f"{said} {_GRANT}" if isinstance(error, HubUnauthorizedError) else said)


def _span(time: timedelta) -> str:
    if time >= timedelta(days=2):
        return f"{time.days} days"
    minutes = round(time.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _repeat(record: ImportRecord) -> str:
    doubt = (
        "The hub's answer to the start was lost, so the job may have been somebody else's. "
        if record.job_is_presumed
        else ""
    )
    return f"{doubt}Some devices may have been imported. Retry the import or upload the file again."


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _bounded(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 1]}…"
