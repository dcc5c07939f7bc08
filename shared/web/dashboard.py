"""Handlers of the pages, by the names of their routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.hub_names import hub_names
from shared.imports.operate.queue_view import MAX_COUNTED, HubQueueView
from shared.imports.operate.retry_advice import retry_advice
from shared.imports.store.daily_counts import DailyCounts
from shared.web.api import (
    MAX_POSTED_BYTES,
    App,
    approve,
    cancel,
    examine,
    openapi_document,
)
from shared.web.api_reference import api_reference
from shared.web.callers import caller_of
from shared.web.chart import chart_of
from shared.web.http_types import ProblemError, Request, Response
from shared.web.import_lists import PAGE_SIZE, filter_of, list_view
from shared.web.import_view import (
    by_severity,
    facts_of,
    history_of,
    parts_of,
    problem_groups,
    reason_of,
)
from shared.web.parameters import ActionPath, DashboardQuery, ImportPath, NoParameters
from shared.web.plan_view import view_of
from shared.web.rendering import Links, render
from shared.web.response_models import QueueSummary

__all__ = [
    "act_on_import",
    "error_page",
    "show_api",
    "show_dashboard",
    "show_health",
    "show_help",
    "show_import",
]

#: Days in the chart, and rows in each table of problems.
DAYS, MAX_ROWS = 30, 20

#: Seconds between two refreshes while imports are open, and otherwise.
BUSY_REFRESH, IDLE_REFRESH = 3, 30

UPLOAD_SCRIPTS = ("upload_sample.js", "upload_result.js", "upload_transfer.js", "upload.js")


def show_dashboard(app: App, request: Request, query: DashboardQuery) -> Response:
    importer = app()
    reader = importer.reader
    now = importer.services.clock()
    wanted = filter_of(query, now)
    view = reader.overview(wanted, PAGE_SIZE, query.continuation, DAYS)
    queues, days = view.queues, view.days
    routes = importer.services.settings.hub.routes
    # A search reads many records, so it is not repeated every few seconds.
    is_busy = any(queue.length for queue in queues) and not wanted.has_names
    return render(
        "overview.html",
        request,
        now=now,
        refresh=BUSY_REFRESH if is_busy else IDLE_REFRESH,
        summary=_summary(queues, view.held, days[-1]),
        timers=importer.health.timers(),
        queues=[QueueSummary.of(queue) for queue in queues if queue.length],
        idle=[queue.hub for queue in queues if not queue.length],
        max_counted=MAX_COUNTED,
        days=days,
        totals={
            "imports": sum(day.imports.total() for day in days),
            **{
                name: sum(getattr(day, name) for day in days)
                for name in ("imported", "failed", "unknown")
            },
        },
        chart=chart_of(days),
        **list_view(view.page, query, Links(request).link),
        hubs=reader.hubs(),
        folders={hub.name: folder for folder, hub in routes.by_folder.items() if folder},
        chosen_hub="".join(hub_names(importer.services, [query.hub] if query.hub else [])),
        starts=view.expected_starts,
        upload_container=importer.services.settings.uploads.container,
        **_upload(importer, request),
    )


def _upload(importer: Importer, request: Request) -> Mapping[str, Any]:
    """What the page needs for uploads, unless they are turned off."""
    settings = importer.services.settings
    if not settings.web.uploads:
        return {"upload": None}
    return {
        "upload": {
            "folders": settings.hub.routes.folders,
            "limit": MAX_POSTED_BYTES,
            # Nobody has to confirm what somebody has to approve.
            "confirms_deletes": settings.safeguards.approval == "never",
        },
        "knows_callers": settings.knows_callers,
        "caller": caller_of(request, settings, "dashboard"),
        "scripts": UPLOAD_SCRIPTS,
        "connects_to": importer.services.storage.blob_origin,
    }


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
        reason=reason_of(detail),
        max_rows=MAX_ROWS,
        parts=parts_of(detail),
        failures=report.get("failures"),
        advice=retry_advice(report.get("failures")),
        problems=by_severity(validation.get("problems") or ()),
        problem_groups=problem_groups(validation),
        truncated=validation.get("truncated", False),
        history=history_of(detail, now),
        facts=facts_of(detail),
        plan=view_of(plan) if plan else None,
        modes=record.validation.get("importModes") or {},
        knows_callers=importer.services.settings.knows_callers,
        caller=caller_of(request, importer.services.settings, "dashboard"),
    )


def show_health(app: App, request: Request, _: NoParameters) -> Response:
    health = examine(app)
    return render("health.html", request, 200 if health.is_healthy else 503, health=health)


def show_help(app: App, request: Request, _: NoParameters) -> Response:
    return render("help.html", request, states=list(ImportState))


def show_api(app: App, request: Request, _: NoParameters) -> Response:
    return render("api.html", request, reference=api_reference(openapi_document()))


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


def _summary(queues: Sequence[HubQueueView], held: int, today: DailyCounts) -> str:
    running = sum(queue.running for queue in queues)
    waiting = sum(queue.length for queue in queues) - running
    attention = sum(count for state, count in today.imports.items() if state.needs_attention)
    for_approval = f", {held:,} waiting for approval" if held else ""
    return (
        f"{running:,} running, {waiting:,} waiting{for_approval}. "
        f"{today.imports.total():,} finished today, "
        f"{attention:,} of them {'needs' if attention == 1 else 'need'} attention."
    )


def _report(importer: Importer, record: ImportRecord) -> Mapping[str, Any]:
    """Return the report; empty if it is not written yet, was deleted or cannot be read."""
    if not record.report:
        return {}
    try:
        return importer.services.container_of(record).read_report(record.report)
    except (ResourceNotFoundError, ValueError, RecursionError):
        return {}
