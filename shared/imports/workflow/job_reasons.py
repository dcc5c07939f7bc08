"""Why an import waits for its hub or its job, and how its job ended."""

from __future__ import annotations

from datetime import timedelta

from shared.errors import ImporterError, error_text, first_line
from shared.hub.error_codes import BY_STATUS
from shared.hub.error_log import LOG_NAME
from shared.hub.exceptions import (
    HubAnswerError,
    HubError,
    HubRequestError,
    HubThrottledError,
    HubUnauthorizedError,
    JobSlotBusyError,
    StorageRefusedError,
)
from shared.hub.explain import code_label, explain_text
from shared.imports.model.job import JobRecord
from shared.imports.model.parts import HubJob
from shared.imports.model.record import CancelReason, ImportRecord
from shared.imports.workflow.job_outcome import JobOutcome
from shared.imports.workflow.upload_reasons import lines_that_break_rules
from shared.storage.client import DelegationKeyRefusedError
from shared.text import clean_reason, format_duration

__all__ = [
    "although_cancelled",
    "cancelled_between_jobs",
    "cancelled_too_late",
    "cancelled_without_hub",
    "cancelled_without_job",
    "cancelling",
    "counts_unknown",
    "first_job_unclear",
    "hub_trouble",
    "hub_unreadable",
    "job_cancelled",
    "job_failed",
    "job_forgotten",
    "job_may_be_ours",
    "job_may_have_been_ours",
    "job_not_found",
    "job_rejected",
    "job_row_deleted",
    "lines_changed",
    "log_awaited",
    "log_does_not_fit",
    "log_missing",
    "log_unattributed",
    "members_lost",
    "modules_left",
    "not_all_imported",
    "rejection",
    "row_restored",
    "shared_job",
    "staged_file_edited",
    "start_unanswered",
    "start_unresolved",
    "status_unreadable",
    "unexpected_answer",
    "unknown_status",
    "waiting",
]

#: Codes that a reason counts one by one.
MAX_CODES = 5

_COMPARE = (
    "Compare some of the devices with the hub, then retry the import or upload the file again."
)
_UNKNOWN = f"It is not known how many devices were imported. {_COMPARE}"


def waiting(error: ImporterError) -> str:
    """Why an import stays in the queue although its turn has come."""
    match error:
        case JobSlotBusyError():
            return "Waiting: another import or export job occupies the hub's only job slot."
        case HubThrottledError():
            return "Waiting: the hub throttles job requests."
        case HubUnauthorizedError() | StorageRefusedError() if not _may_be_new_role(error):
            begin = "Waiting up to REFUSAL_DEADLINE_MINUTES for the cause to be fixed."
        case HubUnauthorizedError() | StorageRefusedError() | DelegationKeyRefusedError():
            begin = "Waiting: a new role assignment can take several minutes to take effect."
        case _:
            return clean_reason(f"Waiting to retry: {first_line(error)}")
    return clean_reason(f"{begin} {rejection(error)}")


def job_rejected(error: ImporterError) -> str:
    """Why an import failed for which the hub started no job, and what to do."""
    if isinstance(error, DelegationKeyRefusedError):
        return rejection(error)
    return clean_reason(f"{rejection(error)} Then retry the import.")


def rejection(error: ImporterError) -> str:
    """Why the hub starts no job, and what to do about that."""
    message = first_line(error)
    if isinstance(error, DelegationKeyRefusedError):
        return clean_reason(message)
    return clean_reason(f"The hub rejected the job ({message}). {_explanation(error)}")


def job_may_be_ours() -> str:
    return (
        "Waiting: the hub's answer to the request for the job was lost, and a job is active that "
        "may be this import's."
    )


def job_may_have_been_ours() -> str:
    return (
        "Waiting: the hub's answer to the request for the job was lost, and a job has ended that "
        "may have been this import's; its log may still appear."
    )


def start_unanswered(grace: timedelta) -> str:
    return (
        "Waiting: the hub's answer to the request for the job was lost, and no job is found. The "
        f"hub is asked again if none appears within {format_duration(grace)}."
    )


def row_restored(grace: timedelta) -> str:
    return (
        "Waiting: the row of the job was deleted or edited, and no job is found. The import fails "
        f"if none appears within {format_duration(grace)}."
    )


