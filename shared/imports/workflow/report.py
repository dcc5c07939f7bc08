"""report.json: everything that is known of an import, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.imports.model.record import ImportRecord
from shared.redaction import redact

__all__ = ["build_report"]


def build_report(
    record: ImportRecord,
    *,
    problems: Sequence[dict[str, Any]] = (),
    failures: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The report of a record once its file was validated, and again in its final state.

    Args:
        record: the import as its row will have it.
        problems: the first problems that the validation found.
        failures: what the hub's log tells, if there was a job.
    """
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
            "givenToHub": record.devices,
            "imported": record.imported,
            "failed": record.failed,
        },
        "validation": {**record.validation, "problems": list(problems)},
        "job": {
            "jobId": record.job_id,
            "status": record.job_status,
            "startTimeUtc": record.start_time_utc and record.start_time_utc.isoformat(),
            "endTimeUtc": record.end_time_utc and record.end_time_utc.isoformat(),
            "failureReason": redact(record.job_failure_reason),
        }
        if record.job_id
        else None,
        "failures": failures,
    }
