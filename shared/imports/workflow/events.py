"""The events of an import as receivers get them: CloudEvents 1.0."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from shared.imports.model.record import ImportRecord
from shared.imports.operate.api_models import ImportSummary

__all__ = ["event_of", "event_of_approval", "event_of_hold"]


def event_of(record: ImportRecord) -> dict[str, Any]:
    """The event of an import's end; always the same for the same record."""
    state = record.state.value
    return _event(record, state, f"{record.id}-{state}", record.ended_at)


def event_of_hold(record: ImportRecord) -> dict[str, Any]:
    """The event of an import that waits for its approval."""
    return _event_of_change(record, "held")


def event_of_approval(record: ImportRecord) -> dict[str, Any]:
    """The event of an import that was approved. One that was declined ends."""
    return _event_of_change(record, "approved")


def _event_of_change(record: ImportRecord, name: str) -> dict[str, Any]:
    # The number tells it apart from another of the same import, and is the same each time.
    number = len(record.history)
    return _event(record, name, f"{record.id}-{name}-{number}", record.history[-1][1])


def _event(record: ImportRecord, name: str, event_id: str, time: datetime) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        # Receivers know repeats by it.
        "id": event_id,
        "type": f"DeviceImporter.Import.{name[0].upper()}{name[1:]}",
        "source": f"/hubs/{quote(record.hub, safe='')}",
        "subject": f"imports/{record.id}",
        "time": time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": ImportSummary.of(record).model_dump(mode="json"),
    }
