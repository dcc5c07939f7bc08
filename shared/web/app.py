"""Answers a request: finds the endpoint's function and turns what goes wrong into a problem."""

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
)
from shared.imports.app import Importer
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.web import api, dashboard
from shared.web.messages import ProblemError, Request, Response, problem
from shared.web.routes import Route

__all__ = ["respond"]

log = logs.logger(__name__)


def respond(route: Route, request: Request, importer: Callable[[], Importer]) -> Response:
    """The answer of an endpoint; whatever goes wrong is part of it."""
    try:
        _refuse_other_sites(request)
        return _respond(route, request, importer)
    except ProblemError as error:
        return dashboard.error_page(request, error) if route.is_page else problem(error)


def _respond(route: Route, request: Request, importer: Callable[[], Importer]) -> Response:
    endpoint = getattr(dashboard if route.is_page else api, route.name)
    try:
        response: Response = endpoint(request, importer)
        return response
    except FilterError as error:
        errors = [{"parameter": error.parameter, "message": str(error)}]
        raise ProblemError(400, "invalid-request", str(error), errors=errors) from error
    except ImportNotFoundError as error:
        raise ProblemError(404, "import-not-found", str(error)) from error
    except (NotPossibleError, UnreadableRowError, NewerRowError) as error:
        raise ProblemError(409, "not-possible", str(error)) from error
    except SettingsError as error:
        raise ProblemError(503, "settings", str(error), settings=error.problems) from error
    except (TemporaryError, AzureError) as error:
        log.exception("%s %s", route.method, route.path)
        detail = (
            "The storage account does not answer as it should, or the import is being changed by "
            "others at this moment. GET health tells what is wrong; the log of this call has more."
        )
        raise ProblemError(
            503, "storage-unavailable", detail, headers={"Retry-After": "10"}
        ) from error
    except ProblemError:
        raise
    except Exception as error:
        log.exception("%s %s", route.method, route.path)
        detail = "That should not have happened; the log of this call tells more."
        raise ProblemError(500, "unexpected", detail) from error


def _refuse_other_sites(request: Request) -> None:
    """No page of another site may make a browser act in its user's name.

    Browsers tell where a request comes from (W3C, "Fetch Metadata Request Headers").
    """
    site = request.headers.get("sec-fetch-site", "none")
    if request.method != "GET" and site not in ("none", "same-origin"):
        raise ProblemError(403, "cross-site", "Only pages of this app may ask for that.")
