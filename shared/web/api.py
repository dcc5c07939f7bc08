"""The endpoints of the API, by the names of their routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import TypeAlias

from pydantic import BaseModel

from shared.errors import SettingsError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.operate.api_models import ImportSummary
from shared.imports.upkeep.health import Finding
from shared.imports.workflow.intake import configured_validation
from shared.web import openapi
from shared.web.downloads import download
from shared.web.messages import Request, Response, json_response
from shared.web.parameters import (
    CheckQuery,
    DaysQuery,
    FilePath,
    ImportPath,
    ListQuery,
    NoQuery,
    read,
    read_path,
)
from shared.web.views import (
    DayList,
    DayView,
    FileCheck,
    HealthReport,
    ImportList,
    QueueList,
    QueueView,
)

__all__ = [
    "cancel_import",
    "check_file",
    "examine",
    "get_file",
    "get_health",
    "get_import",
    "get_openapi",
    "list_days",
    "list_imports",
    "list_queues",
    "retry_import",
]

#: Makes the importer, or says what is wrong with the settings.
App: TypeAlias = Callable[[], Importer]

#: Bytes that the validation is given at once.
_CHUNK = 1024 * 1024


def list_imports(request: Request, app: App) -> Response:
    query = read(ListQuery, request.query)
    page = app().reader.page(query.filter(), query.limit, query.continuation)
    imports = [ImportSummary.of(record) for record in page.imports]
    return _answer(ImportList(imports=imports, continuation=page.continuation))


def get_import(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    return _answer(app().reader.detail(read_path(ImportPath, request).id))


def get_file(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    wanted = read_path(FilePath, request)
    record, file = app().reader.file(wanted.id, wanted.name)
    return download(request, file, wanted.name, _saved_as(record, wanted.name))


def cancel_import(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    record = app().actions.cancel(app().reader.get(read_path(ImportPath, request).id))
    return _answer(ImportSummary.of(record), 200 if record.state.is_final else 202)


def retry_import(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    record = app().actions.retry(app().reader.get(read_path(ImportPath, request).id))
    location = f"{request.url.partition('?')[0].rpartition('/imports/')[0]}/imports/{record.id}"
    return _answer(ImportSummary.of(record), 201, {"Location": location})


def list_queues(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    return _answer(QueueList(queues=[QueueView.of(queue) for queue in app().reader.queues()]))


def list_days(request: Request, app: App) -> Response:
    days = app().reader.days(read(DaysQuery, request.query).days)
    return _answer(DayList(days=[DayView.of(day) for day in days]))


def check_file(request: Request, app: App) -> Response:
    query = read(CheckQuery, request.query)
    settings = app().services.settings
    validation = configured_validation(settings, query.name, query.confirm_deletes)
    for _ in validation.run(_chunks(request.body)):
        pass
    return _answer(FileCheck.of(validation.report, settings.validation.policy, query.name))


def get_health(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    health = examine(app)
    return _answer(health, 200 if health.is_well else 503)


def examine(app: App) -> HealthReport:
    """Whether the importer can do its work; of wrong settings that is all that is known."""
    try:
        return HealthReport.of(app().health.examine())
    except SettingsError as error:
        return HealthReport.of([Finding("settings", False, text) for text in error.problems])


def get_openapi(request: Request, app: App) -> Response:
    read(NoQuery, request.query)
    base = request.url.partition("?")[0].rpartition("/")[0]
    return json_response(openapi.document(base))


def _answer(
    value: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    body = value.model_dump_json(by_alias=True).encode()
    return Response(status, body, "application/json", headers or {})


def _saved_as(record: ImportRecord, name: str) -> str:
    """A file's name on the disk of whoever downloads it: that of the upload, and what it is."""
    stem = PurePosixPath(record.file).name.partition(".")[0]
    safe = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in stem)
    return f"{safe[:60] or 'import'}-{record.id[:8]}-{name}"


def _chunks(body: bytes) -> Iterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK):
        yield bytes(view[start : start + _CHUNK])
