"""Handlers of the pages, by the names of their routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from shared.device_files.rules import Severity
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportDetail, ImportSummary
from shared.imports.operate.reader import MAX_COUNTED, HubQueueView, ImportFilter
from shared.imports.store.daily_counts import DailyCounts
from shared.text import format_duration
from shared.web.api import App, approve, cancel, examine
from shared.web.callers import caller_of
from shared.web.chart import bar_parts, chart_of
from shared.web.http_types import ProblemError, Request, Response
from shared.web.parameters import ActionPath, DashboardQuery, ImportPath, NoParameters
from shared.web.plan_view import view_of
from shared.web.rendering import Links, format_count, format_time, render
from shared.web.response_models import QueueSummary

__all__ = ["act_on_import", "error_page", "show_dashboard", "show_health", "show_import"]

#: Imports per page, days in the chart, and rows in each table of problems.
PAGE_SIZE, DAYS, MAX_ROWS = 50, 30, 20

#: Seconds between two refreshes while imports are open, and otherwise.
BUSY_REFRESH, IDLE_REFRESH = 3, 30

_STATE_GROUPS = {
    "attention": frozenset(
        state for state in ImportState if state.needs_attention or state is ImportState.HELD
    ),
    "open": frozenset(state for state in ImportState if not state.is_final),
}
_STATE_LABELS = {
    "attention": "needs attention",
    "open": "not finished",
    **{state.value: state.label for state in ImportState},
}
_PERIODS = {
    "1h": ("in the last hour", timedelta(hours=1)),
    "1d": ("in the last day", timedelta(days=1)),
    "7d": ("in the last 7 days", timedelta(days=7)),
    "30d": ("in the last 30 days", timedelta(days=30)),
}


def show_dashboard(app: App, request: Request, query: DashboardQuery) -> Response:
    importer = app()
    reader = importer.reader
    now = importer.services.clock()
    page = reader.page(_filter(query, now), PAGE_SIZE, query.continuation)
    queues, days = reader.queues(), reader.days(DAYS)
    filters = {"hub": query.hub, "state": str(query.state), "since": query.since}
    older = page.continuation and Links(request).link(
        "dashboard", **filters, continuation=page.continuation
    )
    return render(
        "overview.html",
        request,
        now=now,
        refresh=BUSY_REFRESH if any(queue.length for queue in queues) else IDLE_REFRESH,
        summary=_summary(queues, reader.held_count(), days[-1]),
        timers=importer.health.timers(),
        queues=[QueueSummary.of(queue) for queue in queues if queue.length],
        idle=[queue.hub for queue in queues if not queue.length],
        max_counted=MAX_COUNTED,
        days=days,
        totals={
            name: sum(getattr(day, name) for day in days)
            for name in ("imported", "failed", "unknown")
        },
        chart=chart_of(days),
        hubs=reader.hubs(),
        states=_STATE_LABELS,
        periods={name: text for name, (text, _) in _PERIODS.items()},
        filters=filters,
        is_filtered=any(filters.values()),
        imports=[ImportSummary.of(record) for record in page.imports],
        is_first_page=not query.continuation,
        older=older,
        upload_container=importer.services.settings.uploads.container,
    )


def show_import(app: App, request: Request, path: ImportPath) -> Response:
    importer = app()
    record = importer.reader.get(path.id)
    detail = importer.reader.describe(record)
    report = _report(importer, record)
    validation = report.get("validation") or {}
    plan = importer.reader.plan(record)
    now = importer.services.clock()
    return render(
        "import.html",
        request,
        now=now,
        refresh=0 if detail.is_final else BUSY_REFRESH,
        detail=detail,
        reason=_reason(detail),
        max_rows=MAX_ROWS,
        parts=_parts(detail),
        failures=report.get("failures"),
        problems=_by_severity(validation.get("problems") or ()),
        problem_groups=_problem_groups(validation),
        truncated=validation.get("truncated", False),
        history=_history(detail, now),
        facts=_facts(detail),
        plan=view_of(plan) if plan else None,
        modes=record.validation.get("importModes") or {},
        knows_callers=importer.services.settings.knows_callers,
        caller=caller_of(request, importer.services.settings, "dashboard"),
    )


def show_health(app: App, request: Request, _: NoParameters) -> Response:
    health = examine(app)
    return render("health.html", request, 200 if health.is_healthy else 503, health=health)


def act_on_import(app: App, request: Request, path: ActionPath) -> Response:
    importer = app()
    by = caller_of(request, importer.services.settings, "dashboard")
    match path.action:
        case "cancel":
            record = cancel(app, path, by)
        case "approve":
            record = approve(app, path.id, path.plan, path.later, by)
        case "decline":
            record = importer.approvals.decline(importer.reader.get(path.id), path.reason, by)
        case "retry":
            record = importer.actions.retry(importer.reader.get(path.id), by)
        case "undo":
            record = importer.actions.undo(
                importer.reader.get(path.id), path.deletes, by, also_changed=path.also_changed
            )
    # After a redirect, reloading the page does not repeat the action.
    location = Links(request).link(f"dashboard/imports/{record.id}")
    return Response(303, headers={"Location": location})


def error_page(request: Request, error: ProblemError) -> Response:
    page = render(
        "error.html",
        request,
        error.status,
        problem=error.document,
        import_id=request.path.get("id", "") if error.status == 409 else "",
        max_rows=MAX_ROWS,
    )
    return replace(page, headers={**page.headers, **error.headers})


def _filter(query: DashboardQuery, now: datetime) -> ImportFilter:
    states: Iterable[ImportState] = ()
    if query.state:
        states = _STATE_GROUPS.get(query.state) or (ImportState(query.state),)
    return ImportFilter(
        frozenset({query.hub} if query.hub else ()),
        frozenset(states),
        now - _PERIODS[query.since][1] if query.since else None,
    )


def _summary(queues: Sequence[HubQueueView], held: int, today: DailyCounts) -> str:
    running = sum(queue.running for queue in queues)
    waiting = sum(queue.length for queue in queues) - running
    attention = sum(count for state, count in today.imports.items() if state.needs_attention)
    for_approval = f", {held:,} waiting for approval" if held else ""
    return (
        f"{running:,} running, {waiting:,} waiting{for_approval}. "
        f"{today.imports.total():,} finished today, "
        f"{attention:,} {'needs' if attention == 1 else 'need'} attention."
    )


def _reason(detail: ImportDetail) -> str:
    """The reason of the state, without what the section of the plan shows."""
    missing = detail.plan.missing if detail.plan else ""
    return detail.failure_reason.replace(missing, "").strip()


def _report(importer: Importer, record: ImportRecord) -> Mapping[str, Any]:
    """Return the report; empty if it is not written yet, was deleted or cannot be read."""
    if not record.report:
        return {}
    try:
        return importer.services.container_of(record).read_report(record.report)
    except (ResourceNotFoundError, ValueError, RecursionError):
        return {}


def _parts(detail: ImportDetail) -> Sequence[Mapping[str, Any]]:
    """Return the parts of the bar that shows the lines by result, in thousandths of its width."""
    if not detail.lines:
        return ()
    failed = ("rejected by the hub", detail.failed or 0)
    if detail.not_sent:
        is_ended = detail.failed is not None
        failed = ("failed", detail.failed or 0) if is_ended else ("not sent", detail.not_sent)
    counts = {
        "imported": ("imported", detail.imported or 0),
        "unchanged": ("unchanged", detail.unchanged or 0),
        "left": ("left out", detail.left_out or 0),
        "failed": failed,
        "invalid": ("invalid", detail.invalid_lines or 0),
    }
    rest = max(0, detail.lines - sum(count for _, count in counts.values()))
    if detail.has_unknown_counts:
        counts["unknown"] = ("unknown whether imported", rest)
    elif detail.is_final:
        counts["rest"] = ("not imported", rest)
    else:
        is_sent = detail.state in (ImportState.STARTING, ImportState.RUNNING)
        counts["rest"] = ("in progress" if is_sent else "not imported yet", rest)
    # How many were imported is not known before the job ends.
    is_known = detail.imported is not None
    return bar_parts(
        [
            (kind, text, count or (0 if kind == "imported" and is_known else None))
            for kind, (text, count) in counts.items()
        ],
        detail.lines,
    )


def _problem_groups(validation: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return a problem for each broken rule with its count, errors and frequent rules first."""
    groups: dict[str, Any] = {}
    for problem in validation.get("problems") or ():
        code = problem["code"]
        groups.setdefault(code, {**problem, "count": validation["codes"].get(code, 0)})
    return _by_severity(sorted(groups.values(), key=lambda group: -group["count"]))


