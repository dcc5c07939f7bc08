"""The table of HTTP endpoints.

Each route becomes a function of the app (function_app.py) and is answered by the handler of the
same name (`dispatch.handler_of`). Those of the API are described in openapi.json
(docgen/openapi.py). Models are given by name, because the app is indexed without importing them.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["FILE", "OBJECT", "ROUTES", "Route", "address", "routes"]

#: In place of a model: a file of an import, and any JSON object.
FILE, OBJECT = "file", "object"


@dataclass(frozen=True)
class Route:
    """One endpoint."""

    name: str
    method: str
    #: Below the route prefix of host.json.
    path: str
    #: For the document, like `answers` and `problems`; pages are not in it.
    summary: str = ""
    #: The class in `parameters` that validates path and query.
    parameters: str = "NoParameters"
    #: Meaning of each answer by status, and its model in `response_models`.
    answers: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    #: Meaning of each problem by status, besides those common to all endpoints of its kind.
    problems: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_page(self) -> bool:
        return self.path.startswith("dashboard")


_NOT_CONFIRMED = (
    "There are more imports than `count`, or it is missing (type `count-not-confirmed`). The "
    "problem has the number as `count`, and the times that select the same imports again."
)
_UPLOAD_PROBLEMS = {
    403: "A page of another site sent the request, or uploads are turned off (HTTP_UPLOADS).",
    409: "There is a blob of that name (type `upload-exists`), or no upload container.",
}

ROUTES = (
    Route(
        "list_imports",
        "GET",
        "imports",
        "List imports, newest upload first",
        parameters="ListQuery",
        answers={200: ("A page of imports.", "ImportList")},
    ),
    Route(
        "get_import",
        "GET",
        "imports/{id}",
        "Get one import with its history",
        parameters="ImportPath",
        answers={200: ("The import.", "ImportDetail")},
        problems={409: "The record of the import cannot be read."},
    ),
    Route(
        "get_file",
        "GET",
        "imports/{id}/files/{name}",
        "Download a file about an import",
        parameters="FilePath",
        answers={200: ("The file.", FILE), 206: ("The requested range.", FILE)},
        problems={
            406: "The file is too large to be sent uncompressed in one piece.",
            409: "The import has no such file, or the file was deleted or overwritten.",
            416: "The range starts after the end of the file.",
        },
    ),
    Route(
        "cancel_import",
        "POST",
        "imports/{id}/cancel",
        "Cancel an import",
        parameters="CancelPath",
        answers={
            200: ("The import is cancelled.", "ImportSummary"),
            202: ("The import ends as soon as the hub has ended its job.", "ImportSummary"),
        },
        problems={
            409: "The import is final, or `job` is not its job. Or it shares its job with other "
            "files (type `shared-job`), and `job` is missing; `imports` lists them."
        },
    ),
    Route(
        "retry_import",
        "POST",
        "imports/{id}/retry",
        "Retry the failed lines of an import as a new import",
        parameters="ImportPath",
        answers={201: ("The new import; repeated calls return the same one.", "ImportSummary")},
        problems={409: "The state of the import does not allow a retry, or no lines are left."},
    ),
    Route(
        "cancel_imports",
        "POST",
        "imports/cancel",
        "Cancel the imports that a filter selects",
        parameters="BulkQuery",
        answers={200: ("What became of each import.", "BulkReport")},
        problems={409: _NOT_CONFIRMED},
    ),
    Route(
        "retry_imports",
        "POST",
        "imports/retry",
        "Retry the imports that a filter selects, unless they were retried",
        parameters="BulkQuery",
        answers={200: ("What became of each import.", "BulkReport")},
        problems={409: _NOT_CONFIRMED},
    ),
    Route(
        "approve_import",
        "POST",
        "imports/{id}/approve",
        "Approve an import that is held",
        parameters="ApprovePath",
        answers={200: ("The import, queued.", "ImportSummary")},
        problems={
            409: "The import is not held, its plan is another, or the caller may not approve it. "
            "Or other imports may have changed its devices (type `later-imports`); `imports` lists "
            "them."
        },
    ),
    Route(
        "decline_import",
        "POST",
        "imports/{id}/decline",
        "Decline an import that is held",
        parameters="DeclinePath",
        answers={200: ("The import, cancelled.", "ImportSummary")},
        problems={409: "The import is not held."},
    ),
    Route(
        "undo_import",
        "POST",
        "imports/{id}/undo",
        "Undo an import by a new import",
        parameters="UndoPath",
        answers={
            201: ("The undo; until it has ended, repeated calls return the same.", "ImportSummary")
        },
        problems={
            409: "The import has not ended, has no backup, or changed nothing; or `deletes` is not "
            "its number."
        },
    ),
    Route(
        "list_queues",
        "GET",
        "queues",
        "List the queue of each hub",
        answers={200: ("The queues.", "QueueList")},
    ),
    Route(
        "list_days",
        "GET",
        "days",
        "Count finished imports and devices per day",
        parameters="DaysQuery",
        answers={200: ("The days.", "DayList")},
    ),
    Route(
        "check_file",
        "POST",
        "check",
        "Validate a device file without importing it",
        parameters="CheckQuery",
        answers={200: ("The result of the validation.", "FileCheck")},
        problems={
            411: "The request has no Content-Length.",
            413: "The file is too large for a request.",
        },
    ),
    Route(
        "create_upload",
        "POST",
        "uploads",
        "Get an address that a file can be uploaded to",
        parameters="UploadQuery",
        answers={201: ("The address.", "UploadTarget")},
        problems=_UPLOAD_PROBLEMS,
    ),
    Route(
        "put_upload",
        "PUT",
        "uploads",
        "Upload a file through the app",
        parameters="UploadQuery",
        answers={201: ("The upload.", "UploadStatus")},
        problems={
            **_UPLOAD_PROBLEMS,
            411: "The request has no Content-Length.",
            413: "The file is too large for a request.",
        },
    ),
    Route(
        "get_upload",
        "GET",
        "uploads/{ticket}",
        "Find the import of an upload",
        parameters="UploadPath",
        answers={200: ("The upload.", "UploadStatus")},
        problems={404: "There is no such upload; they are forgotten after 7 days."},
    ),
    Route(
        "get_health",
        "GET",
        "health",
        "Check everything that the importer depends on",
        answers={
            200: ("All checks passed.", "HealthReport"),
            503: ("At least one check failed.", "HealthReport"),
        },
    ),
    Route(
        "get_openapi",
        "GET",
        "openapi.json",
        "Get this document",
        answers={200: ("The document.", OBJECT)},
    ),
    Route("show_dashboard", "GET", "dashboard", parameters="DashboardQuery"),
    Route("find_device", "GET", "dashboard/devices", parameters="DeviceQuery"),
    Route("show_health", "GET", "dashboard/health"),
    Route("show_help", "GET", "dashboard/help"),
    Route("show_api", "GET", "dashboard/api"),
    Route("show_import", "GET", "dashboard/imports/{id}", parameters="ImportPath"),
    Route("confirm_imports", "GET", "dashboard/bulk/{action}", parameters="BulkPageQuery"),
    Route("act_on_imports", "POST", "dashboard/bulk/{action}", parameters="BulkPageQuery"),
    Route("act_on_import", "POST", "dashboard/imports/{id}/{action}", parameters="ActionPath"),
)


def routes(endpoints: str | None) -> tuple[Route, ...]:
    """Return the routes enabled by the setting HTTP_ENDPOINTS.

    An invalid value enables all of them; calls then report the invalid setting.
    """
    if endpoints == "none":
        return ()
    return tuple(route for route in ROUTES if endpoints != "api" or not route.is_page)


def address(path: str) -> str:
    """Return the path under which the host serves a route.

    The host also serves it in other letter cases and with a trailing slash, so the address of a
    request does not show it. The prefix is in host.json, and an app setting can replace it (learn:
    "host.json reference for Azure Functions", override host.json values).
    """
    # On Linux, names of environment variables depend on letter case.
    prefix = os.environ.get("AzureFunctionsJobHost__extensions__http__routePrefix")  # noqa: SIM112
    prefix = (_prefix() if prefix is None else prefix).strip("/")
    return "/" + "/".join(part for part in (prefix, path) if part)


@functools.cache
def _prefix() -> str:
    host = json.loads((Path(__file__).parents[2] / "host.json").read_text(encoding="utf-8"))
    return str(host.get("extensions", {}).get("http", {}).get("routePrefix", "api"))
