"""The one way to end an import: its report as far as that can be written, then its last row.

Report, log and staged file are best effort: what cannot be read or written is named in the reason.
The final record needs the table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from azure.core.exceptions import AzureError

from shared.errors import ImporterError
from shared.imports.model import reasons
from shared.imports.model.record import ImportRecord, ImportState
from shared.imports.services import Services
from shared.imports.workflow.job_outcome import Outcome
from shared.imports.workflow.report import build_report
from shared.logs import logger
from shared.storage.client import is_outage

__all__ = ["finish"]

log = logger(__name__)


def finish(
    services: Services,
    record: ImportRecord,
    state: ImportState,
    outcome: Outcome | None = None,
    **changes: Any,
) -> ImportRecord:
    """End an import.

    The report gets a name of its own, which the final record chooses: of two processes that end an
    import at the same time, the loser's report is never looked at.

    Args:
        outcome: what the hub's log tells, if there was a job.
        changes: columns of the final record.

    Raises:
        ConflictError: another process changed the import first.
        AzureError: storage is out of reach.
    """
    final = record.model_copy(update={**changes, "state": state})
    troubles = list(outcome.troubles) if outcome else []
    path = ""
    if record.container:
        path = _write_report(services, final, outcome, troubles)
    else:
        services.claims.note_end(record.id)
    if troubles:
        changes["failure_reason"] = reasons.joined(final.failure_reason, *troubles)
    return services.store.transition(record, state, report=path, **changes)


def _write_report(
    services: Services, final: ImportRecord, outcome: Outcome | None, troubles: list[str]
) -> str:
    """Write the report; returns its path, or "" and notes why."""
    container = services.container_of(final)
    problems: Sequence[dict[str, Any]] = ()
    if final.problems and final.report:
        try:
            problems = _problems_of(container.read_report(final.report))
        except (AzureError, ImporterError, ValueError, RecursionError) as error:
            if is_outage(error):
                raise
            log.warning("the report of the validation cannot be read", exc_info=True)
            troubles.append(reasons.unreadable("the report of the validation", error))
    if troubles:
        reason = reasons.joined(final.failure_reason, *troubles)
        final = final.model_copy(update={"failure_reason": reason})
    failures = outcome.to_json() if outcome else None
    try:
        return container.write_report(build_report(final, problems=problems, failures=failures))
    except (AzureError, ValueError) as error:
        if is_outage(error):
            raise
        log.warning("the report cannot be written", exc_info=True)
        troubles.append(reasons.unwritten("the report", error))
        return ""


def _problems_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    validation = report.get("validation")
    problems = validation.get("problems") if isinstance(validation, dict) else None
    if not isinstance(problems, list):
        raise ValueError("it lists no problems; it may have been edited")
    return problems
