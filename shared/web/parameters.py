"""Parameters of requests. Validation is strict: an unknown parameter is an error."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from shared.imports.model.states import ImportState, StateGroup, states_of
from shared.imports.operate.api_models import Action, FileName
from shared.imports.operate.bulk import MAX_SELECTED, BulkAction
from shared.imports.operate.import_filter import ImportFilter, SortColumn
from shared.web.http_types import ProblemError, Request, invalid_request

__all__ = [
    "ActionPath",
    "BulkPageQuery",
    "BulkQuery",
    "CancelPath",
    "CheckQuery",
    "DashboardQuery",
    "DaysQuery",
    "DeviceQuery",
    "FilePath",
    "ImportPath",
    "ListFilters",
    "ListQuery",
    "NoParameters",
    "UploadPath",
    "UploadQuery",
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
    # int() accepts more, and its time is quadratic in the number of digits.
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,20}", value):
        raise ValueError("must be a non-negative integer")
    return value


#: Names of states and of groups of states.
_STATES = (*StateGroup, *ImportState)


def _state(value: Any) -> Any:
    if isinstance(value, str) and value not in _STATES:
        names = ", ".join(f"'{name}'" for name in _STATES)
        raise ValueError(f"must be one of {names}")
    return value


def _day(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError("must be a date such as 2026-11-23")


def _empty_as_none(value: Any) -> Any:
    """A form sends an empty string for a field that is not filled in."""
    return None if value == "" else value


T = TypeVar("T", bound="NoParameters")

Time = Annotated[datetime, BeforeValidator(_time)]
StateName = Annotated[
    ImportState | StateGroup,
    BeforeValidator(_state),
    WithJsonSchema({"type": "string", "enum": [name.value for name in _STATES]}),
]
Day = Annotated[date | None, BeforeValidator(_day), BeforeValidator(_empty_as_none)]
#: Percent-encoded, they must fit into the request line, which hosts limit to 8 KiB.
FilePattern = Annotated[str, Field(max_length=256)]
WhoPattern = Annotated[str, Field(max_length=128)]
#: A valid one has 128 characters at most.
#: No id contains blanks; those around a pasted one are not part of it.
DeviceId = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256)]
#: As in the settings; the parentheses are those of NO_HUB.
HubName = Annotated[str, Field(pattern=r"^([A-Za-z0-9._:-]+|\(none\))$", max_length=255)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
#: How many imports somebody confirms: no request selects more.
ImportCount = Annotated[int, Field(ge=0, le=MAX_SELECTED), BeforeValidator(_digits)]
Count = Annotated[int, Field(ge=0, le=10_000_000), BeforeValidator(_digits)]


class NoParameters(BaseModel):
    """An endpoint without parameters."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=False)

    #: Whether they may be sent by a form.
    reads_form: ClassVar[bool] = False


class FilterQuery(NoParameters):
    """Selects imports."""

    hub: Annotated[list[HubName], BeforeValidator(_comma_separated)] = Field(
        default=[],
        min_length=1,
        description="Names of hubs, or their folders in IOTHUB; (none) for uploads whose folder "
        "is no route to a hub. Default: all.",
    )
    state: Annotated[list[StateName], BeforeValidator(_comma_separated)] = Field(
        default=[],
        min_length=1,
        description="States, or groups of states: `open` (not final), `waiting` (validating, "
        "queued or planning), `attention` (an operator has to do something). Default: all.",
    )
    file: FilePattern = Field(
        "",
        description="Text in the name of the file; the letter case does not matter. With `*`, "
        "which stands for any text, the whole name has to match.",
    )
    who: WhoPattern = Field(
        "", description="As `file`, for the name of somebody in `acts`: who cancelled, for example."
    )
    uploaded_after: Time | None = Field(None, description="Uploaded at or after this time.")
    uploaded_before: Time | None = Field(None, description="Uploaded before this time.")

    def filter(self) -> ImportFilter:
        return ImportFilter(
            frozenset(self.hub),
            states_of(self.state),
            self.uploaded_after,
            self.uploaded_before,
            self.file,
            self.who,
        )


