"""Failure reasons: what an operator reads in a record, with what to do next where that is known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from shared.device_files.rules import Severity
from shared.device_files.validation_report import Report
from shared.errors import ImporterError, first_line
from shared.hub.codes import BY_STATUS
from shared.hub.errorlog import LOG_NAME
from shared.hub.errors import (
    HubAnswerError,
    HubError,
    HubRequestError,
    HubThrottledError,
    HubUnauthorizedError,
    JobSlotBusyError,
    StorageRefusedError,
)
from shared.hub.refusals import code_label, refusal_in, remedy_of
from shared.imports.model.record import ImportRecord, Stop
from shared.imports.workflow.job_outcome import Outcome
from shared.storage.client import DelegationKeyRefusedError
from shared.texts import clean

__all__ = [
    "answer_lost",
    "cancelled",
    "cancelled_in_queue",
    "cancelled_too_late",
    "cancelled_without_hub",
    "cancelled_without_trace",
    "cannot_follow",
    "counts_unknown",
    "dots_in_name",
    "file_rejected",
    "followed_blindly",
    "hub_not_configured",
    "hub_refused",
    "hub_trouble",
    "job_failed",
    "job_forgotten",
    "job_lost",
    "job_may_be_ours",
    "job_may_have_been_ours",
    "joined",
    "log_awaited",
    "log_does_not_fit",
    "log_missing",
    "not_all_imported",
    "odd_answer",
    "older_than_records",
    "outcome_unknown",
    "record_deleted",
    "staged_file_edited",
    "stopping",
    "storage_refused",
    "superseded",
    "unexpected",
    "unexpected_end",
    "unknown_folder",
    "unknown_status",
    "unreadable",
    "unsettled",
    "unwritten",
    "validation_died",
    "validation_failed",
    "validation_gave_up",
    "waiting",
]

#: A text column holds 32,768 characters; an operator reads fewer.
MAX_REASON = 2000


def file_rejected(report: Report) -> str:
    errors = [problem for problem in report.problems if problem.severity is Severity.ERROR]
    if report.refusal:
        what = "The file cannot be imported"
        errors.sort(key=lambda problem: problem is not report.refusal)
    elif report.lines > report.valid:
        what = _lines_that_break_rules(report.lines - report.valid, report.lines)
    else:
        # Comments, for example, are in no line of a device.
        what = f"The file contains {report.errors:,} {'error' if report.errors == 1 else 'errors'}"
    first = "; ".join(map(str, errors[:3]))
    return _bounded(
        f"{what}: {first}. No device was touched. "
        "Correct the file and upload it again; problems.csv lists what is wrong."
    )


def _lines_that_break_rules(invalid: int, lines: int) -> str:
    return f"{invalid:,} of {lines:,} lines {'breaks a rule' if invalid == 1 else 'break rules'}"


def unknown_folder(file: str, folders: Iterable[str]) -> str:
    return _bounded(
        f"The first folder of {file!r} leads to no hub. Upload the file into one of these folders: "
        f"{', '.join(sorted(folders))}."
    )


def dots_in_name(file: str) -> str:
    return _bounded(
        f"{file!r} has '.' or '..' for a folder, which leads elsewhere. Upload the file under "
        "another name."
    )


def superseded(file: str) -> str:
    return f"{file} was overwritten or deleted before it was read to its end; nothing was imported."


def unsettled(file: str, time: timedelta) -> str:
    """What a record says of a blob that its writer may not have finished."""
    return _bounded(
        f"Waiting: {file!r} is empty or still being appended to. It is read once it has not "
        f"changed for {_span(time)}."
    )


def older_than_records(days: int) -> str:
    return (
        f"The file was uploaded more than {days} days ago (RECORD_RETENTION_DAYS), so it may have "
        "been imported before. Upload it again to import it."
    )


def storage_refused(error: BaseException) -> str:
    """What a record says while storage does not let its file be read or staged."""
    remedy = ""
    if getattr(error, "status_code", None) in (401, 403):
        remedy = (
            " Grant the app's identity the role Storage Blob Data Contributor on the storage "
            "account, or correct ImporterStorage; the account's firewall must admit the app."
        )
    return _bounded(
        f"Waiting: the storage account cannot be used ({first_line(error).rstrip('.')})."
        f"{remedy} The sweep tries again; no attempt is counted."
    )


def validation_failed(attempt: int, error: BaseException) -> str:
    """What a record says until its file is read again."""
    return _bounded(
        f"Attempt {attempt} to read and stage the file failed with {type(error).__name__}: "
        f"{first_line(error).rstrip('.')}. The sweep tries again."
    )


def validation_died(record: ImportRecord) -> str:
    before = f" Before that: {record.failure_reason}" if record.failure_reason else ""
    return _bounded(
        f"Gave up after {_attempts(record.attempts)} to read and stage the file. The last attempt "
        "was terminated (deployment, functionTimeout or out of memory). Retry the import once "
        f"that is corrected.{before}"
    )


def validation_gave_up(attempts: int, error: BaseException) -> str:
    return _bounded(
        f"Gave up after {_attempts(attempts)} to read and stage the file. The last one failed with "
        f"{type(error).__name__}: {first_line(error).rstrip('.')}. "
        "Retry the import once that is corrected."
    )


def record_deleted() -> str:
    return (
        "Its record was deleted. It is not known whether the devices were applied. Compare some of "
        "them with the hub before you upload the file again."
    )


def unexpected(error: BaseException) -> str:
    """What a record says while an unexpected error stops the work on it."""
    return _bounded(
        f"Waiting after an unexpected error, {type(error).__name__}: "
        f"{first_line(error).rstrip('.')}. It is tried again; the log has the details."
    )


def unexpected_end(errors: int, error: BaseException) -> str:
    return _bounded(
        f"Gave up after {errors} unexpected errors in a row. The last one was "
        f"{type(error).__name__}: {first_line(error).rstrip('.')}. Correct that, then retry the "
        "import or upload the file again."
    )


def unreadable(what: str, error: BaseException) -> str:
    return f"{what[0].upper()}{what[1:]} cannot be read ({first_line(error).rstrip('.')})."


def unwritten(what: str, error: BaseException) -> str:
    return f"{what[0].upper()}{what[1:]} could not be written ({first_line(error).rstrip('.')})."


def joined(*parts: str) -> str:
    return _bounded(" ".join(filter(None, parts)))


def _attempts(count: int) -> str:
    return f"{count} attempt{'' if count == 1 else 's'}"


def waiting(error: ImporterError) -> str:
    """Why an import stays in the queue although its turn has come."""
    match error:
        case JobSlotBusyError():
            return "Waits: another import or export job holds the hub's only job slot."
        case HubThrottledError():
            return "Waits: the hub throttles job calls."
        case HubUnauthorizedError() | StorageRefusedError() if not _awaits_role(error):
            begin = "Waiting for the cause to be removed, up to REFUSAL_DEADLINE_MINUTES."
        case HubUnauthorizedError() | StorageRefusedError() | DelegationKeyRefusedError():
            begin = "Waits, for roles take minutes to apply."
        case _:
            return _bounded(f"Waits and tries again: {first_line(error)}")
    return _bounded(f"{begin} {_refused(error)}")


def hub_refused(error: ImporterError) -> str:
    """Why the hub started no job, and what to do."""
    if isinstance(error, DelegationKeyRefusedError):
        return _bounded(_refused(error))
    return _bounded(f"{_refused(error)} Then retry the import.")


def _refused(error: ImporterError) -> str:
    said = first_line(error)
    if isinstance(error, DelegationKeyRefusedError):
        return said
    return f"The hub refused the job ({said}). {_explained(error)}"


def _explained(error: BaseException) -> str:
    """What the hub means by a refusal and what to do, as sentences."""
    refusal = error.refusal if isinstance(error, HubError) else None
    return str(refusal or BY_STATUS[400])


def _awaits_role(error: HubError) -> bool:
    return error.refusal is not None and error.refusal.awaits_role


def not_all_imported(record: ImportRecord, outcome: Outcome) -> str:
    """Why an import that ran to its end is not complete."""
    parts = []
    if outcome.failed:
        codes = outcome.codes.most_common()
        told = "; ".join(
            f"{count:,} x {code_label(code)}"
            + (f" ({remedy})" if (remedy := remedy_of(code)) else "")
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
        if refusal := refusal_in(record.job_failure_reason):
            why = f"{why} {refusal}"
    elif sas_expired:
        why = (
            "The hub failed the job without a reason, but its SAS had expired by then. "
            "Raise SAS_LIFETIME_HOURS."
        )
    else:
        why = "The hub failed the job without a reason; check that it can still reach the storage."
    return _bounded(f"{why} {_repeat()}")


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
    return _bounded(f"{why}{said} {_repeat()}")


def cancelled_in_queue() -> str:
    return "An operator cancelled the import before it had a job. No device was touched."


def cancelled_without_trace() -> str:
    return (
        "An operator cancelled the import. The hub's answer to the start was lost, and no job of "
        "the import was found at the hub."
    )


def cancelled_without_hub(hub: str) -> str:
    return _bounded(
        f"An operator cancelled the import. Its hub {hub} is not configured in IOTHUB, so it is "
        "not known how its job ended."
    )


def hub_not_configured(hub: str) -> str:
    """What is shown of an open import whose hub is not among the settings."""
    return _bounded(
        f"Waiting: the hub {hub} is not configured. Add it to IOTHUB again, or cancel the import."
    )


def stopping(stop: Stop, deadline: timedelta) -> str:
    """What a running import says while the hub is cancelling its job."""
    match stop:
        case Stop.OPERATOR:
            why = "An operator cancelled the import"
        case Stop.DEADLINE:
            hours = int(deadline.total_seconds() // 3600)
            why = f"The job has run for more than {hours} h (JOB_DEADLINE_HOURS) and was cancelled"
        case _:
            return ""
    return f"{why}; waiting for the hub to end its job."


def cancelled_too_late() -> str:
    return "An operator cancelled the import, but its job had run to its end."


def log_awaited(why: str, grace: timedelta) -> str:
    """What a running import says whose job has ended without a log that can be read yet."""
    return _bounded(f"{why} Waiting up to {_span(grace)} for it.")


def unknown_status(status: str) -> str:
    return f"The hub answers with an unknown job status ({status!r})."


def followed_blindly(why: str) -> str:
    """What a running import says while the hub does not tell how its job goes."""
    return _bounded(
        f"{why} Waiting for the job's log. The job is cancelled after JOB_DEADLINE_HOURS."
    )


def staged_file_edited() -> str:
    return "The staged file was edited after the job was started."


def log_missing() -> str:
    return "The hub's log is missing: the hub completed the job without writing " + LOG_NAME + "."


def log_does_not_fit(failed: int, devices: int, strange: int) -> str:
    """Why the counts of a log cannot be trusted."""
    text = f"The hub's log lists {failed:,} failures for {devices:,} devices"
    return f"{text}, and {strange:,} of them name no line of the file." if strange else f"{text}."


def counts_unknown() -> str:
    return (
        "It is not known which devices were applied. Compare some of them with the hub before you "
        "import the file again."
    )


def job_may_be_ours() -> str:
    """What an import says after a lost answer while a job runs that may be its own."""
    return (
        "Waiting: the hub's answer to the start was lost, and a job is active that may be this "
        "import's."
    )


def job_may_have_been_ours() -> str:
    return (
        "Waiting: the hub's answer to the start was lost, and a job has ended that may have been "
        "this import's; its log may still come."
    )


def answer_lost(grace: timedelta) -> str:
    """What an import says after a lost answer while no job of it is found."""
    return (
        "Waiting: the hub's answer to the start was lost, and no job is found. The hub is asked "
        f"again if none appears within {_span(grace)}."
    )


def outcome_unknown() -> str:
    return _bounded(
        "It is not known whether the devices were applied: the hub's answer to the start was lost, "
        f"and a job that may have been this import's has ended without a log. {_COMPARE}"
    )


def job_forgotten(record: ImportRecord, age: timedelta) -> str:
    return _bounded(
        f"The hub does not know the job any more, {_span(age)} after it was started, and it left "
        f"no log. {_repeat()}"
    )


def job_lost(patience: timedelta) -> str:
    """What a running import says whose job is gone from the hub before its time."""
    waits = _span(patience)
    return f"The hub does not know the job, and it has left no log yet; waits {waits} for it."


def cannot_follow(error: ImporterError) -> str:
    """Why nothing is known of a running job at present, and what to do."""
    said = first_line(error)
    if isinstance(error, HubUnauthorizedError):
        said = f"({said}). {_explained(error)}"
        return _bounded(f"The job runs, but the hub does not tell how it goes {said}")
    return _bounded(f"The job runs, but the hub does not tell how it goes: {said}")


def hub_trouble(error: ImporterError) -> str:
    """Why a hub cannot be asked for its jobs, and what to do."""
    said = first_line(error)
    if isinstance(error, HubUnauthorizedError | HubRequestError):
        said = f"{said.rstrip('.')}. {_explained(error)}"
    return _bounded(said)


def odd_answer(error: HubAnswerError) -> str:
    """Why an answer tells nothing of a running job, and what to do if the hub gives a code."""
    refusal = refusal_in(error.details.name) if error.details else None
    return _bounded(f"{error} {refusal}" if refusal else str(error))


def _span(time: timedelta) -> str:
    if time >= timedelta(days=2):
        return f"{time.days} days"
    minutes = round(time.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


_COMPARE = (
    "Compare some of the devices with the hub, then retry the import or upload the file again."
)


def _repeat() -> str:
    return "It is not known how many devices were imported. " + _COMPARE


def _bounded(text: str) -> str:
    return clean(text, MAX_REASON)
