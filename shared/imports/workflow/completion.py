"""The one way to end an import: its report as far as that can be written, then its final record.

Report, log and staged file are best effort: what cannot be read or written is named in the reason.
The final record needs the table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from azure.core.exceptions import AzureError

from shared.device_files.mapping.file_mapping import mapping_path
from shared.errors import ImporterError, error_text
from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.tracing import report_end
from shared.imports.workflow.job_outcome import JobOutcome
from shared.imports.workflow.job_reasons import modules_left
from shared.logs import logger
from shared.redaction import redact
from shared.storage.client import is_outage
from shared.text import clean_reason

__all__ = ["build_report", "create_ended", "end_import", "end_unreadable"]

log = logger(__name__)

Problems = Sequence[dict[str, Any]]


def end_import(
    services: Services,
    record: ImportRecord,
    state: ImportState,
    outcome: JobOutcome | None = None,
    problems: Problems | None = None,
    job: JobRecord | None = None,
) -> ImportRecord:
    """End an import.

    The report gets a new name, which the final record contains: of two processes that end an import
    at the same time, the report of the one that loses is never read.

    Args:
        record: with the reason and the counts of the final record.
        outcome: what the hub's log says, if there was a job.
        problems: what the validation found; None: as in the report that the record names.
        job: that of the import; if it is alone in it, the job is over, too.

    Raises:
        ConflictError: another process changed the import first.
        AzureError: storage is unavailable.
    """
    record = _with_first_job(record)
    reason = clean_reason(record.failure_reason, record.plan.missing)
    record = replace(record, failure_reason=reason)
    if record.undo_of and state.is_retryable:
        again = f"An undo is not retried: undo import {record.undo_of} again."
        record = replace(record, failure_reason=clean_reason(record.failure_reason, again))
    troubles = list(outcome.troubles) if outcome else []
    report = ""
    if record.staged.container:
        final = replace(record, state=state)
        report = _write_report(services, final, outcome, problems, troubles)
    else:
        services.claims.note_end(record.id)
    reason = clean_reason(record.failure_reason, *troubles)
    record = replace(record, report=report, failure_reason=reason)
    # Who approves a held import wants to know who has touched its devices since.
    is_compared = services.known_hubs.seems_guarded(record.hub)
    final = services.store.end(record, state, job, keeps_footprint=is_compared)
    report_end(final)
    return final


def _with_first_job(record: ImportRecord) -> ImportRecord:
    """The record of an undo whose second job was not done: the first one has changed devices."""
    if not record.is_in_second_job or record.imported or record.failed:
        return record
    reason = clean_reason(record.failure_reason, modules_left(record.second_lines or 0))
    return replace(record, failure_reason=reason, imported=None, failed=None)


def create_ended(services: Services, record: ImportRecord) -> tuple[ImportRecord, bool]:
    """Write the only record of an import that is final from the first; returns as `create`."""
    created, is_new = services.store.create(record)
    if is_new:
        report_end(created)
    return created, is_new


def end_unreadable(services: Services, hub: str, row_key: str, reason: str) -> None:
    """End an open import as failed by what can be read of its row: needs the table alone.

    Raises:
        NewerRowError: a newer version of the app wrote the row.
        ConflictError: another process changed it.
    """
    record = services.store.readable(hub, row_key)
    if record is None or record.state.is_final:
        return
    # Without its history the state may have been typed by hand.
    count = 0 if record.history and record.had_no_job else None
    # A report that was written before contains another state.
    record = replace(record, failure_reason=reason, report="", imported=count, failed=count)
    report_end(services.store.end(record, ImportState.FAILED))


def build_report(
    record: ImportRecord, problems: Problems = (), failures: dict[str, Any] | None = None
) -> dict[str, Any]:
    """report.json of an import that was validated, and again of one that has ended.

    Args:
        record: the import as its row will contain it.
        problems: the first problems that the validation found.
        failures: what the hub's log says, if there was a job.
    """
    job = record.job
    return {
        "import": record.id,
        "hub": record.hub,
        "file": record.file,
        "etag": record.upload_etag,
        "uploadedAt": record.uploaded_at.isoformat(),
        "state": record.state,
        "failureReason": redact(record.failure_reason),
        "devices": {
            "lines": record.lines,
            "invalidLines": record.invalid_lines,
            "valid": record.devices,
            "imported": record.imported,
            "failed": record.failed,
            "unchanged": record.unchanged,
        },
        "mapping": {"file": mapping_path(record.file), "etag": record.mapping_etag}
        if record.mapping
        else None,
        "validation": {**record.validation, "problems": list(problems)},
        "plan": _plan_json(record) if record.is_planned else None,
        "job": {
            "jobId": job.id,
            "status": job.status,
            "startTimeUtc": job.start_time_utc and job.start_time_utc.isoformat(),
            "endTimeUtc": job.end_time_utc and job.end_time_utc.isoformat(),
            "failureReason": redact(job.failure_reason),
            "files": record.job_files,
        }
        if job.id
        else None,
        "failures": failures,
    }


def _plan_json(record: ImportRecord) -> dict[str, Any]:
    plan = record.plan
    return {
        "asOf": plan.as_of and plan.as_of.isoformat(),
        "digest": plan.digest,
        "sent": plan.sent,
        "failed": plan.failed,
        "missing": plan.missing,
    }


def _write_report(
    services: Services,
    final: ImportRecord,
    outcome: JobOutcome | None,
    problems: Problems | None,
    troubles: list[str],
) -> str:
    """Write the report; returns its path, or "" and notes why."""
    container = services.container_of(final)
    if problems is None and final.problems and final.report:
        try:
            problems = _problems_of(container.read_report(final.report))
        except (AzureError, ImporterError, ValueError, RecursionError) as error:
            if is_outage(error):
                raise
            log.warning("the report of the validation cannot be read", exc_info=True)
            troubles.append(unreadable("the report of the validation", error))
    final = replace(final, failure_reason=clean_reason(final.failure_reason, *troubles))
    failures = outcome.to_json() if outcome else None
    try:
        return container.write_report(build_report(final, problems or (), failures))
    except (AzureError, ValueError) as error:
        if is_outage(error):
            raise
        log.warning("the report cannot be written", exc_info=True)
        troubles.append(unwritten("the report", error))
        return ""


def _problems_of(report: dict[str, Any]) -> Problems:
    validation = report.get("validation")
    problems = validation.get("problems") if isinstance(validation, dict) else None
    if not isinstance(problems, list):
        raise ValueError("it lists no problems; it may have been edited")
    return problems


def unreadable(what: str, error: BaseException) -> str:
    return f"{what[0].upper()}{what[1:]} cannot be read ({error_text(error)})."


def unwritten(what: str, error: BaseException) -> str:
    return f"{what[0].upper()}{what[1:]} could not be written ({error_text(error)})."
