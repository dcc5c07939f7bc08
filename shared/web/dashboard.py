"""The pages of operators, by the names of their routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import pairwise
from typing import Any, Literal

from azure.core.exceptions import ResourceNotFoundError

from shared.device_files.rules import Severity
from shared.imports.app import Importer, utc_now
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportDetail, ImportSummary
from shared.imports.operate.reader import MAX_COUNTED, HubQueueView, ImportFilter
from shared.imports.store.daily_counts import DailyCounts
from shared.text import format_duration
from shared.web.api import App, examine
from shared.web.chart import chart_of
from shared.web.messages import ProblemError, Request, Response
from shared.web.pages import Site, moment, number, render, words
from shared.web.parameters import ImportPath, NoQuery, read, read_path
from shared.web.views import QueueView

__all__ = ["act_on_import", "error_page", "show_dashboard", "show_health", "show_import"]

#: Imports on a page, days of the chart, and problems of each kind that a page shows.
PAGE, DAYS, SHOWN = 50, 30, 20

#: Seconds between two looks while something runs, and while nothing does.
BUSY, QUIET = 3, 30

OPEN = frozenset(state for state in ImportState if not state.is_final)
ATTENTION = frozenset({ImportState.COMPLETED_WITH_ERRORS, ImportState.FAILED, ImportState.REJECTED})
_GROUPS = {"open": OPEN, "attention": ATTENTION}
_STATES = {
    "attention": "needs attention",
    "open": "not finished",
    **{state.value: words(state.value) for state in ImportState},
}
_SPANS = {
    "1h": ("in the last hour", timedelta(hours=1)),
    "1d": ("in the last day", timedelta(days=1)),
    "7d": ("in the last 7 days", timedelta(days=7)),
    "30d": ("in the last 30 days", timedelta(days=30)),
}


class PageQuery(NoQuery):
    """What the list of imports shows; a form sends what was not chosen as an empty text."""

    hub: str = ""
    state: Literal["", "open", "attention"] | ImportState = ""
    since: Literal["", "1h", "1d", "7d", "30d"] = ""
    continuation: str = ""

    def filter(self, now: datetime) -> ImportFilter:
        states = _GROUPS.get(self.state) or {ImportState(self.state)} if self.state else ()
        return ImportFilter(
            frozenset({self.hub} if self.hub else ()),
            frozenset(states),
            now - _SPANS[self.since][1] if self.since else None,
        )


def show_dashboard(request: Request, app: App) -> Response:
    query = read(PageQuery, request.query)
    site, importer = Site(request), app()
    reader = importer.reader
    now = importer.services.clock()
    page = reader.page(query.filter(now), PAGE, query.continuation)
    queues, days = reader.queues(), reader.days(DAYS)
    chosen = {"hub": query.hub, "state": str(query.state), "since": query.since}
    return render(
        "overview.html",
        site,
        refresh=BUSY if any(queue.length for queue in queues) else QUIET,
        now=now,
        summary=_summary(queues, days[-1]),
        queues=[QueueView.of(queue) for queue in queues],
        idle=[queue.hub for queue in queues if not queue.length],
        max_counted=MAX_COUNTED,
        days=days,
        totals=_totals(days),
        chart=chart_of(days),
        hubs=reader.hubs(),
        states=_STATES,
        spans={name: text for name, (text, _) in _SPANS.items()},
        chosen=chosen,
        imports=[ImportSummary.of(record) for record in page.imports],
        continuation_given=bool(query.continuation),
        upload_container=importer.services.settings.uploads.container,
        timers=importer.health.timers(),
        older=page.continuation
        and site.link("dashboard", **chosen, continuation=page.continuation),
    )


def show_import(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    importer = app()
    record = importer.reader.get(read_path(ImportPath, request).id)
    one = importer.reader.describe(record)
    report = _report(importer, record)
    validation = report.get("validation") or {}
    now = importer.services.clock()
    return render(
        "import.html",
        Site(request),
        refresh=0 if one.is_final else BUSY,
        now=now,
        one=one,
        shown=SHOWN,
        total=one.lines or 0,
        parts=_parts(one),
        failures=report.get("failures"),
        problems=_by_severity(validation.get("problems") or ()),
        problem_groups=_groups(validation),
        truncated=validation.get("truncated", False),
        timeline=_timeline(one, now),
        facts=_facts(one),
    )


def show_health(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    health = examine(app)
    return render(
        "health.html",
        Site(request),
        200 if health.is_well else 503,
        now=utc_now(),
        is_well=health.is_well,
        findings=health.findings,
    )


def act_on_import(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    reader, actions = app().reader, app().actions
    record = reader.get(read_path(ImportPath, request).id)
    match request.path.get("action"):
        case "cancel":
            record = actions.cancel(record)
        case "retry":
            record = actions.retry(record)
        case action:
            raise ProblemError(404, "not-found", f"There is no action {action!r}.")
    # The browser gets the import's page, which may be loaded anew without doing it again.
    location = Site(request).link(f"dashboard/imports/{record.id}")
    return Response(303, headers={"Location": location})


def error_page(request: Request, error: ProblemError) -> Response:
    """What went wrong, for people."""
    told = {"title": HTTPStatus(error.status).phrase, "detail": error.detail, "settings": ()}
    page = render(
        "error.html", Site(request), error.status, now=utc_now(), error=told | error.members
    )
    return replace(page, headers={**page.headers, **error.headers})


def _summary(queues: Sequence[HubQueueView], today: DailyCounts) -> str:
    running = sum(1 for queue in queues if queue.head and queue.head.state is ImportState.RUNNING)
    waiting = sum(queue.length for queue in queues) - running
    ended = today.imports.total()
    return (
        f"{running:,} {'import runs' if running == 1 else 'imports run'}, {waiting:,} "
        f"{'waits' if waiting == 1 else 'wait'}; today {ended:,} ended, "
        f"{sum(today.imports[state] for state in ATTENTION):,} of them not well."
    )


def _totals(days: Sequence[DailyCounts]) -> Mapping[str, int]:
    return {
        "imported": sum(day.imported for day in days),
        "failed": sum(day.failed for day in days),
        "unknown": sum(day.unknown for day in days),
    }


def _report(importer: Importer, record: ImportRecord) -> Mapping[str, Any]:
    """The report, as far as there is one yet, and still."""
    if not record.report:
        return {}
    try:
        return importer.services.container_of(record).read_report(record.report)
    except (ResourceNotFoundError, ValueError, RecursionError):
        return {}


def _parts(one: ImportDetail) -> Sequence[Mapping[str, Any]]:
    """The parts of the bar: what became of the lines, in thousandths of its width."""
    if not one.lines:
        return ()
    counts = {
        "imported": ("imported", one.imported or 0),
        "failed": ("refused by the hub", one.failed or 0),
        "invalid": ("broke rules", one.invalid_lines or 0),
    }
    rest = max(0, one.lines - sum(count for _, count in counts.values()))
    if one.has_unknown_counts:
        counts["unknown"] = ("not known whether imported", rest)
    else:
        counts["rest"] = ("not imported" if one.is_final else "not imported yet", rest)
    parts, x = [], 0.0
    for kind, (label, count) in counts.items():
        if count or (kind == "imported" and not one.has_unknown_counts):
            # A few failures among a million lines are to be seen too.
            width = max(4.0, 1000 * count / one.lines) if count else 0.0
            parts.append({"kind": kind, "label": label, "count": count, "x": x, "width": width})
            x += width
    return parts


def _groups(validation: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The rules that were broken, with what to do, errors first and the frequent ones first."""
    groups: dict[str, Any] = {}
    for problem in validation.get("problems") or ():
        code = problem["code"]
        groups.setdefault(code, {**problem, "count": validation["codes"].get(code, 0)})
    return _by_severity(sorted(groups.values(), key=lambda group: -group["count"]))


