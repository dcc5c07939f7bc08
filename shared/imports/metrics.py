"""What is measured of imports and hubs: names after OpenTelemetry's conventions, units in UCUM."""

from __future__ import annotations

from datetime import datetime

from shared.imports.model.record import ImportRecord
from shared.telemetry.facade import Instrument, Kind

__all__ = ["HUB", "JOB_STATUS", "STATE", "count_end", "count_event", "queue_age", "queue_length"]

HUB = "deviceimporter.hub"
STATE = "deviceimporter.import.state"
RESULT = "deviceimporter.device.result"
JOB_STATUS = "deviceimporter.job.status"
OUTCOME = "deviceimporter.event.outcome"

#: Seconds, to a day: small files take seconds, a million devices hours.
_BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400)

_IMPORTS = Instrument(
    Kind.COUNTER, "deviceimporter.imports", "{import}", "Imports that became final."
)
_DEVICES = Instrument(
    Kind.COUNTER,
    "deviceimporter.devices",
    "{device}",
    "Devices and modules that the hub took or refused, and lines that broke rules.",
)
_IMPORT_DURATION = Instrument(
    Kind.HISTOGRAM,
    "deviceimporter.import.duration",
    "s",
    "From the upload to the final record.",
    _BUCKETS,
)
_JOB_DURATION = Instrument(
    Kind.HISTOGRAM,
    "deviceimporter.job.duration",
    "s",
    "Of the hub's job, by the hub's clock if it tells both times.",
    _BUCKETS,
)
_QUEUE_LENGTH = Instrument(
    Kind.GAUGE, "deviceimporter.queue.length", "{import}", "Imports of the hub that are not final."
)
_QUEUE_AGE = Instrument(
    Kind.GAUGE, "deviceimporter.queue.age", "s", "Since the upload of the oldest of them."
)
_EVENTS = Instrument(
    Kind.COUNTER, "deviceimporter.events", "{event}", "Tries to send the event of an end."
)


def count_end(record: ImportRecord) -> None:
    """An import has become final."""
    hub = {HUB: record.hub}
    state = {**hub, STATE: record.state.value}
    _IMPORTS.record(1, state)
    _IMPORT_DURATION.record(_seconds(record.uploaded_at, record.ended_at), state)
    results = {
        "imported": record.imported,
        "failed": record.failed,
        "rejected": record.invalid_lines,
        "unknown": record.devices if record.has_unknown_counts else 0,
    }
    for result, count in results.items():
        if count:
            _DEVICES.record(count, {**hub, RESULT: result})
    job = record.job
    if job.status and record.last_start_at:
        start, stop = record.last_start_at, record.ended_at
        if job.start_time_utc and job.end_time_utc:
            start, stop = job.start_time_utc, job.end_time_utc
        _JOB_DURATION.record(_seconds(start, stop), {**hub, JOB_STATUS: job.status})


def count_event(hub: str, outcome: str) -> None:
    """The event of an import's end was sent, or not."""
    _EVENTS.record(1, {HUB: hub, OUTCOME: outcome})


def queue_length(hub: str, length: int) -> None:
    """How many imports a hub's queue holds."""
    _QUEUE_LENGTH.record(length, {HUB: hub})


def queue_age(hub: str, head: datetime | None, now: datetime) -> None:
    """When the first of a hub's queue was uploaded; None if it is empty."""
    _QUEUE_AGE.record(_seconds(head, now) if head else 0, {HUB: hub})


def _seconds(start: datetime, end: datetime) -> float:
    # Two clocks may differ.
    return max(0.0, (end - start).total_seconds())
