"""Parameters of requests. Validation is strict: an unknown parameter is an error."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import Action, FileName
from shared.imports.operate.reader import ImportFilter
from shared.web.http_types import ProblemError, Request, invalid_request

__all__ = [
    "ActionPath",
    "CancelPath",
    "CheckQuery",
    "DashboardQuery",
    "DaysQuery",
    "FilePath",
    "ImportPath",
    "ListQuery",
    "NoParameters",
    "read",
]

#: The host reads its keys from these (learn: "Work with access keys in Azure Functions").
_HOST_PARAMETERS = frozenset({"code", "clientId"})

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _comma_separated(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if _TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        # For example 30 February.
        pass
    raise ValueError("must be a time such as 2026-11-23T09:30:00Z")


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("must be an integer")
    return value


T = TypeVar("T", bound=BaseModel)

Time = Annotated[datetime, BeforeValidator(_time)]
#: As in the settings; the parentheses are those of NO_HUB.
HubName = Annotated[str, Field(pattern=r"^([A-Za-z0-9._:-]+|\(none\))$", max_length=255)]


class NoParameters(BaseModel):
    """An endpoint without parameters."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=False)


class ListQuery(NoParameters):
    """Selects imports."""

    hub: Annotated[list[HubName], BeforeValidator(_comma_separated)] = Field(
        default=[],
        min_length=1,
        description="Names of hubs; (none) for uploads whose folder is no route to a hub. "
        "Default: all.",
    )
    state: Annotated[list[ImportState], BeforeValidator(_comma_separated)] = Field(
        default=[], min_length=1, description="States. Default: all."
    )
    uploaded_after: Time | None = Field(None, description="Uploaded at or after this time.")
    uploaded_before: Time | None = Field(None, description="Uploaded before this time.")
    limit: Annotated[int, Field(ge=1, le=1000), BeforeValidator(_digits)] = Field(
        50, description="Maximum number of imports to return."
    )
    continuation: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_-]{56})?$",
        description="Value of `continuation` in the previous answer: returns the next page.",
    )

    def filter(self) -> ImportFilter:
        return ImportFilter(
            frozenset(self.hub), frozenset(self.state), self.uploaded_after, self.uploaded_before
        )


class DaysQuery(NoParameters):
    """Selects days."""

    days: Annotated[int, Field(ge=1, le=366), BeforeValidator(_digits)] = Field(
        30, description="Number of days to return, including today (UTC)."
    )


class CheckQuery(NoParameters):
    """Describes the posted file."""

    name: str = Field(
        # Percent-encoded, it must fit into the request line, which hosts limit to 8 KiB.
        "",
        max_length=512,
        description="Blob name that the file would be uploaded as; the extension is sufficient.",
    )
    confirm_deletes: Annotated[int, Field(ge=0, le=10_000_000), BeforeValidator(_digits)] = Field(
        0, description="Number of deletes to allow, like the blob metadata confirmDeletes."
    )


class ImportPath(NoParameters):
    """Identifies an import."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")] = Field(description="Id of the import.")


class FilePath(ImportPath):
    """Identifies a file about an import."""

    name: FileName = Field(description="Name of the file.")


class CancelPath(ImportPath):
    """Identifies an import to cancel."""

    job: str = Field(
        "",
        pattern=r"^([0-9a-f]{24})?$",
        description="The import's `jobRecord`: required to cancel the job of several files, which "
        "cancels all of them. The import is not cancelled if it is in another job by then.",
    )


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0, le=10_000_000), BeforeValidator(_digits)]


class ApprovePath(ImportPath):
    """Identifies what is approved."""

    plan: Digest = Field(
        description="The import's `hold.digest`: it is not approved if its plan is another."
    )
    later: Count = Field(
        0,
        description="Number of its `laterImports`: it is not approved if there are others by then.",
    )


class DeclinePath(ImportPath):
    """Identifies an import to decline."""

    reason: str = Field("", max_length=500, description="Why; it is shown with the import.")


class UndoPath(ImportPath):
    """Identifies an import to undo."""

    deletes: Count = Field(
        0, description="The import's `undo.deletes`: it is not undone if that is another number."
    )
    also_changed: bool = Field(
        False,
        description="Whether devices are restored, too, that somebody changed after the import.",
    )


class ActionPath(CancelPath):
    """An action on an import, with what its form sends."""

    action: Action
    plan: Digest | Literal[""] = ""
    later: Count = 0
    reason: str = Field("", max_length=500)
    deletes: Count = 0
    also_changed: bool = False


class DashboardQuery(NoParameters):
    """Filters of the dashboard; its form sends an empty string for a filter that is not set."""

    hub: str = ""
    state: Literal["", "open", "attention"] | ImportState = ""
    since: Literal["", "1h", "1d", "7d", "30d"] = ""
    continuation: str = ""


def read(model: type[T], request: Request) -> T:
    """Return the validated parameters of a request, from its path and query.

    Raises:
        ProblemError: 404 if a part of the path is invalid; 400 with a message for each invalid
            parameter of the query.
    """
    # Other bodies are none of a form, whatever their type says: that of curl is one.
    form = request.form if issubclass(model, ActionPath) else {}
    query = {
        name: value
        for name, value in {**request.query, **form}.items()
        if name not in _HOST_PARAMETERS
    }
    messages = dict.fromkeys(query.keys() & request.path.keys(), "unknown parameter")
    try:
        values = model.model_validate({**query, **request.path})
    except ValidationError as error:
        messages |= {
            str(problem["loc"][0]): _message(problem)
            for problem in error.errors(include_input=False, include_url=False)
        }
        for name, value in request.path.items():
            if name in messages and name not in query:
                detail = f"Not found: {name} {value!r} {messages[name]}."
                raise ProblemError(404, "not-found", detail) from None
    if messages:
        raise invalid_request(messages)
    return values


def _message(problem: Any) -> str:
    match problem["type"]:
        case "extra_forbidden":
            return "unknown parameter"
        case "value_error":
            return str(problem["ctx"]["error"])
    return re.sub("^(Input|List|String) should", "must", problem["msg"])
