"""An import as its page shows it: bar, history, facts and problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from shared.device_files.rules import Severity
from shared.imports.model.states import ImportState
from shared.imports.operate.import_detail import ImportDetail
from shared.text import format_duration
from shared.web.chart import bar_parts
from shared.web.rendering import format_count

__all__ = ["by_severity", "facts_of", "history_of", "parts_of", "problem_groups", "reason_of"]


def reason_of(detail: ImportDetail) -> str:
    """The reason of the state, without what the section of the plan shows."""
    missing = detail.plan.missing if detail.plan else ""
    return detail.failure_reason.replace(missing, "").strip()


def parts_of(detail: ImportDetail) -> Sequence[Mapping[str, Any]]:
    """Return the parts of the bar that shows the lines by result, in thousandths of its width."""
    if not detail.lines:
        return ()
    failed = ("rejected by the hub", detail.failed or 0)
    if detail.not_sent:
        is_ended = detail.failed is not None
        failed = ("failed", detail.failed or 0) if is_ended else ("not sent", detail.not_sent)
    counts = {
        "imported": (f"imported{_deletes(detail)}", detail.imported or 0),
        "unchanged": ("unchanged", detail.unchanged or 0),
        "left": ("left out", detail.left_out or 0),
        "failed": failed,
        "invalid": ("invalid", detail.invalid_lines or 0),
    }
    rest = max(0, detail.lines - sum(count for _, count in counts.values()))
    if detail.has_unknown_counts:
        counts["unknown"] = ("unknown whether imported", rest)
    elif detail.is_final:
        counts["rest"] = (detail.no_counts or "not imported", rest)
    else:
        is_sent = detail.state in (ImportState.STARTING, ImportState.RUNNING)
        counts["rest"] = ("in progress" if is_sent else "not imported yet", rest)
    # How many were imported is not known before the job ends, and is no result without one.
    is_known = detail.imported is not None and not detail.no_counts
    return bar_parts(
        [
            (kind, text, count or (0 if kind == "imported" and is_known else None))
            for kind, (text, count) in counts.items()
        ],
        detail.lines,
    )


def problem_groups(validation: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return a problem for each broken rule with its count, errors and frequent rules first."""
    groups: dict[str, Any] = {}
    for problem in validation.get("problems") or ():
        code = problem["code"]
        groups.setdefault(code, {**problem, "count": validation["codes"].get(code, 0)})
    return by_severity(sorted(groups.values(), key=lambda group: -group["count"]))


def by_severity(problems: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    order = [severity.value for severity in Severity]
    return sorted(problems, key=lambda problem: order.index(problem["severity"]))


def history_of(detail: ImportDetail, now: datetime) -> Sequence[Mapping[str, Any]]:
    """Return the states with the time that each lasted; None for a final one."""
    times = [entry.entered_at for entry in detail.history]
    durations = [after - before for before, after in pairwise(times)]
    last = None if detail.is_final else now - times[-1]
    return [
        {"state": entry.state, "entered_at": entry.entered_at, "duration": duration}
        for entry, duration in zip(detail.history, (*durations, last), strict=True)
    ]


def facts_of(detail: ImportDetail) -> Mapping[str, str | datetime]:
    """Return the details by name; empty ones are left out."""
    no_counts = detail.no_counts
    job = "Export job" if detail.state is ImportState.PLANNING else "Job"
    facts: dict[str, str | datetime] = {
        "Import id": detail.id,
        "Hub": detail.hub,
        "Uploaded": detail.uploaded_at,
        "Size": f"{detail.size:,} bytes",
        "Format": str(detail.validation.get("format", "")),
        "Mapping": f"{detail.mapping.file}, ETag {detail.mapping.etag}" if detail.mapping else "",
        "Lines": format_count(detail.lines),
        "Import modes": detail.import_modes,
        "Valid devices": format_count(detail.devices),
        "Imported": f"{no_counts or format_count(detail.imported)}{_deletes(detail)}",
        "Failed": no_counts or format_count(detail.failed),
        "Unchanged": format_count(detail.unchanged),
        "Left out": format_count(detail.left_out),
        "Duration": format_duration(detail.finished_at - detail.uploaded_at)
        if detail.finished_at
        else "",
        "Validation attempts": format_count(detail.validation_attempts),
        "Files in the job": format_count(detail.job_files) if detail.other_files else "",
        "Job record": detail.job_record if detail.other_files else "",
        f"{job} id": detail.job_id,
        f"{job} status": detail.job_status,
        f"{job} started": detail.start_time_utc or "",
        f"{job} ended": detail.end_time_utc or "",
        "Message of the hub": detail.job_failure_reason,
    }
    return {name: value for name, value in facts.items() if value}


def _deletes(detail: ImportDetail) -> str:
    """How many of the imported devices were deleted; "" before the end."""
    return f" ({detail.shown_deletes})" if detail.is_final and detail.shown_deletes else ""
