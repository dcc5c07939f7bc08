"""The end of an import: its report, then its last row."""

from __future__ import annotations

from typing import Any

from shared.imports.outcome import Outcome
from shared.imports.record import ImportRecord, ImportState
from shared.imports.report import build_report
from shared.imports.services import Services

__all__ = ["finish"]


def finish(
    services: Services,
    record: ImportRecord,
    state: ImportState,
    outcome: Outcome | None = None,
    **changes: Any,
) -> ImportRecord:
    """End an import that was validated, and write what is known of it to report.json.

    Raises:
        ConflictError: another process changed it first.
    """
    container = services.container_of(record)
    final = record.model_copy(update={**changes, "state": state})
    problems = container.read_report()["validation"]["problems"] if record.problems else ()
    path = container.write_report(
        build_report(final, problems=problems, failures=outcome.to_json() if outcome else None)
    )
    return services.ledger.transition(record, state, report=path, **changes)