def _by_severity(problems: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    order = [severity.value for severity in Severity]
    return sorted(problems, key=lambda problem: order.index(problem["severity"]))


def _timeline(one: ImportDetail, now: datetime) -> Sequence[Mapping[str, Any]]:
    times = [step.entered_at for step in one.history]
    lasted = [after - before for before, after in pairwise(times)]
    last = None if one.is_final else now - times[-1]
    return [
        {"state": step.state, "entered_at": step.entered_at, "lasted": time}
        for step, time in zip(one.history, (*lasted, last), strict=True)
    ]


def _facts(one: ImportDetail) -> Mapping[str, str]:
    facts = {
        "Import": one.id,
        "Hub": one.hub,
        "Uploaded": moment(one.uploaded_at),
        "Size": f"{one.size:,} bytes",
        "Format": str(one.validation.get("format", "")),
        "Lines": number(one.lines),
        "Given to the hub": number(one.devices),
        "Imported": "unknown" if one.has_unknown_counts else number(one.imported),
        "Failed": "unknown" if one.has_unknown_counts else number(one.failed),
        "Took": format_duration(one.finished_at - one.uploaded_at) if one.finished_at else "",
        "Attempts at validation": number(one.validation_attempts),
        "Job": one.job_id,
        "Job status": one.job_status,
        "Job started": moment(one.start_time_utc) if one.start_time_utc else "",
        "Job ended": moment(one.end_time_utc) if one.end_time_utc else "",
        "The hub says": one.job_failure_reason,
    }
    return {name: value for name, value in facts.items() if value}