class ListQuery(FilterQuery):
    """Selects a page of imports."""

    limit: Annotated[int, Field(ge=1, le=1000), BeforeValidator(_digits)] = Field(
        50, description="Maximum number of imports to return."
    )
    continuation: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_-]{56})?$",
        description="Value of `continuation` in the previous answer: returns the next page.",
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
        description="Blob name that the file would be uploaded as, for its format and the mapping "
        "of its folder; the extension is sufficient.",
    )
    confirm_deletes: Annotated[int, Field(ge=0, le=10_000_000), BeforeValidator(_digits)] = Field(
        0, description="Number of deletes to allow, like the blob metadata confirmDeletes."
    )


class UploadQuery(NoParameters):
    """Describes a file to upload."""

    name: str = Field(
        min_length=1,
        max_length=512,
        description="Name of the blob, without the folder that `hub` adds.",
    )
    hub: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._:-]*$",
        max_length=255,
        description="Folder in IOTHUB, or name of a hub: required if there are several hubs and "
        "`name` does not begin with such a folder.",
    )
    overwrite: bool = Field(
        False, description="Whether to replace a blob of that name, which is a new import."
    )
    confirm_deletes: Count = Field(
        0, description="Number of deletes to allow: the blob metadata confirmDeletes."
    )


class UploadPath(NoParameters):
    """Identifies an upload."""

    ticket: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] = Field(
        description="The `ticket` of the upload."
    )


class ImportPath(NoParameters):
    """Identifies an import."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{4,24}$")] = Field(
        description="Id of the import, or enough of its first digits: four at least."
    )


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


class BulkQuery(FilterQuery):
    """Selects imports to cancel or retry: at least one filter is required."""

    count: ImportCount | None = Field(
        None,
        description="How many imports may be cancelled or retried: if there are more, none is. "
        f"At most {MAX_SELECTED:,}, as a request selects no more. "
        "Without it, the problem names the number.",
    )


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

    reads_form: ClassVar[bool] = True

    action: Action
    plan: Digest | Literal[""] = ""
    later: Count = 0
    reason: str = Field("", max_length=500)
    deletes: Count = 0
    also_changed: bool = False


class ListFilters(NoParameters):
    """Filters of a page; its form sends an empty string for a filter that is not set."""

    hub: str = ""
    state: Literal[""] | StateName = ""
    since: Literal["", "1h", "1d", "7d", "30d"] = ""
    first_day: Day = Field(None, alias="from")
    last_day: Day = Field(None, alias="to")
    file: FilePattern = ""
    who: WhoPattern = ""


class DashboardQuery(ListFilters):
    """What the dashboard shows."""

    sort: str = Field("", pattern=rf"^(-?({'|'.join(SortColumn)}))?$")
    continuation: str = ""


class DeviceQuery(NoParameters):
    """A device to find in imports. Its form sends an empty string for what is not filled in."""

    id: DeviceId = ""
    module: DeviceId = ""
    hub: str = ""
    since: Literal["1h", "1d", "7d", "30d", "any"] = "7d"
    continuation: str = ""


class BulkPageQuery(ListFilters):
    """Imports to cancel or retry, with what the form sends that was confirmed."""

    reads_form: ClassVar[bool] = True

    action: BulkAction
    count: ImportCount | None = None
    uploaded_after: Annotated[Time | None, BeforeValidator(_empty_as_none)] = None
    uploaded_before: Annotated[Time | None, BeforeValidator(_empty_as_none)] = None


def read(model: type[T], request: Request) -> T:
    """Return the validated parameters of a request, from its path and query.

    Raises:
        ProblemError: 404 if a part of the path is invalid; 400 with a message for each invalid
            parameter of the query.
    """
    # Other bodies are none of a form, whatever their type says: that of curl is one.
    form = request.form if model.reads_form else {}
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
