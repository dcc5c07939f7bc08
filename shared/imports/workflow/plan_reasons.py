"""Why an import that is to be planned waits, and why it is sent without a plan."""

from __future__ import annotations

from datetime import timedelta

from shared.imports.model.record import ImportRecord
from shared.text import clean_reason, format_duration

__all__ = [
    "begun_again",
    "cancelled",
    "comparing",
    "export_failed",
    "export_not_found",
    "export_takes_too_long",
    "export_unreadable",
    "needs_plan",
    "not_compared_again",
    "nothing_to_send",
    "status_awaited",
    "terminated",
    "without_plan",
]


def comparing() -> str:
    return "The registry was read; the file is compared with it."


def begun_again(cause: str) -> str:
    return clean_reason(cause, "The registry is read again.")


def without_plan(cause: str, *, is_held: bool) -> str:
    """Why an import has no plan that was to have one, and what that means."""
    effect = "it has no plan" if is_held else "all of its lines are sent"
    return clean_reason(f"The file could not be compared with the registry, so {effect}.", cause)


def not_compared_again(cause: str, *, is_undo: bool) -> str:
    """Why an import failed that was approved, and deletes devices."""
    return clean_reason(
        "What was approved could not be compared with the registry once more, so no device was "
        "changed.",
        cause,
        "" if is_undo else "Retry the import.",
    )


def needs_plan(cause: str, *, is_undo: bool) -> str:
    """Why an import failed that is not sent without a plan or a backup."""
    if is_undo:
        what, remedy = "The undo could not be compared with the registry", ""
    else:
        what, remedy = "No backup of its devices could be made (BACKUP)", "Retry the import."
    return clean_reason(f"{what}, so no device was changed.", cause, remedy)


def export_failed(status: str, reason: str) -> str:
    message = f": {reason.rstrip('.')}" if reason else " without a reason"
    return f"The export of the registry ended as {status}{message}."


def export_not_found() -> str:
    return "The hub does not know the export of the registry."


def status_awaited(cause: str, grace: timedelta) -> str:
    """What is shown while it is not known how the export is."""
    return clean_reason(
        cause, f"If that lasts for {format_duration(grace)}, the registry is exported again."
    )


def export_unreadable(why: str) -> str:
    return f"The export of the registry cannot be used: {why.rstrip('.')}."


def export_takes_too_long() -> str:
    return "The export of the registry took longer than JOB_DEADLINE_HOURS and was cancelled."


def terminated() -> str:
    return (
        "The comparison with the registry was terminated (deployment, functionTimeout or out of "
        "memory)."
    )


def cancelled() -> str:
    return (
        "An operator cancelled the import while it was compared with the registry. No device was "
        "changed."
    )


def nothing_to_send(record: ImportRecord) -> str:
    """Why an import without failures ends without a job."""
    count = record.unchanged or 0
    are = "device is" if count == 1 else "devices are"
    as_wanted = "they were before the import" if record.undo_of else "the file describes them"
    return f"Nothing to send: {count:,} {are} in the registry as {as_wanted}."
