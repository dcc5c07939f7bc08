"""Handlers of the API, by the names of their routes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from pydantic import BaseModel

from shared import logs
from shared.errors import LaterImportsError, SettingsError, SharedJobError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from shared.imports.operate.api_models import ImportSummary, JobImport
from shared.imports.operate.line_results import results_csv
from shared.imports.operate.uploads import Uploads
from shared.imports.upkeep.health import Finding
from shared.imports.workflow.folder_mappings import find_mapping
from shared.imports.workflow.intake import configured_validation
from shared.web.callers import caller_of
from shared.web.downloads import download, download_made
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
    UploadPath,
    UploadQuery,
)
from shared.web.response_models import (
    DayCounts,
    DayList,
    FileCheck,
    HealthReport,
    ImportList,
    QueueList,
    QueueSummary,
    UploadStatus,
    UploadTarget,
)
from shared.web.routes import address

__all__ = [
    "MAX_POSTED_BYTES",
    "App",
    "approve",
    "approve_import",
    "cancel",
    "cancel_import",
    "check_file",
    "create_upload",
    "decline_import",
    "examine",
    "get_file",
    "get_health",
    "get_import",
    "get_openapi",
    "get_upload",
    "list_days",
    "list_imports",
    "list_queues",
    "openapi_document",
    "put_upload",
    "retry_import",
    "undo_import",
]

log = logs.logger(__name__)

#: Returns the importer, or raises SettingsError.
App: TypeAlias = Callable[[], Importer]

#: Bytes of the largest file in a request, which the worker holds in memory several times. The limit
#: of the host (FUNCTIONS_REQUEST_BODY_SIZE_LIMIT) is higher: above it, the host answers 500.
MAX_POSTED_BYTES = 32 * 1024 * 1024
#: Bytes that are validated at a time.
_CHUNK = 1024 * 1024


def list_imports(app: App, request: Request, query: ListQuery) -> Response:
    page = app().reader.page(query.filter(), query.limit, query.continuation)
    imports = [ImportSummary.of(record) for record in page.imports]
    return _json(
        ImportList(
            imports=imports,
            continuation=page.continuation,
            searched_back_to=page.searched_back_to,
        )
    )


def get_import(app: App, request: Request, path: ImportPath) -> Response:
    return _json(app().reader.detail(path.id))


def get_file(app: App, request: Request, path: FilePath) -> Response:
    if path.name == "results.csv":
        record, results = app().reader.results(path.id)
        saved_as = _download_name(record, path.name)
        return download_made(request, results_csv(results), path.name, saved_as)
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
    file = _posted_file(
        request,
        "Compress it with gzip, or check it with the command line: device-importer check FILE.",
    )
    settings = app().services.settings
    mapping = find_mapping(app().services, query.name) if query.name else None
    validation = configured_validation(settings, query.name, query.confirm_deletes, mapping)
    for _ in validation.run(_chunks(file)):
        pass
    return _json(FileCheck.of(validation.report, settings.validation.policy, query.name))


def create_upload(app: App, request: Request, query: UploadQuery) -> Response:
    uploads = _accepted_uploads(app)
    address = uploads.address(
        uploads.blob_name(query.name, query.hub),
        _uploader(app, request),
        overwrite=query.overwrite,
        confirmed_deletes=query.confirm_deletes,
    )
    return _json(UploadTarget.of(address), 201, _location(f"uploads/{address.ticket}"))


def put_upload(app: App, request: Request, query: UploadQuery) -> Response:
    uploads = _accepted_uploads(app)
    file = uploads.blob_name(query.name, query.hub)
    upload = uploads.write(
        file,
        _posted_file(
            request,
            f"Send it straight to storage (POST {address('uploads')}), or use the command line: "
            "device-importer upload FILE.",
        ),
        _uploader(app, request),
        overwrite=query.overwrite,
        confirmed_deletes=query.confirm_deletes,
    )
    return _json(UploadStatus.of(upload), 201, _location(f"uploads/{upload.ticket}"))


def get_upload(app: App, request: Request, path: UploadPath) -> Response:
    upload = app().uploads.find(path.ticket)
    if upload is None:
        raise ProblemError(404, "upload-not-found", "There is no such upload, or no longer.")
    return _json(UploadStatus.of(upload))


def _accepted_uploads(app: App) -> Uploads:
    """What takes uploads.

    Raises:
        ProblemError: they are turned off.
    """
    importer = app()
    if not importer.services.settings.web.uploads:
        raise ProblemError(
            403,
            "uploads-off",
            "Uploads by dashboard and API are turned off (HTTP_UPLOADS=false). Use the command "
            "line, or upload the file to the upload container with a tool for Azure Storage.",
        )
    return importer.uploads


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
    return Response(200, json.dumps(openapi_document()).encode(), "application/json")


def openapi_document() -> dict[str, Any]:
    """Return the document of `make docs` (docgen/openapi.py), with the address of the app."""
    document: dict[str, Any] = json.loads(Path(__file__).with_name("openapi.json").read_bytes())
    document["servers"] = [{"url": address("")}]
    return document


def _json(
    model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    body = model.model_dump_json(by_alias=True).encode()
    return Response(status, body, "application/json", headers or {})


def _created(record: ImportRecord) -> Response:
    return _json(ImportSummary.of(record), 201, _location(f"imports/{record.id}"))


def _location(path: str) -> Mapping[str, str]:
    return {"Location": address(path)}


def _posted_file(request: Request, remedy: str) -> bytes:
    """The file in a request.

    Args:
        remedy: what to do with a larger one.

    Raises:
        ProblemError: the host dropped the body, or it is too large.
    """
    if "transfer-encoding" in request.headers and not request.body:
        raise ProblemError(
            411,
            "length-required",
            "The request has no Content-Length, and the Functions host drops such a body. Send the "
            "file with its length: curl --data-binary @FILE, or the bytes instead of a stream.",
        )
    if len(request.body) > MAX_POSTED_BYTES:
        raise ProblemError(
            413,
            "body-too-large",
            f"The file has {len(request.body):,} bytes; at most {MAX_POSTED_BYTES:,} are possible. "
            f"{remedy}",
        )
    return request.body


def _caller(app: App, request: Request) -> Actor:
    return caller_of(request, app().services.settings, "API")


def _uploader(app: App, request: Request) -> Actor:
    # The dashboard sends files by its script.
    is_page = request.headers.get("sec-fetch-site") == "same-origin"
    return caller_of(request, app().services.settings, "dashboard" if is_page else "API")


def _download_name(record: ImportRecord, name: str) -> str:
    """Return the name to save a file as: that of the upload, the start of the id, the file."""
    stem = PurePosixPath(record.file).name.partition(".")[0]
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in stem)
    return f"{safe[:60] or 'import'}-{record.id[:8]}-{name}"


def _chunks(body: bytes) -> Iterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK):
        yield bytes(view[start : start + _CHUNK])
