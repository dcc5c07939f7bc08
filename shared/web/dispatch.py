"""Answers a request: validates its parameters, calls the handler, turns errors into problems."""

from __future__ import annotations

from collections.abc import Callable

from azure.core.exceptions import AzureError

from shared import logs
from shared.errors import (
    FilterError,
    ImportNotFoundError,
    NotPossibleError,
    SettingsError,
    TemporaryError,
    UploadExistsError,
)
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.storage.client import DelegationKeyRefusedError
from shared.web import api, bulk, dashboard, devices, parameters
from shared.web.api import App
from shared.web.compression import compress
from shared.web.http_types import ProblemError, Request, Response, invalid_request
from shared.web.routes import Route

__all__ = ["handler_of", "respond"]

log = logs.logger(__name__)

_HANDLERS = (api, bulk, dashboard, devices)


def respond(route: Route, request: Request, app: App) -> Response:
    """Return the answer of an endpoint; an error becomes a problem document or an error page.

    Every answer with a status of 500 or above is logged with its cause: here, or for a failed
    health check by its handler.
    """
    try:
        _refuse_other_sites(request)
        values = parameters.read(getattr(parameters, route.parameters), request)
        response: Response = handler_of(route)(app, request, values)
    except Exception as error:
        problem = _problem_of(error, route)
        response = dashboard.error_page(request, problem) if route.is_page else problem.response()
    return compress(request, response)


def handler_of(route: Route) -> Callable[..., Response]:
    """The function of the same name."""
    module = next(module for module in _HANDLERS if route.name in module.__all__)
    handler: Callable[..., Response] = getattr(module, route.name)
    return handler


def _problem_of(error: Exception, route: Route) -> ProblemError:
    match error:
        case ProblemError():
            return error
        case FilterError():
            return invalid_request({error.parameter: str(error)})
        case ImportNotFoundError():
            return ProblemError(404, "import-not-found", str(error))
        case UploadExistsError():
            return ProblemError(409, "upload-exists", str(error), importId=error.import_id)
        case NotPossibleError() | UnreadableRowError() | NewerRowError():
            return ProblemError(409, "not-possible", str(error))
        case SettingsError():
            problems = "; ".join(error.problems)
            log.error("%s %s: the app settings are invalid: %s", route.method, route.path, problems)
            return ProblemError(
                503,
                "settings",
                "The app settings are invalid. Correct the listed settings.",
                settings=error.problems,
            )
        case DelegationKeyRefusedError():
            log.error("%s %s: %s", route.method, route.path, error)
            return ProblemError(503, "storage-unavailable", str(error))
        case TemporaryError() | AzureError():
            log.exception("%s %s: storage is unavailable", route.method, route.path)
            return ProblemError(
                503,
                "storage-unavailable",
                "The storage account does not respond as expected, or other processes are changing "
                "this import. Retry; if the problem persists, see GET health and the log.",
                headers={"Retry-After": "10"},
            )
    log.exception("%s %s: unexpected error", route.method, route.path)
    detail = "Unexpected error. The log of this invocation contains the details."
    return ProblemError(500, "unexpected", detail)


def _refuse_other_sites(request: Request) -> None:
    """Refuse a change that a page of another site makes a browser request.

    Browsers send the origin (W3C, "Fetch Metadata Request Headers"); other clients do not.
    """
    site = request.headers.get("sec-fetch-site", "none")
    if request.method != "GET" and site not in ("none", "same-origin"):
        raise ProblemError(403, "cross-site", "Requests from pages of other sites are not allowed.")
