"""Metrics of imports and hubs, with names by OpenTelemetry's conventions and units in UCUM."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord
from shared.telemetry import Instrument, InstrumentKind

__all__ = [
    "HUB",
    "JOB_STATUS",
    "STATE",
    "count_end",
    "count_event",
    "count_job",
    "held",
    "queue_age",
    "queue_length",
]

HUB = "deviceimporter.hub"
STATE = "deviceimporter.import.state"
RESULT = "deviceimporter.device.result"
JOB_STATUS = "deviceimporter.job.status"
OUTCOME = "deviceimporter.event.outcome"

#: Seconds, to a day: small files take seconds, a million devices hours.
_BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400)

_IMPORTS = Instrument(
    InstrumentKind.COUNTER, "deviceimporter.imports", "{import}", "Imports that became final."
)
_DEVICES = Instrument(
    InstrumentKind.COUNTER,
    "deviceimporter.devices",
    "{device}",
    "Devices and modules that the hub imported or rejected or that were unchanged, and invalid "
    "lines.",
)
_IMPORT_DURATION = Instrument(
    InstrumentKind.HISTOGRAM,
    "deviceimporter.import.duration",
    "s",
    "Time from upload to final record.",
    _BUCKETS,
)
_JOB_DURATION = Instrument(
    InstrumentKind.HISTOGRAM,
    "deviceimporter.job.duration",
    "s",
    "Duration of the hub's job, by the hub's clock if the job has both times.",
    _BUCKETS,
)
_QUEUE_LENGTH = Instrument(
    InstrumentKind.GAUGE,
    "deviceimporter.queue.length",
    "{import}",
    "Imports of the hub that are not final.",
)
_QUEUE_AGE = Instrument(
    InstrumentKind.GAUGE,
    "deviceimporter.queue.age",
    "s",
    "Time since the upload of the oldest of them.",
)
_HELD = Instrument(
    InstrumentKind.GAUGE,
    "deviceimporter.held.imports",
    "{import}",
    "Imports of the hub that wait for approval.",
)
_HELD_AGE = Instrument(
    InstrumentKind.GAUGE,
    "deviceimporter.held.age",
    "s",
    "Time since the oldest of them was held.",
)
_EVENTS = Instrument(
    InstrumentKind.COUNTER,
    "deviceimporter.events",
    "{event}",
    "Attempts to send an event.",
)


def count_end(record: ImportRecord) -> None:
    """Count an import that has become final, its devices and durations."""
    hub = {HUB: record.hub}
    state = {**hub, STATE: record.state.value}
    _IMPORTS.record(1, state)
    _IMPORT_DURATION.record(_seconds(record.uploaded_at, record.ended_at), state)
    results = {
        "imported": record.imported,
        "failed": record.plan.failed if record.has_unknown_counts else record.failed,
        "unchanged": record.unchanged,
        "rejected": record.invalid_lines,
        "unknown": _unknown(record),
    }
    for result, count in results.items():
        if count:
            _DEVICES.record(count, {**hub, RESULT: result})


def _unknown(record: ImportRecord) -> int:
    """How many devices the hub got of which it is not known whether they were imported."""
    if not record.has_unknown_counts:
        return 0
    return record.lines_to_apply - (record.plan.failed or 0)


def count_job(job: JobRecord) -> None:
    """Count a job that is over."""
    if job.job.status:
        started, ended = job.started_at, job.updated_at
        if job.job.start_time_utc and job.job.end_time_utc:
            started, ended = job.job.start_time_utc, job.job.end_time_utc
        _JOB_DURATION.record(_seconds(started, ended), {HUB: job.hub, JOB_STATUS: job.job.status})


def count_event(hub: str, outcome: str) -> None:
    """Count an attempt to send an event."""
    _EVENTS.record(1, {HUB: hub, OUTCOME: outcome})


def queue_length(hub: str, length: int) -> None:
    """Set the number of imports in a hub's queue."""
    _QUEUE_LENGTH.record(length, {HUB: hub})


def queue_age(hub: str, head: datetime | None, now: datetime) -> None:
    """Set the age of a hub's oldest waiting upload, uploaded at `head`; None for no upload."""
    _QUEUE_AGE.record(_seconds(head, now) if head else 0, {HUB: hub})


def held(hub: str, since: Sequence[datetime], now: datetime) -> None:
    """Set the number and age of a hub's imports that wait for approval, by when they were held."""
    _HELD.record(len(since), {HUB: hub})
    _HELD_AGE.record(_seconds(min(since), now) if since else 0, {HUB: hub})


def _seconds(start: datetime, end: datetime) -> float:
    # The times may come from two clocks.
    return max(0.0, (end - start).total_seconds())
