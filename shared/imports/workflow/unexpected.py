"""What happens to an import when an error is none that the workflow knows."""

from __future__ import annotations

from shared import logs
from shared.errors import first_line
from shared.imports.model.keys import import_id_of
from shared.imports.services import Services
from shared.imports.workflow import upload_reasons as reasons
from shared.imports.workflow.completion import end_unreadable

__all__ = ["end_or_back_off"]

log = logs.logger(__name__)


def end_or_back_off(services: Services, hub: str, record_key: str, error: Exception) -> bool:
    """Count an unexpected error of an import, or end it by that.

    The record may be what cannot be read, so this needs nothing but its row.

    Returns:
        Whether the import has ended.

    Raises:
        NewerRowError: a newer version of the app wrote the row.
        ConflictError: another process changed it.
    """
    with logs.log_context(logs.LogContext(import_id_of(record_key), hub)):
        log.error("unexpected: %s", first_line(error), exc_info=error)
        errors = services.store.note_unexpected_error(
            hub, record_key, reasons.unexpected_error(error), services.next_try_at
        )
        if errors is not None and errors < services.settings.retries.max_attempts:
            return False
        if errors is not None:
            end_unreadable(services, hub, record_key, reasons.unexpected_end(errors, error))
        return True
