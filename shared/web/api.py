"""Handlers of the API, by the names of their routes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from pydantic import BaseModel

from shared import logs
from shared.errors import LaterImportsError, SettingsError, SharedJobError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from shared.imports.operate.api_models import ImportSummary, JobImport
from shared.imports.upkeep.health import Finding
from shared.imports.workflow.intake import configured_validation
from shared.web.callers import caller_of
from shared.web.downloads import download
from shared.web.http_types import ProblemError, Request, Response
from shared.web.parameters import (
    ApprovePath,
    CancelPath,
    CheckQuery,
    DaysQuery,
    DeclinePath,
    FilePath,
    ImportPath,
    ListQuery,
    NoParameters,
    UndoPath,
)
from shared.web.response_models import (
    DayCounts,
    DayList,
    FileCheck,
    HealthReport,
    ImportList,
    QueueList,
    QueueSummary,
)
from shared.web.routes import address

__all__ = [
    "MAX_CHECK_BYTES",
    "App",
    "approve",
    "approve_import",
    "cancel",
    "cancel_import",
    "check_file",
    "decline_import",
    "examine",
    "get_file",
    "get_health",
    "get_import",
    "get_openapi",
    "list_days",
    "list_imports",
    "list_queues",
    "retry_import",
    "undo_import",
]

log = logs.logger(__name__)

#: Returns the importer, or raises SettingsError.
App: TypeAlias = Callable[[], Importer]

#: Bytes of the largest file in a request, which the worker holds in memory several times. The limit
#: of the host (FUNCTIONS_REQUEST_BODY_SIZE_LIMIT) is higher: above it, the host answers 500.
MAX_CHECK_BYTES = 32 * 1024 * 1024
#: Bytes that are validated at a time.
_CHUNK = 1024 * 1024


def list_imports(app: App, request: Request, query: ListQuery) -> Response:
    page = app().reader.page(query.filter(), query.limit, query.continuation)
    imports = [ImportSummary.of(record) for record in page.imports]
    return _json(ImportList(imports=imports, continuation=page.continuation))


def get_import(app: App, request: Request, path: ImportPath) -> Response:
    return _json(app().reader.detail(path.id))


def get_file(app: App, request: Request, path: FilePath) -> Response:
    record, file = app().reader.file(path.id, path.name)
    return download(request, file, path.name, _download_name(record, path.name))


def cancel_import(app: App, request: Request, path: CancelPath) -> Response:
    record = cancel(app, path, _caller(app, request))
    return _json(ImportSummary.of(record), 200 if record.state.is_final else 202)


def cancel(app: App, path: CancelPath, by: Actor) -> ImportRecord:
    """Cancel an import, or the job that it shares with other files if that is given.

    Raises:
        ProblemError: it shares its job, which is not given; the problem lists all files of the job.
    """
    importer = app()
    record = importer.reader.get(path.id)
    try:
        return importer.actions.cancel(record, path.job, by)
    except SharedJobError as error:
        members = importer.reader.job_imports(record.hub, error.job_record)
        imports = [JobImport.of(member).model_dump(mode="json") for member in members]
        raise ProblemError(
            409, "shared-job", str(error), job=error.job_record, imports=imports
        ) from error


def retry_import(app: App, request: Request, path: ImportPath) -> Response:
    return _created(app().actions.retry(app().reader.get(path.id), _caller(app, request)))


def approve_import(app: App, request: Request, path: ApprovePath) -> Response:
    record = approve(app, path.id, path.plan, path.later, _caller(app, request))
    return _json(ImportSummary.of(record))


def approve(app: App, import_id: str, digest: str, later: int, by: Actor) -> ImportRecord:
    """Approve a held import.

    Raises:
        ProblemError: other imports may have changed its devices; the problem lists them.
    """
    importer = app()
    record = importer.reader.get(import_id)
    try:
        return importer.approvals.approve(record, digest, later, by)
    except LaterImportsError as error:
        others = importer.reader.describe(record).later_imports
        imports = [other.model_dump(mode="json") for other in others]
        raise ProblemError(409, "later-imports", str(error), imports=imports) from error


def decline_import(app: App, request: Request, path: DeclinePath) -> Response:
    record = app().reader.get(path.id)
    record = app().approvals.decline(record, path.reason, _caller(app, request))
    return _json(ImportSummary.of(record))


def undo_import(app: App, request: Request, path: UndoPath) -> Response:
    record = app().reader.get(path.id)
    by = _caller(app, request)
    return _created(app().actions.undo(record, path.deletes, by, also_changed=path.also_changed))


def list_queues(app: App, request: Request, _: NoParameters) -> Response:
    return _json(QueueList(queues=[QueueSummary.of(queue) for queue in app().reader.queues()]))


def list_days(app: App, request: Request, query: DaysQuery) -> Response:
    days = app().reader.days(query.days)
    return _json(DayList(days=[DayCounts.model_validate(day) for day in days]))


def check_file(app: App, request: Request, query: CheckQuery) -> Response:
    if "transfer-encoding" in request.headers and not request.body:
        raise ProblemError(
            411,
            "length-required",
            "The request has no Content-Length, and the Functions host drops such a body. Send the "
            "file with its length: curl --data-binary @FILE, or the bytes instead of a stream.",
        )
    if len(request.body) > MAX_CHECK_BYTES:
        raise ProblemError(
            413,
            "body-too-large",
            f"The file has {len(request.body):,} bytes; at most {MAX_CHECK_BYTES:,} are possible. "
            "Compress it with gzip, or check it with the command line: device-importer check FILE.",
        )
    settings = app().services.settings
    validation = configured_validation(settings, query.name, query.confirm_deletes)
    for _ in validation.run(_chunks(request.body)):
        pass
    return _json(FileCheck.of(validation.report, settings.validation.policy, query.name))


def get_health(app: App, request: Request, _: NoParameters) -> Response:
    health = examine(app)
    return _json(health, 200 if health.is_healthy else 503)


def examine(app: App) -> HealthReport:
    """Run the health checks and log what is wrong; invalid settings are the only check then."""
    try:
        findings = app().health.examine()
    except SettingsError as error:
        findings = [Finding("settings", False, problem) for problem in error.problems]
    health = HealthReport.of(findings)
    if not health.is_healthy:
        failed = [f"{x.name}: {x.detail}" for x in health.checks if not x.is_healthy]
        log.error("health checks failed: %s", "; ".join(failed))
    return health


def get_openapi(app: App, request: Request, _: NoParameters) -> Response:
    """Return the document that `make docs` generates (docgen/openapi.py)."""
    document = json.loads(Path(__file__).with_name("openapi.json").read_bytes())
    document["servers"] = [{"url": address("")}]
    return Response(200, json.dumps(document).encode(), "application/json")


def _json(
    model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    body = model.model_dump_json(by_alias=True).encode()
    return Response(status, body, "application/json", headers or {})


def _created(record: ImportRecord) -> Response:
    location = {"Location": address(f"imports/{record.id}")}
    return _json(ImportSummary.of(record), 201, location)


def _caller(app: App, request: Request) -> Actor:
    return caller_of(request, app().services.settings, "API")


def _download_name(record: ImportRecord, name: str) -> str:
    """Return the name to save a file as: that of the upload, the start of the id, the file."""
    stem = PurePosixPath(record.file).name.partition(".")[0]
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in stem)
    return f"{safe[:60] or 'import'}-{record.id[:8]}-{name}"


def _chunks(body: bytes) -> Iterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK):
        yield bytes(view[start : start + _CHUNK])
