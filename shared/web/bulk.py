"""Handlers that cancel or retry what a filter shows, by the names of their routes."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC
from typing import Any

from shared.imports.app import Importer
from shared.imports.model.safeguards import Actor
from shared.imports.operate.api_models import ImportSummary, JobImport
from shared.imports.operate.bulk import BulkAction, Outcome, Result, Selection
from shared.imports.operate.import_filter import ImportFilter
from shared.web.api import App
from shared.web.callers import caller_of
from shared.web.http_types import ProblemError, Request, Response
from shared.web.import_lists import filter_of, filters_of
from shared.web.parameters import BulkPageQuery, BulkQuery
from shared.web.rendering import render
from shared.web.response_models import BulkItem, BulkReport

__all__ = ["act_on_imports", "cancel_imports", "confirm_imports", "retry_imports"]

#: Seconds after which no further import is begun: the platform ends a request after 230.
MAX_SECONDS = 60.0

#: Imports that a page or a problem lists.
MAX_LISTED = 20


def cancel_imports(app: App, request: Request, query: BulkQuery) -> Response:
    return _answer(app, request, BulkAction.CANCEL, query)


def retry_imports(app: App, request: Request, query: BulkQuery) -> Response:
    return _answer(app, request, BulkAction.RETRY, query)


def confirm_imports(app: App, request: Request, query: BulkPageQuery) -> Response:
    """Show what would be cancelled or retried."""
    importer = app()
    wanted = filter_of(query, importer.services.clock())
    return _confirmation(importer, request, query, importer.bulk.select(query.action, wanted))


def act_on_imports(app: App, request: Request, query: BulkPageQuery) -> Response:
    """Cancel or retry what was confirmed, and show the results."""
    importer = app()
    wanted = filter_of(query, importer.services.clock())
    # Those that were shown: a period ends when it is looked at.
    shown = replace(
        wanted,
        uploaded_after=query.uploaded_after or wanted.uploaded_after,
        uploaded_before=query.uploaded_before or wanted.uploaded_before,
    )
    selection = importer.bulk.select(query.action, shown)
    if not selection.is_confirmed(query.count):
        return _confirmation(importer, request, query, selection, confirmed=query.count)
    by = caller_of(request, importer.services.settings, "dashboard")
    report = _run(importer, selection, by)
    return render(
        "bulk_done.html",
        request,
        action=query.action,
        report=report,
        counts=report.counts,
        failed_first=sorted(report.results, key=lambda item: item.outcome is not Outcome.FAILED),
        filters=filters_of(query),
    )


def _confirmation(
    importer: Importer,
    request: Request,
    query: BulkPageQuery,
    selection: Selection,
    confirmed: int | None = None,
) -> Response:
    """The page that asks; after a number that was confirmed, why it asks again."""
    return render(
        "bulk.html",
        request,
        200 if confirmed is None else 409,
        action=query.action,
        confirmed=confirmed,
        selection=selection,
        imports=[ImportSummary.of(record) for record in selection.imports[:MAX_LISTED]],
        in_shared_jobs=[
            ImportSummary.of(record) for record in selection.in_shared_jobs[:MAX_LISTED]
        ],
        fixed=_times(selection.filter),
        filters=filters_of(query),
        has_several_hubs=len(importer.reader.hubs()) > 1,
    )


def _times(filter: ImportFilter) -> dict[str, str | None]:
    times = {"uploadedAfter": filter.uploaded_after, "uploadedBefore": filter.uploaded_before}
    return {
        # With Z, as a plus sign in an address is a blank.
        name: moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
        for name, moment in times.items()
    }


def _answer(app: App, request: Request, action: BulkAction, query: BulkQuery) -> Response:
    importer = app()
    selection = importer.bulk.select(action, query.filter())
    if not selection.is_confirmed(query.count):
        raise _not_confirmed(selection, query.count)
    by = caller_of(request, importer.services.settings, "API")
    report = _run(importer, selection, by)
    return Response(200, report.model_dump_json(by_alias=True).encode(), "application/json")


def _not_confirmed(selection: Selection, confirmed: int | None) -> ProblemError:
    verb = "cancelled" if selection.action is BulkAction.CANCEL else "retried"
    imports = "1 import" if selection.count == 1 else f"{selection.count:,} imports"
    said = "" if confirmed is None else f" Confirmed: {confirmed:,}."
    members: dict[str, Any] = {
        "count": selection.count,
        "imports": [_short(record) for record in selection.imports[:MAX_LISTED]],
        "inSharedJobs": [_short(record) for record in selection.in_shared_jobs[:MAX_LISTED]],
        **_times(selection.filter),
    }
    return ProblemError(
        409,
        "count-not-confirmed",
        f"{imports} would be {verb}.{said} To do that, repeat the request with "
        f"count={selection.count}, and with uploadedAfter and uploadedBefore as in this answer.",
        **members,
    )


def _short(record: Any) -> dict[str, Any]:
    return JobImport.of(record).model_dump(mode="json")


def _run(importer: Importer, selection: Selection, by: Actor) -> BulkReport:
    """Act on imports until all are done or the time is over."""
    end = time.monotonic() + MAX_SECONDS
    results: list[Result] = []
    for result in importer.bulk.run(selection, by):
        results.append(result)
        if time.monotonic() >= end:
            break
    return BulkReport(
        results=[BulkItem.of(result) for result in results],
        left=selection.count - len(results),
        in_shared_jobs=[JobImport.of(record) for record in selection.in_shared_jobs],
        held=selection.held,
        is_cut=selection.is_cut,
    )