def start_unresolved() -> str:
    return (
        "It is not known whether the devices were applied: the hub's answer to the request for the "
        "job was lost, and a job that may have been this import's has ended without a log. "
        f"{_COMPARE}"
    )


def job_row_deleted() -> str:
    return (
        "It is not known whether the devices were applied: the row of the job was deleted, and no "
        f"trace of the job was found at the hub. {_COMPARE}"
    )


def members_lost() -> str:
    return "The row of the job was deleted or edited, so it is not known whose lines it had."


def shared_job(job: JobRecord) -> str:
    """What to know of a job that did not complete and had several files."""
    others = len(job.members) - 1
    files = "another file" if others == 1 else f"{others:,} other files"
    return f"The job had the lines of {files}, too; a retry gets a job of its own."


def hub_unreadable(error: ImporterError) -> str:
    """Why nothing is known of a running job at present, and what to do."""
    if isinstance(error, HubUnauthorizedError):
        cause = f" ({first_line(error)}). {_explanation(error)}"
    else:
        cause = f": {first_line(error)}"
    return clean_reason(f"The job is running, but its status cannot be read{cause}")


def status_unreadable(cause: str) -> str:
    """What a running import shows while the hub's answers do not say how its job is doing."""
    return clean_reason(
        f"{cause} Waiting for the job's log. The job is cancelled after JOB_DEADLINE_HOURS."
    )


def unknown_status(status: str) -> str:
    return f"The hub reports an unknown job status ({status!r})."


def unexpected_answer(error: HubAnswerError) -> str:
    """Why an answer says nothing of a running job, and what to do if the hub gives a code."""
    refusal = explain_text(error.details.name) if error.details else None
    return clean_reason(f"{error} {refusal}" if refusal else str(error))


def job_not_found(deadline: timedelta) -> str:
    return (
        "The hub does not know the job, and it has written no log yet. Waiting up to "
        f"{format_duration(deadline)} for it."
    )