def _by_severity(problems: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    order = [severity.value for severity in Severity]
    return sorted(problems, key=lambda problem: order.index(problem["severity"]))


def _history(detail: ImportDetail, now: datetime) -> Sequence[Mapping[str, Any]]:
    """Return the states with the time that each lasted; None for a final one."""
    times = [entry.entered_at for entry in detail.history]
    durations = [after - before for before, after in pairwise(times)]
    last = None if detail.is_final else now - times[-1]
    return [
        {"state": entry.state, "entered_at": entry.entered_at, "duration": duration}
        for entry, duration in zip(detail.history, (*durations, last), strict=True)
    ]


def _facts(detail: ImportDetail) -> Mapping[str, str]:
    has_unknown_counts = detail.has_unknown_counts
    job = "Export job" if detail.state is ImportState.PLANNING else "Job"
    facts = {
        "Import id": detail.id,
        "Hub": detail.hub,
        "Uploaded": format_time(detail.uploaded_at),
        "Size": f"{detail.size:,} bytes",
        "Format": str(detail.validation.get("format", "")),
        "Lines": format_count(detail.lines),
        "Valid devices": format_count(detail.devices),
        "Imported": "unknown" if has_unknown_counts else format_count(detail.imported),
        "Failed": "unknown" if has_unknown_counts else format_count(detail.failed),
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
        f"{job} started": format_time(detail.start_time_utc) if detail.start_time_utc else "",
        f"{job} ended": format_time(detail.end_time_utc) if detail.end_time_utc else "",
        "Message of the hub": detail.job_failure_reason,
    }
    return {name: value for name, value in facts.items() if value}