def cancelling(reason: CancelReason | None, deadline: timedelta) -> str:
    match reason:
        case CancelReason.OPERATOR:
            cause = "An operator cancelled the import"
        case CancelReason.DEADLINE:
            hours = int(deadline.total_seconds() // 3600)
            cause = f"The job ran for more than {hours} h (JOB_DEADLINE_HOURS) and was cancelled"
        case None:
            return ""
    return f"{cause}; waiting for the hub to end its job."


def although_cancelled(reason: str, cancel_reason: CancelReason | None) -> str:
    """Why an import still runs, with what becomes of it if an operator cancelled it."""
    if cancel_reason is not CancelReason.OPERATOR:
        return reason
    return clean_reason(reason, "An operator cancelled the import: it ends after this wait.")


def log_awaited(cause: str, grace: timedelta) -> str:
    """What a running import shows whose job has ended without a log that can be read yet."""
    return clean_reason(f"{cause} Waiting up to {format_duration(grace)} for it.")


def not_all_imported(record: ImportRecord, outcome: JobOutcome) -> str:
    """Why an import whose job completed is not complete."""
    parts, is_undo = [], bool(record.undo_of)
    if outcome.failed:
        codes = list(outcome.explained_codes)
        counts = "; ".join(
            f"{count:,} x {code_label(code)}" + (f" ({remedy})" if remedy else "")
            for code, count, remedy in codes[:MAX_CODES]
        )
        more = f" and {len(codes) - MAX_CODES} more codes" if len(codes) > MAX_CODES else ""
        parts.append(
            f"{outcome.failed:,} of {record.devices or 0:,} devices failed: {counts}{more}. "
            f"{outcome.example} The report lists them with their lines"
            + ("; retry.ndjson contains these lines." if outcome.retry and not is_undo else ".")
        )
    if record.left_out:
        parts.append(
            f"{record.left_out:,} of {record.devices or 0:,} were left out, as somebody changed "
            "them after the import that is undone. To overwrite that, too, undo it again with "
            "alsoChanged (--also-changed)."
        )
    if existing := sum(outcome.in_registry.values()):
        parts.append(
            f"The hub's log may be wrong: of {len(outcome.in_registry)} devices that it reports as "
            f"missing, {existing} are in the registry. Compare them before you import them again."
        )
    if record.invalid_lines:
        broken = lines_that_break_rules(record.invalid_lines, record.lines or 0)
        were, them = ("was", "it") if record.invalid_lines == 1 else ("were", "them")
        parts.append(f"{broken} and {were} left out; problems.csv lists {them}.")
    return clean_reason(" ".join(parts))


def job_failed(job: HubJob, sas_expired: bool) -> str:
    if job.failure_reason:
        cause = f"The hub failed the job: {job.failure_reason.rstrip('.')}."
        if refusal := explain_text(job.failure_reason):
            cause = f"{cause} {refusal}"
    elif sas_expired:
        cause = (
            "The hub failed the job without a reason, but its SAS had expired by then. "
            "Raise SAS_LIFETIME_HOURS."
        )
    else:
        cause = "The hub failed the job without a reason. Check that it can reach the storage."
    return clean_reason(f"{cause} {_UNKNOWN}")


def job_cancelled(reason: CancelReason | None, job: HubJob) -> str:
    match reason:
        case CancelReason.OPERATOR:
            cause = "An operator cancelled the import, and so its job."
        case CancelReason.DEADLINE:
            cause = (
                "The job took longer than JOB_DEADLINE_HOURS and was cancelled. If it needs more "
                "time, raise it and SAS_LIFETIME_HOURS, or split the file."
            )
        case None:
            cause = "The job was cancelled at the hub."
    message = f" The hub reports: {job.failure_reason}" if job.failure_reason else ""
    return clean_reason(f"{cause}{message} {_UNKNOWN}")


def job_forgotten(age: timedelta) -> str:
    return clean_reason(
        f"The hub does not know the job any more, {format_duration(age)} after it was started, "
        f"and the job wrote no log. {_UNKNOWN}"
    )


def log_missing() -> str:
    return f"The hub's log is missing: the hub completed the job without writing {LOG_NAME}."


def log_does_not_fit(failed: int, devices: int, unidentified: int) -> str:
    """Why the counts of a log cannot be trusted."""
    text = f"The hub's log lists {failed:,} failures for {devices:,} devices"
    if unidentified:
        return f"{text}, and {unidentified:,} of them name no line of the file."
    return f"{text}."


def log_unattributed(entries: int, files: int) -> str:
    """Why the counts of no file of a job are known."""
    return (
        f"The log of the job has {entries:,} {'entry' if entries == 1 else 'entries'} that may be "
        f"of any of its {files:,} files, as no line of them is named."
    )


def staged_file_edited() -> str:
    return "The staged file was edited after the job was started."


def counts_unknown() -> str:
    return (
        "It is not known which devices were applied. Compare some of them with the hub before you "
        "import the file again."
    )


def cancelled_without_job() -> str:
    return (
        "An operator cancelled the import. The hub's answer to the request for the job was lost, "
        "and no job of the import was found at the hub."
    )


def cancelled_without_hub(hub: str) -> str:
    return clean_reason(
        "An operator cancelled the import.",
        f"Its hub {hub} is not configured in IOTHUB, so it is not known how its job ended.",
    )


def cancelled_between_jobs() -> str:
    return "An operator cancelled the undo after its first job."


def first_job_unclear() -> str:
    return "It is not known which lines of the first job of the undo failed."


def lines_changed(record: ImportRecord, error: Exception) -> str:
    """Why an import is not sent whose lines were deleted or edited."""
    if not record.undo_of:
        return str(error)
    return (
        "The lines of the undo were deleted or changed after it was requested. No further device "
        "was changed. Undo the import again."
    )


def modules_left(count: int) -> str:
    """What an undo left to do that ended after its first job."""
    what = "1 module was" if count == 1 else f"{count:,} modules were"
    return f"{what} not created again."


def cancelled_too_late() -> str:
    return "An operator cancelled the import, but its job had already completed."


def hub_trouble(error: ImporterError) -> str:
    """Why the hub's jobs cannot be listed, and what to do."""
    if isinstance(error, HubUnauthorizedError | HubRequestError):
        return clean_reason(f"{error_text(error)}. {_explanation(error)}")
    return clean_reason(first_line(error))


def _explanation(error: BaseException) -> str:
    """What the hub means by a refusal and what to do, as sentences."""
    refusal = error.explanation if isinstance(error, HubError) else None
    return str(refusal or BY_STATUS[400])


def _may_be_new_role(error: HubError) -> bool:
    return error.explanation is not None and error.explanation.awaits_role
